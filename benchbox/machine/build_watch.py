"""What does it take to make a network's file or engine: how long, and how much host memory?"""

from __future__ import annotations

import time
from pathlib import Path

from benchbox.machine.counters import peak_resident_bytes
from benchbox.schema.record import BuildCost

_CLEAR = Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"  # proc(5): resets VmHWM to what is resident now


class BuildWatch:
    """Watches this process from now on.

    Args:
        clear: the kernel's file that makes it forget the largest resident set so far.
    """

    def __init__(self, clear: Path = _CLEAR) -> None:
        self._begin = time.perf_counter()
        self._known = _forgotten(clear)

    def cost(self, what: str) -> BuildCost:
        """Time and peak since the watch began; the peak is absent where the kernel does not forget the one before."""
        return BuildCost(
            what=what,
            duration_s=time.perf_counter() - self._begin,
            peak_host_bytes=peak_resident_bytes() if self._known else None,
        )


def _forgotten(clear: Path) -> bool:
    if not clear.exists():
        return False
    try:
        clear.write_text(_FORGET_PEAK)
    except OSError:
        return False
    return True
