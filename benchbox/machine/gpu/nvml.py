"""How is NVIDIA's management library reached, who uses the GPU, what energy did it take, and who holds its clocks?

``facts.py`` asks it what the GPU is, ``watch.py`` what happens to it during a measurement. Only read, but for
the clocks that ``held_gpu_clocks`` is asked to hold. Where the library or its package is missing nothing is known, and
nothing is made up. Process ids are the host's: inside a container a process may not find itself, and its memory is
then unknown, not zero.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchbox.errors import EnvironmentLackError, MeasurementError, UsageError
from benchbox.machine.energy_counter import CounterLostError, Gauge
from benchbox.schema.plan import BASE_CLOCKS

PACKAGE = "pynvml"
BOARD = "gpu_board"


@dataclass(frozen=True, kw_only=True)
class GpuUsers:
    """Who uses the GPU: bytes by process id (None where not told) as the library sees them."""

    bytes_by_process: Mapping[int, int | None]

    def memory_of(self, process: int) -> int | None:
        """Bytes of one process, None where it is not seen or not told."""
        return self.bytes_by_process.get(process)

    @property
    def others(self) -> int:
        """How many processes besides the one that asks and its parent, which may have built an engine.

        In a container the one that asks is among them under another id, and its parent cannot be told from others.
        """
        if os.getpid() in self.bytes_by_process:
            return len(self.bytes_by_process.keys() - {os.getpid(), os.getppid()})
        return max(0, len(self.bytes_by_process) - 1)


def gpu_users() -> GpuUsers | None:
    """The processes that compute on the first GPU; None without NVML."""
    with first_gpu_handle() as found:
        if found is None:
            return None
        api, device = found
        processes = read_or_none(api, lambda: api.nvmlDeviceGetComputeRunningProcesses(device))
    if processes is None:
        return None
    return GpuUsers(bytes_by_process={process.pid: process.usedGpuMemory for process in processes})


@dataclass(frozen=True, kw_only=True)
class GpuEnergyCounter:
    """Energy of the whole board since the driver was loaded, in steps of about 100 ms."""

    api: Any
    device: Any
    scope: str = BOARD

    def read_j(self) -> float:
        """Joules; raises CounterLostError where the GPU does not say."""
        try:
            return float(self.api.nvmlDeviceGetTotalEnergyConsumption(self.device)) * 1e-3
        except self.api.NVMLError as error:
            raise CounterLostError("the GPU's energy counter cannot be read", values=str(error)) from error


@contextlib.contextmanager
def gpu_gauge() -> Iterator[Gauge | str]:
    """The first GPU's energy, power and temperature, or why they cannot be read."""
    with first_gpu_handle() as found:
        if found is None:
            yield "NVML, which has the GPU's energy counter, is not there: no pynvml, no driver or no GPU"
            return
        api, device = found
        counter = GpuEnergyCounter(api=api, device=device)
        try:
            counter.read_j()
        except CounterLostError as error:
            yield f"this GPU has no energy counter ({error.values}); those since Volta have one"
            return
        yield Gauge(
            name="NVML total energy",
            counter=counter,
            power_w=lambda: _power_w(api, device),
            temperature_c=lambda: read_or_none(
                api, lambda: api.nvmlDeviceGetTemperature(device, api.NVML_TEMPERATURE_GPU)
            ),
            foreign=lambda: _foreign(api, device),
        )


def _power_w(api: Any, device: Any) -> float | None:
    """Power at this moment; where the GPU has no such field what it has instead, a mean over 1 s since Ampere."""
    fields = read_or_none(api, lambda: api.nvmlDeviceGetFieldValues(device, [api.NVML_FI_DEV_POWER_INSTANT]))
    if fields is not None and fields[0].nvmlReturn == api.NVML_SUCCESS:
        return float(fields[0].value.uiVal) * 1e-3
    power_mw = read_or_none(api, lambda: api.nvmlDeviceGetPowerUsage(device))
    return None if power_mw is None else float(power_mw) * 1e-3


