"""What happens to the GPU while it is timed: throttling, clocks, errors, its link, other users?

Read before the first, between and after the last block of inferences, never while one runs and never by a thread of its
own. What counts is cumulative counters where there are some: a bit that is looked at now and then misses short events.
The result is a part of a trial's counters; what this GPU or driver does not report is not in it.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchbox.backends.cuda.driver import gpu_from_driver
from benchbox.errors import EnvironmentLackError
from benchbox.machine.gpu.facts import numa_node, pci_bus_id
from benchbox.machine.gpu.nvml import GpuUsers, first_gpu_handle, instance_or_whole, power_w, read_or_none

HZ_PER_MHZ = 1e6
_NS = 1e-9
# From this many looks on, the lowest and the highest tenth of the clocks are single odd readings.
_ENOUGH_FOR_TENTHS = 5
# Counters of time spent throttled. By name: ids of some of them changed between versions of the package.
_THROTTLE_FIELDS = {
    "NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN": "gpu_throttle_hw_s",
    "NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN": "gpu_throttle_hw_s",
    "NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN": "gpu_throttle_sw_thermal_s",
    "NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP": "gpu_power_capped_s",
}
# What older GPUs have instead; thermal violations are of hardware and software together.
_VIOLATIONS = {
    "NVML_PERF_POLICY_THERMAL": "gpu_throttle_sw_thermal_s",
    "NVML_PERF_POLICY_POWER": "gpu_power_capped_s",
}
# Nothing is throttled longer than the window: such a difference is of another unit or of another counter.
_POSSIBLE = 1.5
# Which members of NVML's union hold values of which NVML_VALUE_TYPE_*.
_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")


class GpuWatch:
    """The first GPU from ``begin`` to ``seen``; ``look`` between blocks.

    Args:
        api: the package.
        device: its handle of the GPU.
        root: where /sys and /proc are looked for.
        users_before: who used the GPU before this process made its CUDA context.
        cuda_pci_bus_id: of the GPU that CUDA works on, as the session reports it; "" where unknown.
    """

    def __init__(
        self,
        api: Any,
        device: Any,
        root: Path,
        *,
        users_before: frozenset[int] = frozenset(),
        cuda_pci_bus_id: str = "",
    ) -> None:
        self._users_before = users_before
        self._cuda_pci_bus_id = cuda_pci_bus_id
        self._api = api
        self._device = device
        self._root = root
        self._clocks_hz: list[float] = []
        self._slowed: list[bool] = []
        self._beside: dict[str, list[float]] = {}
        self._remote = 0
        self._looks = 0
        self._link = (0, 0)
        self._local = _cpus_of_node(root, numa_node(api, device, root))
        self._events = read_or_none(api, self._registered)
        self._before: dict[str, float] = {}
        self._users: dict[str, float] = {}
        self._begin_s = 0.0

    def begin(self) -> None:
        """Takes the counters before the first block."""
        self._users = self._shared_with()
        self._begin_s = time.perf_counter()
        self._before = self._counts()

    def look(self) -> None:
        """Reads clocks, power, heat, the link and where this thread runs: right after a block, before the GPU idles."""
        api, device = self._api, self._device
        clock_hz = self.clock_hz()
        if clock_hz is not None:
            self._clocks_hz.append(clock_hz)
        reasons = read_or_none(api, lambda: api.nvmlDeviceGetCurrentClocksEventReasons(device))
        if reasons is not None:
            self._slowed.append(bool(reasons & api.nvmlClocksEventReasonHwSlowdown))
        link = read_or_none(
            api,
            lambda: (api.nvmlDeviceGetCurrPcieLinkGeneration(device), api.nvmlDeviceGetCurrPcieLinkWidth(device)),
        )
        for name, read in (
            ("memory_clock_hz", lambda: HZ_PER_MHZ * api.nvmlDeviceGetClockInfo(device, api.NVML_CLOCK_MEM)),
            ("power_w", self.power_w),
            ("temperature_c", lambda: api.nvmlDeviceGetTemperature(device, api.NVML_TEMPERATURE_GPU)),
            ("state", lambda: api.nvmlDeviceGetPerformanceState(device)),
        ):
            value = read_or_none(api, read)
            if value is not None:
                self._beside.setdefault(name, []).append(float(value))
        # A link that idles is slower: the best that was seen under load counts.
        self._link = max(self._link, link or (0, 0))
        if self._local:
            self._remote += _current_cpu(self._root) not in self._local
        self._looks += 1

    def clock_hz(self) -> float | None:
        """The SM clock now, None where this GPU does not report it."""
        api = self._api
        clock_mhz = read_or_none(api, lambda: api.nvmlDeviceGetClockInfo(self._device, api.NVML_CLOCK_SM))
        return None if clock_mhz is None else clock_mhz * HZ_PER_MHZ

    def power_w(self) -> float | None:
        """Power of the board now, by the driver's own mean over a second where it has one; None where unknown."""
        return power_w(self._api, self._device)

    def seen(self) -> dict[str, float]:
        """What happened since ``begin``; see docs/metrics.md for the names."""
        after = self._counts()
        window_s = time.perf_counter() - self._begin_s
        grown = {name: after[name] - before for name, before in self._before.items() if name in after}
        found = {
            name: value
            for name, value in grown.items()
            if not name.endswith("_s") or 0 <= value <= _POSSIBLE * window_s
        }
        found |= {"gpu_window_s": window_s, "gpu_looks": float(self._looks)}
        found |= self._clocks() | self._links() | self._states()
        users = self._shared_with()
        found |= {name: max(value, self._users.get(name, 0.0)) for name, value in users.items()}
        if self._local:
            found["gpu_numa_remote_looks"] = float(self._remote)
        return found | self._xids()

    def close(self) -> None:
        """Gives the set of events back."""
        if self._events is not None:
            read_or_none(self._api, lambda: self._api.nvmlEventSetFree(self._events))

    def _counts(self) -> dict[str, float]:
        api, device = self._api, self._device
        found = self._throttled()
        for policy, name in _VIOLATIONS.items():
            if name not in found:
                time_ns = read_or_none(
                    api,
                    lambda policy=policy: api.nvmlDeviceGetViolationStatus(device, getattr(api, policy)).violationTime,  # type: ignore[misc]
                )
                if time_ns is not None:
                    found[name] = time_ns * _NS
        for kind, name in (
            ("NVML_MEMORY_ERROR_TYPE_UNCORRECTED", "gpu_ecc_uncorrected"),
            ("NVML_MEMORY_ERROR_TYPE_CORRECTED", "gpu_ecc_corrected"),
        ):
            count = read_or_none(
                api,
                lambda kind=kind: api.nvmlDeviceGetTotalEccErrors(device, getattr(api, kind), api.NVML_VOLATILE_ECC),  # type: ignore[misc]
            )
            if count is not None:
                found[name] = float(count)
        rows = read_or_none(api, lambda: api.nvmlDeviceGetRemappedRows(device))
        if rows is not None:
            found["gpu_remapped_rows"] = float(rows[0] + rows[1])
        return found

    def _throttled(self) -> dict[str, float]:
        """Seconds since the driver was loaded, by counter."""
        api = self._api
        known = {getattr(api, field): name for field, name in _THROTTLE_FIELDS.items() if hasattr(api, field)}
        values = read_or_none(api, lambda: api.nvmlDeviceGetFieldValues(self._device, list(known))) or ()
        found: dict[str, float] = {}
        for value in values:
            if value.nvmlReturn == api.NVML_SUCCESS and value.valueType < len(_MEMBERS):
                name = known[value.fieldId]
                found[name] = found.get(name, 0.0) + float(getattr(value.value, _MEMBERS[value.valueType])) * _NS
        return found

    def _clocks(self) -> dict[str, float]:
        found: dict[str, float] = {}
        if self._clocks_hz:
            found["gpu_clock_min_hz"], found["gpu_clock_max_hz"] = min(self._clocks_hz), max(self._clocks_hz)
            found["gpu_clock_median_hz"] = statistics.median(self._clocks_hz)
            if len(self._clocks_hz) >= _ENOUGH_FOR_TENTHS:
                tenths = statistics.quantiles(self._clocks_hz, n=10)
                found["gpu_clock_p10_hz"], found["gpu_clock_p90_hz"] = tenths[0], tenths[-1]
        if self._slowed:
            found["gpu_slowdown_looks"] = float(sum(self._slowed))
        return found | self._heat() | self._limits()

    def _heat(self) -> dict[str, float]:
        """Memory clock, power, temperature and performance state over the looks."""
        found: dict[str, float] = {}
        if powers := self._beside.get("power_w"):
            found["gpu_power_median_w"] = statistics.median(powers)
        if clocks := self._beside.get("memory_clock_hz"):
            found["gpu_memory_clock_min_hz"], found["gpu_memory_clock_max_hz"] = min(clocks), max(clocks)
        if heat := self._beside.get("temperature_c"):
            found["gpu_temperature_first_c"], found["gpu_temperature_last_c"] = heat[0], heat[-1]
        if states := self._beside.get("state"):
            found["gpu_performance_state"] = max(states)
        return found

    def _limits(self) -> dict[str, float]:
        """The clock that the GPU is sold with, as CUDA or NVML say it, and the highest that it could reach."""
        api, device = self._api, self._device
        limit = read_or_none(api, lambda: api.nvmlDeviceGetMaxClockInfo(device, api.NVML_CLOCK_SM))
        usual = read_or_none(api, lambda: api.nvmlDeviceGetDefaultApplicationsClock(device, api.NVML_CLOCK_SM))
        with contextlib.suppress(EnvironmentLackError):
            usual = (gpu_from_driver().clock_hz or 0.0) / HZ_PER_MHZ or usual
        found = {"gpu_clock_limit_hz": limit, "gpu_clock_default_hz": usual}
        return {name: float(mhz) * HZ_PER_MHZ for name, mhz in found.items() if mhz}

    def _links(self) -> dict[str, float]:
        api, device = self._api, self._device
        limit = read_or_none(
            api, lambda: (api.nvmlDeviceGetMaxPcieLinkGeneration(device), api.nvmlDeviceGetMaxPcieLinkWidth(device))
        )
        if limit is None or self._link == (0, 0):
            return {}
        return {
            "gpu_pcie_generation": float(self._link[0]),
            "gpu_pcie_lanes": float(self._link[1]),
            "gpu_pcie_generation_limit": float(limit[0]),
            "gpu_pcie_lanes_limit": float(limit[1]),
        }

    def _states(self) -> dict[str, float]:
        api = self._api
        states = {
            "gpu_confidential_compute": lambda: api.nvmlSystemGetConfComputeState().ccFeature,
            "gpu_mig": lambda: api.nvmlDeviceGetMigMode(self._device)[0],
        }
        answers = {name: read_or_none(api, read) for name, read in states.items()}
        watched = pci_bus_id(api, self._device)
        if watched and self._cuda_pci_bus_id:
            answers["gpu_not_cudas"] = watched != self._cuda_pci_bus_id
        return {name: float(value) for name, value in answers.items() if value is not None}

    def _shared_with(self) -> dict[str, float]:
        api, device = self._api, self._device
        found: dict[str, float] = {}
        own = instance_or_whole(api, device)
        running = read_or_none(api, lambda: api.nvmlDeviceGetComputeRunningProcesses(own))
        if running is not None:
            listed = {process.pid: process.usedGpuMemory for process in running}
            users = GpuUsers(bytes_by_process=listed, before=self._users_before)
            found["gpu_other_processes"] = float(users.others)
        for name, read in (
            ("gpu_graphics_processes", lambda: api.nvmlDeviceGetGraphicsRunningProcesses(device)),
            ("gpu_mps_processes", lambda: api.nvmlDeviceGetMPSComputeRunningProcesses(device)),
        ):
            others = read_or_none(api, read)
            if others is not None:
                found[name] = float(len(others))
        return found

    def _registered(self) -> Any:
        """A set of events that takes critical errors (XID) of this GPU from now on."""
        api = self._api
        events = api.nvmlEventSetCreate()
        api.nvmlDeviceRegisterEvents(self._device, api.nvmlEventTypeXidCriticalError, events)
        return events

    def _xids(self) -> dict[str, float]:
        if self._events is None:
            return {}
        api = self._api
        numbers: list[float] = []
        # At most as many as a driver would keep: a GPU that fails all the time must not hold this up.
        while len(numbers) < 100:
            event = read_or_none(api, lambda: api.nvmlEventSetWait_v2(self._events, 0))
            if event is None:  # nothing more waits, which NVML calls a timeout
                break
            numbers.append(float(event.eventData))
        return {"gpu_xid_events": float(len(numbers)), **({"gpu_xid_last": numbers[-1]} if numbers else {})}


