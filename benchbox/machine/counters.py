"""What does the operating system count while something is measured: steal, switches, throttling, memory?"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Mapping
from pathlib import Path

from benchbox.limits import throttled_periods

_STAT = Path("/proc/stat")
_PRESSURE = Path("/proc/pressure/cpu")
_TASKS = Path("/proc/self/task")


def counters() -> dict[str, float]:
    """Counts that only grow, by name; those that this kernel does not offer are left out.

    ``*_switches`` of this process, ``run_delay_s`` that its threads were ready and waited for a CPU,
    ``pressure_s`` that some task of the machine did, ``steal_ticks``, ``busy_ticks`` and ``all_ticks`` of the machine,
    ``cgroup_throttled`` periods.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "voluntary_switches": float(usage.ru_nvcsw),
        "involuntary_switches": float(usage.ru_nivcsw),
        "cpu_s": usage.ru_utime + usage.ru_stime,
    }
    if (delay_ns := _DELAYS.total_ns()) is not None:
        found["run_delay_s"] = delay_ns * 1e-9
    if _STAT.exists():
        # user nice system idle iowait irq softirq steal; guest time is counted in user already
        ticks = [float(number) for number in _STAT.read_text().splitlines()[0].split()[1:9]]
        found["all_ticks"] = sum(ticks)
        found["busy_ticks"] = sum(ticks) - sum(ticks[3:5])
        found["steal_ticks"] = ticks[7] if len(ticks) > 7 else 0.0
    if _PRESSURE.exists():
        # Time in which some task of the machine waited for a CPU, in microseconds at the end of the first line.
        found["pressure_s"] = float(_PRESSURE.read_text().split("\n")[0].rpartition("=")[2]) * 1e-6
    if (periods := throttled_periods()) is not None:
        found["cgroup_throttled"] = float(periods)
    return found


class RunDelays:
    """How long the threads of this process were ready and waited for a CPU, those that have ended included.

    The kernel keeps the time with each thread and drops it when the thread ends. The last value that was seen of each
    is kept, so that the sum never falls; threads that begin and end between two readings are not seen.

    Args:
        tasks: the kernel's folder with an entry for each thread.
    """

    def __init__(self, tasks: Path = _TASKS) -> None:
        self._tasks = tasks
        self._newest_ns: dict[str, int] = {}
        self._ended_ns = 0

    def total_ns(self) -> int | None:
        """The sum now in ns, None where the kernel does not count it."""
        for task in self._tasks.glob("[0-9]*"):
            # A thread may end between being listed and being read.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                delay_ns, before_ns = (
                    int((task / "schedstat").read_text().split()[1]),
                    self._newest_ns.get(task.name, 0),
                )
                if delay_ns < before_ns:  # another thread that was given the number of one that ended
                    self._ended_ns += before_ns
                self._newest_ns[task.name] = delay_ns
        return self._ended_ns + sum(self._newest_ns.values()) if self._newest_ns else None


_DELAYS = RunDelays()


def differences(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """How much each counter grew between two readings."""
    return {name: after[name] - before[name] for name in before if name in after}


def others_share(grown: Mapping[str, float]) -> float | None:
    """The share of all CPUs that others used, by what the counters grew; None where the kernel does not report it."""
    if not grown.get("all_ticks"):
        return None
    own_ticks = grown["cpu_s"] * os.sysconf("SC_CLK_TCK")
    return max(0.0, grown["busy_ticks"] - own_ticks) / grown["all_ticks"]


def peak_resident_bytes(status: Path = Path("/proc/self/status")) -> int:
    """The largest resident set of this process so far: the kernel's own high-water mark, not a poll."""
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    scale = 1 if os.uname().sysname == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def exact_resident_bytes(rollup: Path = Path("/proc/self/smaps_rollup")) -> int:
    """The resident set now, counted page by page; ``resident_bytes`` (off by some pages a CPU) where that is closed."""
    try:
        lines = rollup.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    return resident_bytes()


def resident_bytes(status: Path = Path("/proc/self/status")) -> int:
    """The resident set of this process now; where the kernel does not report it, its peak so far."""
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return peak_resident_bytes(status)
