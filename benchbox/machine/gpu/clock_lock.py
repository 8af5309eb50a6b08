"""How are the GPU's clocks held for a run and set free afterwards, whatever happens?

A small process of its own holds them (``clock_keeper.py``) for as long as a pipe from this process is open. Errors,
Ctrl-C and SIGKILL all close the pipe. If the keeper itself is killed, this process sets the clocks free.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

from benchbox import errors
from benchbox.backends.child import child_environment
from benchbox.errors import BenchboxError, MeasurementError
from benchbox.machine.gpu.clock_keeper import ERROR, FREED, HELD
from benchbox.machine.gpu.nvml import free_gpu_clocks
from benchbox.schema.plan import BASE_CLOCKS

FREEING_S = 15.0


@contextlib.contextmanager
def locked_clocks(mhz: int | None) -> Iterator[str]:
    """Holds the first GPU's clocks while it is open, and says at what ("base", "1410 MHz").

    Clocks that somebody else had locked before are free afterwards too: no GPU reports what they were locked at.

    Args:
        mhz: the SM clock; None for the base clock.

    Raises:
        EnvironmentLackError: there is no GPU, or this process may not set its clocks.
        UsageError: the GPU has no such clock.
        MeasurementError: the clocks could not be set free again.
    """
    keeper = subprocess.Popen(
        [sys.executable, "-P", "-m", "benchbox.machine.gpu.clock_keeper", str(mhz or BASE_CLOCKS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=child_environment(),
        # Ctrl-C goes to every process of a terminal's session; the keeper must outlive it.
        start_new_session=True,
    )
    held = False
    try:
        words = _words(keeper)
        if HELD not in words:
            raise _told(words)
        held = True
        yield str(words[HELD])
    finally:
        words = _ended(keeper)
        if held and FREED not in words:
            free_gpu_clocks()


def _words(keeper: subprocess.Popen[bytes]) -> dict[str, object]:
    """What the keeper says next; nothing if it is gone."""
    assert keeper.stdout is not None, "it was opened with a pipe"
    line = keeper.stdout.readline()
    said: dict[str, object] = json.loads(line) if line else {}
    return said


def _ended(keeper: subprocess.Popen[bytes]) -> dict[str, object]:
    """Ends the keeper and returns its last words; nothing if it was killed or hangs."""
    try:
        out, _ = keeper.communicate(timeout=FREEING_S)  # closes its standard input first
    except subprocess.TimeoutExpired:
        keeper.kill()
        keeper.wait()
        return {}
    lines = out.splitlines()
    said: dict[str, object] = json.loads(lines[-1]) if lines else {}
    return said


def _told(words: dict[str, object]) -> BenchboxError:
    """The keeper's error in this process."""
    answer = words.get(ERROR)
    if not isinstance(answer, list):
        return MeasurementError("the process that holds the GPU's clocks ended without a word")
    kind, what, values, remedy = answer
    error: BenchboxError = getattr(errors, kind)(what, values=values, remedy=remedy)
    return error
