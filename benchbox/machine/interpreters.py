"""What is the environment of another Python, in a virtual environment or a container?"""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import Any

from benchbox import __version__
from benchbox.errors import EnvironmentLackError
from benchbox.schema.environment import Environment

# What a sitecustomize, a wrapper or a container prints as well stands before or behind the line with the answer.
_MARK = "benchbox-environment:"
_ASK = f"""
import dataclasses, json, sys
from benchbox import __version__
from benchbox.machine.environment import capture
print("\\n{_MARK}" + json.dumps([__version__, dataclasses.asdict(capture(locked_clocks=sys.argv[1]))]), flush=True)
"""
PATIENCE_S = 120.0


def environment_of(interpreter: tuple[str, ...], *, locked_clocks: str = "") -> Environment:
    """The environment as another Python sees it.

    Args:
        interpreter: its command: ("venv/bin/python",), or the words that start one in a container, which must see the
            project root and the temporary folder under the same paths.
        locked_clocks: at what the GPU's clocks are held, "" where they are free.

    Raises:
        EnvironmentLackError: it does not start, has no benchbox or another version of it, or does not answer.
    """
    shown = shlex.join(interpreter)
    try:
        asked = subprocess.run(
            [*interpreter, "-P", "-c", _ASK, locked_clocks],
            capture_output=True,
            timeout=PATIENCE_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentLackError(
            "the other Python does not start",
            values=f"{shown}: {error}",
            remedy="name its executable: python=DIR/bin/python",
        ) from error
    if asked.returncode:
        words = asked.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise EnvironmentLackError(
            "the other Python cannot measure",
            values=f"{shown}: {words[-1]}",
            remedy=f"install benchbox {__version__} there from a checkout, with the runtime that is to be measured",
        )
    version, environment = _answer(asked.stdout.decode(errors="replace"), shown)
    if version != __version__:
        raise EnvironmentLackError(
            "the other Python has another version of benchbox",
            values=f"{shown} has {version}, this is {__version__}",
            remedy="install the same version in both: the runtimes may differ, the harness must not",
        )
    return Environment(**environment)


def _answer(printed: str, shown: str) -> tuple[str, dict[str, Any]]:
    """The version and the fields of the environment, from all that was printed."""
    _, mark, rest = printed.rpartition(_MARK)
    try:
        version, environment = json.loads(rest.partition("\n")[0])
    except ValueError as error:
        words = printed.strip().splitlines() if not mark else [rest.partition("\n")[0]]
        raise EnvironmentLackError(
            "the other Python does not report its environment",
            values=f"{shown} printed {words[-1][:200] if words else 'nothing'}",
            remedy="its command must pass on the arguments and the output of Python",
        ) from error
    return version, environment
