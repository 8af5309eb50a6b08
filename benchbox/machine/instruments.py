"""Which counters can be read on this machine, and which settings can be changed?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchbox.machine.counters import counters
from benchbox.machine.gpu.nvml import gpu_gauge
from benchbox.machine.gpu.watch import gpu_watch
from benchbox.machine.rapl import powercap_root, rapl_gauge

_NO_NVML = "needs an NVIDIA driver and pip install nvidia-ml-py"
# Counters of a GPU's watch, and what they are for.
_GPU = {
    "GPU clocks": "gpu_clock_median_hz",
    "GPU throttling": "gpu_throttle_sw_thermal_s",
    "GPU power limit": "gpu_power_capped_s",
    "GPU memory errors": "gpu_ecc_uncorrected",
    "GPU driver errors (XID)": "gpu_xid_events",
    "PCIe link": "gpu_pcie_lanes",
}
# Counters of the kernel, what they are for and where they come from.
_HOST = {
    "waiting for a CPU": ("run_delay_s", "/proc/self/task/*/schedstat", "a kernel with CONFIG_SCHED_INFO"),
    "steal": ("steal_ticks", "/proc/stat", "Linux"),
    "CPU quota": ("cgroup_throttled", "cpu.stat of the cgroup", "a cgroup with a CPU controller"),
}


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """Something that a measurement reads or sets: whether it can, from which source, or what it needs."""

    name: str
    usable: bool
    detail: str


def instruments(root: Path = Path("/")) -> tuple[Instrument, ...]:
    """Everything that ``benchbox run`` reads or sets where it can.

    Args:
        root: where /proc and /sys are looked for.
    """
    return (*_host(root), *_energy(), *_gpu(root))


def _host(root: Path) -> Iterator[Instrument]:
    found = counters()
    for name, (counter, source, needs) in _HOST.items():
        there = counter in found
        yield Instrument(name=name, usable=there, detail=source if there else f"needs {needs}")
    pressure = root / "proc/pressure/cpu"
    yield Instrument(
        name="pressure (PSI)",
        usable=os.access(pressure, os.R_OK),
        detail="/proc/pressure" if os.access(pressure, os.R_OK) else "needs a kernel started with psi=1",
    )
    yield _hardware_counters(root)


def _hardware_counters(root: Path) -> Instrument:
    """Not read by benchbox: for those who look for the cause of a number with perf."""
    name, sources = "hardware counters (perf)", root / "sys/bus/event_source/devices"
    if not any(sources.glob("cpu*")) and not any(sources.glob("armv*")):
        return Instrument(name=name, usable=False, detail="this machine has none, as most virtual machines")
    try:
        level = int((root / "proc/sys/kernel/perf_event_paranoid").read_text())
    except (OSError, ValueError):
        return Instrument(name=name, usable=False, detail="the kernel was built without perf")
    allowed = level <= 2 or _is_root()
    detail = f"kernel.perf_event_paranoid is {level}"
    return Instrument(name=name, usable=allowed, detail=detail if allowed else f"{detail}: needs root, or 2 or less")


def _energy() -> Iterator[Instrument]:
    for name, gauge in (("energy of the CPU", rapl_gauge(root=powercap_root())), ("energy of the GPU", gpu_gauge())):
        with gauge as found:
            lacking = found if isinstance(found, str) else ""
            detail = lacking or (found.name if not isinstance(found, str) else "")
        yield Instrument(name=name, usable=not lacking, detail=detail)


def _gpu(root: Path) -> Iterator[Instrument]:
    with gpu_watch(root) as watch:
        seen: dict[str, float] | None = None
        if watch is not None:
            watch.begin()
            watch.look()
            seen = watch.seen()
    if seen is None:
        yield Instrument(name="state and clocks of the GPU", usable=False, detail=_NO_NVML)
        return
    for name, counter in _GPU.items():
        there = counter in seen
        yield Instrument(
            name=name, usable=there, detail="NVML" if there else "not reported by this GPU or its driver: not flagged"
        )
    # Only trying would show for sure, and doctor changes nothing.
    yield Instrument(
        name="locking GPU clocks",
        usable=_is_root(),
        detail="--lock-clocks (as root, if the GPU allows it)" if _is_root() else "needs root",
    )


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
