"""On which GPU does a command work, and on several of them one after the other?

CUDA reads its choice from the environment when it starts, once a process. So the flag sets the environment before
anything asks a driver, workers and builders inherit it, and of several GPUs each has a process of the command.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from benchbox.cli.flags.kinds import Kind, Listed


class GpuName(Kind):
    """A number, a UUID of a GPU or of a MIG instance, or the beginning of one."""

    name = "GPU"

    def parse(self, text: str, *, flag: str) -> str:
        """The name as CUDA takes it; raises UsageError for anything else."""
        from benchbox.errors import UsageError

        if (text.isascii() and text.isdigit()) or text.startswith(("GPU-", "MIG-")):
            return text
        raise UsageError(
            f"{flag} takes numbers of nvidia-smi or UUIDs",
            values=f"got {text!r}",
            remedy="nvidia-smi -L lists them; for example --device 0 or --device GPU-8a0b",
        )


F = TypeVar("F", bound=Callable[..., Any])
VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
_HELP = (
    "GPU by its number in nvidia-smi, by its UUID or the beginning of one (GPU-8a0b), or a MIG instance (MIG-...) "
    "[default: the first that CUDA_VISIBLE_DEVICES names, else the fastest]."
)


def device_option(*, several: bool = False) -> Callable[[F], F]:
    """``--device``; with ``several`` the command runs once for each GPU of a list."""

    def choose(context: click.Context, __: click.Parameter, given: tuple[str, ...] | str | None) -> None:
        names = (given,) if isinstance(given, str) else given
        if not names or context.resilient_parsing:
            return
        if len(names) > 1:
            context.exit(_each_in_turn(names, sys.argv[1:]))
        set_visible(names[0])

    return click.option(
        "--device",
        metavar="N,..." if several else "N",
        type=Listed(GpuName()) if several else GpuName(),
        expose_value=False,
        is_eager=True,
        callback=choose,
        help=f"{_HELP} Several, for example 0,1, are measured in turn." if several else _HELP,
    )


def set_visible(name: str) -> None:
    """Makes a GPU the only one of this process and its children; raises EnvironmentLackError where there is none such.

    Numbers are those of nvidia-smi, in the order of the bus; CUDA's own order is by speed.
    """
    from benchbox.backends.cuda.driver import gpu_from_driver
    from benchbox.errors import EnvironmentLackError

    os.environ[ORDER] = "PCI_BUS_ID"
    os.environ[VISIBLE] = name
    try:
        gpu_from_driver()
    except EnvironmentLackError as error:
        raise EnvironmentLackError(
            f"there is no GPU {name}",
            values=f"{error.what}: {error.values}",
            remedy="nvidia-smi -L lists numbers, UUIDs and MIG instances",
        ) from error


def _each_in_turn(names: Sequence[str], arguments: Sequence[str]) -> int:
    """Runs the same command once for each GPU; the worst exit status. With --json all records are one document."""
    as_json = "--json" in arguments
    documents: list[dict[str, Any]] = []
    worst = 0
    for name in names:
        command = [sys.executable, "-P", "-m", "benchbox", *_with_device(arguments, name)]
        done = subprocess.run(command, stdout=subprocess.PIPE if as_json else None, check=False)
        worst = max(worst, done.returncode if done.returncode >= 0 else 128 - done.returncode)
        if as_json and done.stdout.strip():
            documents.append(json.loads(done.stdout))
    if documents:
        records = [record for document in documents for record in document.get("records", ())]
        click.echo(json.dumps({**documents[0], "records": records}, indent=2))
    return worst


def _with_device(arguments: Sequence[str], name: str) -> list[str]:
    """The arguments with another value of ``--device``."""
    made: list[str] = []
    given = iter(arguments)
    for argument in given:
        if argument == "--device":
            next(given, None)
            made += ["--device", name]
        elif argument.startswith("--device="):
            made.append(f"--device={name}")
        else:
            made.append(argument)
    return made