@contextlib.contextmanager
def gpu_watch(
    root: Path = Path("/"), *, users_before: frozenset[int] = frozenset(), cuda_pci_bus_id: str = ""
) -> Iterator[GpuWatch | None]:
    """The first GPU while it is timed; None without NVML. See ``GpuWatch`` for the arguments."""
    with first_gpu_handle() as found:
        if found is None:
            yield None
            return
        watch = GpuWatch(*found, root, users_before=users_before, cuda_pci_bus_id=cuda_pci_bus_id)
        try:
            yield watch
        finally:
            watch.close()


def _cpus_of_node(root: Path, node: int | None) -> frozenset[int]:
    """The CPUs beside the GPU; none where the machine has a single node or does not report it."""
    nodes = root / "sys/devices/system/node"
    if node is None or len(list(nodes.glob("node[0-9]*"))) < 2:
        return frozenset()
    try:
        return cpus_from_list((nodes / f"node{node}" / "cpulist").read_text())
    except (OSError, ValueError):
        return frozenset()


def cpus_from_list(text: str) -> frozenset[int]:
    """The kernel's way to write sets of CPUs: "0-3,8" is 0, 1, 2, 3 and 8."""
    found: set[int] = set()
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _current_cpu(root: Path) -> int:
    """The CPU that this process's first thread, which starts the inferences, last ran on; -1 where unknown."""
    try:
        return int((root / f"proc/{os.getpid()}/stat").read_text().rsplit(")", 1)[1].split()[36])
    except (OSError, ValueError, IndexError):
        return -1