def _foreign(api: Any, device: Any) -> str:
    """Why the board's energy is not that of this process alone, "" if nothing speaks against it."""
    mig = read_or_none(api, lambda: api.nvmlDeviceGetMigMode(device)[0])
    if mig:
        return "the GPU is divided (MIG) and its counter counts all parts: switch MIG off"
    if read_or_none(api, lambda: api.nvmlDeviceGetMPSComputeRunningProcesses(device)):
        return "the GPU is shared through MPS: stop the MPS daemon"
    listed: dict[int, int | None] = {}
    for query in (api.nvmlDeviceGetComputeRunningProcesses, api.nvmlDeviceGetGraphicsRunningProcesses):
        listed.update({process.pid: process.usedGpuMemory for process in _processes(api, query, device)})
    others = GpuUsers(bytes_by_process=listed).others
    if not others:
        return ""
    if os.getpid() in listed:
        return f"{others} other processes use the GPU: end them"
    return (
        f"{others} other processes use the GPU, where process ids are hidden: end them; it may be this run itself, "
        "which built an engine: run it again"
    )


def _processes(api: Any, query: Callable[[Any], Any], device: Any) -> Any:
    return read_or_none(api, lambda: query(device)) or ()


@contextlib.contextmanager
def held_gpu_clocks(mhz: int | None) -> Iterator[str]:
    """Holds the first GPU's clocks, says at what, and sets them free at the end.

    Args:
        mhz: the SM clock; None holds the base clock, which the GPU can keep up at its power limit.

    Raises:
        EnvironmentLackError: there is no GPU, or this process may not set its clocks.
        UsageError: the GPU has no such clock.
        MeasurementError: the clocks could not be set free again.
    """
    with first_gpu_handle() as found:
        if found is None:
            raise _unlockable("NVML is not there: no pynvml, no driver or no GPU")
        api, device = found
        highest = read_or_none(api, lambda: api.nvmlDeviceGetMaxClockInfo(device, api.NVML_CLOCK_SM))
        if mhz is not None and highest is not None and mhz > highest:
            raise UsageError(f"the GPU has no clock of {mhz} MHz", values=f"its highest is {highest} MHz")
        wanted = api.NVML_CLOCK_LIMIT_ID_TDP if mhz is None else mhz
        try:
            api.nvmlDeviceSetGpuLockedClocks(device, wanted, wanted)
        except api.NVMLError as error:
            raise _unlockable(str(error)) from error
        try:
            yield BASE_CLOCKS if mhz is None else f"{mhz} MHz"
        finally:
            _free_clocks(api, device)


def free_gpu_clocks() -> None:
    """Sets the first GPU's clocks free; raises MeasurementError where that does not succeed."""
    with first_gpu_handle() as found:
        if found is None:
            raise MeasurementError("the GPU's clocks cannot be set free", values="NVML is not there any more")
        _free_clocks(*found)


def _free_clocks(api: Any, device: Any) -> None:
    try:
        api.nvmlDeviceResetGpuLockedClocks(device)
    except api.NVMLError as error:
        raise MeasurementError(
            "the GPU's clocks are still locked", values=str(error), remedy="set them free: nvidia-smi -rgc"
        ) from error


def _unlockable(reason: str) -> EnvironmentLackError:
    return EnvironmentLackError(
        "the GPU's clocks cannot be locked here",
        values=reason,
        remedy="leave out --lock-clocks, or run as root on a machine whose GPU allows it",
    )


@contextlib.contextmanager
def first_gpu_handle() -> Iterator[tuple[Any, Any] | None]:
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
            device = _first_device(api)
        except api.NVMLError:
            yield None
            return
        yield api, device
    finally:
        api.nvmlShutdown()


def _first_device(api: Any) -> Any:
    """The GPU that CUDA calls the first one."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if first.startswith("GPU-"):
        return api.nvmlDeviceGetHandleByUUID(first)
    return api.nvmlDeviceGetHandleByIndex(int(first) if first.isdigit() else 0)


def read_or_none(api: Any, read: Callable[[], Any]) -> Any:
    """What a query gives; None where this GPU does not support it, or a package from before it has no such call."""
    try:
        return read()
    except (api.NVMLError, AttributeError):
        return None


def text_of(value: str | bytes) -> str:
    """Text, which older packages give as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
