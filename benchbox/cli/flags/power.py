"""Which flags of a run reach for the hardware, its energy counters and its clocks, and what may they be?"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from benchbox.cli.flags.shared import parse_count

if TYPE_CHECKING:
    from benchbox.jobs.run import Case
    from benchbox.schema.plan import MeasurementPlan

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_WINDOWS, LEAST_WINDOWS, LEAST_WINDOW_S = 5, 2, 1.0
BASE = "base"


def energy_options(function: F) -> F:
    """``--energy`` and the number and length of its windows."""
    for option in (
        click.option(
            "--energy-windows",
            metavar="N",
            help=f"How many windows of energy [default: {DEFAULT_WINDOWS}; at least 2].",
        ),
        click.option(
            "--energy-window",
            metavar="S",
            help="Seconds of an energy window [default: 10; at least 1, below 10 it is flagged].",
        ),
        click.option(
            "--energy",
            is_flag=True,
            help="Also measure joules per sample, where the GPU or the CPU counts them; takes over a minute per case.",
        ),
    ):
        function = option(function)
    return function


lock_clocks_option = click.option(
    "--lock-clocks",
    metavar="[=MHZ]",
    is_flag=False,
    flag_value=BASE,
    help="Hold the GPU's clocks for the run, at its base clock or at =MHZ, and set them free afterwards; needs root.",
)


def with_energy(plan: MeasurementPlan, *, asked: bool, window: str | None, count: str | None) -> MeasurementPlan:
    """The plan with energy, if one of its flags was given.

    Raises:
        UsageError: fewer than 2 windows, or windows of less than 1 s.
    """
    from dataclasses import replace

    from benchbox.errors import UsageError

    if not (asked or window or count):
        return plan
    windows = parse_count(count, flag="--energy-windows") if count else DEFAULT_WINDOWS
    if windows < LEAST_WINDOWS:
        raise UsageError(
            f"--energy-windows takes at least {LEAST_WINDOWS}",
            values=f"got {windows}",
            remedy="one window says nothing about spread",
        )
    try:
        window_s = float(window) if window else plan.energy_window_s
    except ValueError:
        window_s = 0.0
    if not LEAST_WINDOW_S <= window_s < float("inf"):
        raise UsageError(
            f"--energy-window takes seconds, at least {LEAST_WINDOW_S:g}",
            values=f"got '{window}'",
            remedy="counters step every 100 ms and sensors average over 1 s: shorter windows say nothing",
        )
    return replace(plan, energy_windows=windows, energy_window_s=window_s)


def clocks_from_text(text: str, cases: Sequence[Case]) -> Callable[[], contextlib.AbstractContextManager[str]]:
    """What holds the clocks that ``--lock-clocks`` asks for; raises UsageError where nothing runs on a GPU."""
    from functools import partial

    from benchbox.backends.base import BACKENDS
    from benchbox.errors import UsageError

    if text != BASE and not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UsageError(
            "--lock-clocks takes whole megahertz",
            values=f"got '{text}'",
            remedy="write --lock-clocks=1410; a MODEL stands before it",
        )
    hosts = sorted({case.backend for case in cases if BACKENDS.get(case.backend).device != "cuda"})
    if hosts:
        raise UsageError(
            "--lock-clocks holds the clocks of a GPU",
            values=f"{', '.join(hosts)}: runs elsewhere",
            remedy="leave it out, or name GPU backends only",
        )
    from benchbox.machine.gpu.clock_lock import locked_clocks

    return partial(locked_clocks, None if text == BASE else int(text))


@contextlib.contextmanager
def held(clocks: Callable[[], contextlib.AbstractContextManager[str]] | None) -> Iterator[str]:
    """Holds the clocks, if that was asked for, and says at what; "" if not."""
    if clocks is None:
        yield ""
        return
    with clocks() as at:
        yield at
