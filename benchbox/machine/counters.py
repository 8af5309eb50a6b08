"""What does the operating system count while something is measured: steal, switches, throttling, memory?"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
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
    delays = [task.read_text().split()[1] for task in _TASKS.glob("*/schedstat")]
    if delays:
        found["run_delay_s"] = sum(map(int, delays)) * 1e-9
    if _STAT.exists():
        # user nice system idle iowait irq softirq steal; guest time is counted in user already
        ticks = [float(number) for number in _STAT.read_text().splitlines()[0].split()[1:9]]
        found["all_ticks"] = sum(ticks)
        found["busy_ticks"] = sum(ticks) - sum(ticks[3:5])
        found["steal_ticks"] = ticks[7] if len(ticks) > 7 else 0.0
    if _PRESSURE.exists():
        # Time in which some task of the machine waited for a CPU, in microseconds at the end of the first line.
        found["pressure_s"] = float(_PRESSURE.read_text().split("\n")[0].rpartition("=")[2]) * 1e-6
    for file in (_CGROUP / "cpu.stat", _CGROUP / "cpu" / "cpu.stat"):
        if file.exists():
            words = dict(line.split()[:2] for line in file.read_text().splitlines() if len(line.split()) >= 2)
            if "nr_throttled" in words:
                found["cgroup_throttled"] = float(words["nr_throttled"])
    return found


def differences(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """How much each counter grew between two readings."""
    return {name: after[name] - before[name] for name in before if name in after}


def others_share(grown: Mapping[str, float]) -> float | None:
    """The share of all CPUs that others used, by what the counters grew; None where the kernel does not say."""
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
    """The resident set of this process now; where the kernel does not tell, its largest so far."""
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return peak_resident_bytes(status)
