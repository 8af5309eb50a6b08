"""What does NVIDIA's management library say of the GPU: what it is, how it is set, and who uses it?

Only read, never set. Where the library or its package is missing nothing is known, and nothing is made up. Process ids
are the host's: inside a container a process may not find itself, and its memory is then unknown, not zero.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

PACKAGE = "pynvml"


@dataclass(frozen=True, kw_only=True)
class GpuUsers:
    """Who uses the GPU: bytes by process id (None where not told) as the library sees them."""

    bytes_by_process: Mapping[int, int | None]

    def memory_of(self, process: int) -> int | None:
        """Bytes of one process, None where it is not seen or not told."""
        return self.bytes_by_process.get(process)

    @property
    def others(self) -> int:
        """How many processes besides the one that asks, which is among them, if under another id in a container."""
        return max(0, len(self.bytes_by_process) - 1)


def gpu_facts() -> dict[str, str]:
    """Name, memory, driver, clocks, power limit and modes of the first GPU as text; empty without NVML."""
    with _handle() as found:
        if found is None:
            return {}
        api, device = found
        reads: dict[str, Callable[[], str]] = {
            "gpu": lambda: _text(api.nvmlDeviceGetName(device)),
            "gpu_memory_gib": lambda: str(round(api.nvmlDeviceGetMemoryInfo(device).total / 2**30)),
            "gpu_power_limit_w": lambda: str(api.nvmlDeviceGetEnforcedPowerLimit(device) // 1000),
            "gpu_max_sm_clock_mhz": lambda: str(api.nvmlDeviceGetMaxClockInfo(device, api.NVML_CLOCK_SM)),
            "gpu_max_memory_clock_mhz": lambda: str(api.nvmlDeviceGetMaxClockInfo(device, api.NVML_CLOCK_MEM)),
            "gpu_persistence": lambda: str(api.nvmlDeviceGetPersistenceMode(device)),
            "gpu_ecc": lambda: str(api.nvmlDeviceGetEccMode(device)[0]),
            "gpu_compute_mode": lambda: str(api.nvmlDeviceGetComputeMode(device)),
            "gpu_mig": lambda: str(api.nvmlDeviceGetMigMode(device)[0]),
            "nvidia_driver": lambda: _text(api.nvmlSystemGetDriverVersion()),
        }
        facts = {name: _read(api, read) for name, read in reads.items()}
    return {name: value for name, value in facts.items() if value is not None}


def gpu_now() -> dict[str, str]:
    """Clock, temperature, power draw and used memory of the first GPU at this moment; empty without NVML."""
    with _handle() as found:
        if found is None:
            return {}
        api, device = found
        reads: dict[str, Callable[[], str]] = {
            "gpu_sm_clock_mhz": lambda: str(api.nvmlDeviceGetClockInfo(device, api.NVML_CLOCK_SM)),
            "gpu_temperature_c": lambda: str(api.nvmlDeviceGetTemperature(device, api.NVML_TEMPERATURE_GPU)),
            "gpu_power_w": lambda: str(round(api.nvmlDeviceGetPowerUsage(device) / 1000)),
            "gpu_memory_used_mib": lambda: str(api.nvmlDeviceGetMemoryInfo(device).used // 2**20),
        }
        facts = {name: _read(api, read) for name, read in reads.items()}
    return {name: value for name, value in facts.items() if value is not None}


def gpu_users() -> GpuUsers | None:
    """The processes that compute on the first GPU; None without NVML."""
    with _handle() as found:
        if found is None:
            return None
        api, device = found
        processes = _read(api, lambda: api.nvmlDeviceGetComputeRunningProcesses(device))
    if processes is None:
        return None
    return GpuUsers(bytes_by_process={process.pid: process.usedGpuMemory for process in processes})


@contextlib.contextmanager
def _handle() -> Iterator[tuple[Any, Any] | None]:
    """The package and the first GPU, None where either is missing."""
    if importlib.util.find_spec(PACKAGE) is None:
        yield None
        return
    api = importlib.import_module(PACKAGE)
    try:
        api.nvmlInit()
    except api.NVMLError:
        yield None
        return
    try:
        try:
            device = api.nvmlDeviceGetHandleByIndex(0)
        except api.NVMLError:
            yield None
            return
        yield api, device
    finally:
        api.nvmlShutdown()


def _read(api: Any, read: Callable[[], Any]) -> Any:
    """What a query gives, None where this GPU does not support it."""
    try:
        return read()
    except api.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
