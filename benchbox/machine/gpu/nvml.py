"""How is NVIDIA's management library reached, who uses the GPU, what energy did it take, and who holds its clocks?

``facts.py`` asks it what the GPU is, ``watch.py`` what happens to it during a measurement. Only read, but for
the clocks that ``held_gpu_clocks`` is asked to hold. Where the library or its package is missing nothing is known, and
nothing is made up.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchbox.backends.cuda.driver import gpu_from_driver
from benchbox.errors import EnvironmentLackError, MeasurementError, UsageError
from benchbox.machine.energy_counter import CounterLostError, Gauge
from benchbox.schema.energy import BOARD, MODULE
from benchbox.schema.plan import BASE_CLOCKS

PACKAGE = "pynvml"
# Between readings of the board's power: its mean over a second is then integrated to a few per cent in 10 s.
POWER_EVERY_S = 0.1


@dataclass(frozen=True, kw_only=True)
class GpuUsers:
    """The processes on the GPU: bytes by process id (None where unknown) as the library lists them.

    ``before`` are the ids that were listed before this process made its CUDA context. In a container the library lists
    the host's ids, under which no process finds itself: the one that came with the context is taken for this one.
    """

    bytes_by_process: Mapping[int, int | None]
    before: frozenset[int] = frozenset()

    @property
    def own(self) -> int | None:
        """The id under which this process is listed, None where several came since or none did."""
        if os.getpid() in self.bytes_by_process:
            return os.getpid()
        came = self.bytes_by_process.keys() - self.before
        return next(iter(came)) if len(came) == 1 else None

    @property
    def own_bytes(self) -> int | None:
        """Bytes of this process, None where it is not listed or they are unknown."""
        return None if self.own is None else self.bytes_by_process[self.own]

    @property
    def others(self) -> int:
        """How many processes besides this one: of those that came with it, one is this one."""
        came = self.bytes_by_process.keys() - self.before
        return len(self.bytes_by_process) - bool(self.own is not None or came)


def users_now() -> frozenset[int]:
    """Ids of the processes on the first GPU, to be read before a CUDA context is made; empty without NVML."""
    with first_gpu_handle() as found:
        return frozenset() if found is None else frozenset(_listed(*found, graphics=True) or ())


def free_bytes() -> int | None:
    """Free memory of the whole GPU, which this library tells without a CUDA context; None without it."""
    with first_gpu_handle() as found:
        if found is None:
            return None
        api, device = found
        free = read_or_none(api, lambda: api.nvmlDeviceGetMemoryInfo(device).free)
        return None if free is None else int(free)


def accounted_bytes(pid: int) -> int | None:
    """The most memory that a process has held, where the administrator has switched accounting on; else None."""
    with first_gpu_handle() as found:
        if found is None:
            return None
        api, device = found
        if not read_or_none(api, lambda: api.nvmlDeviceGetAccountingMode(device)):
            return None
        most = read_or_none(api, lambda: api.nvmlDeviceGetAccountingStats(device, pid).maxMemoryUsage)
        return None if most is None else int(most)


def gpu_users(before: frozenset[int] = frozenset()) -> GpuUsers | None:
    """The processes that compute on the first GPU; None without NVML.

    Args:
        before: ``users_now`` from before this process made its CUDA context.
    """
    with first_gpu_handle() as found:
        listed = None if found is None else _listed(*found, graphics=False)
    return None if listed is None else GpuUsers(bytes_by_process=listed, before=before)


def _listed(api: Any, device: Any, *, graphics: bool) -> dict[int, int | None] | None:
    """Bytes by process id; None where the GPU lists no processes. Of a divided GPU, those of CUDA's instance."""
    device = instance_or_whole(api, device)
    running = read_or_none(api, lambda: api.nvmlDeviceGetComputeRunningProcesses(device))
    if running is None:
        return None
    drawing = read_or_none(api, lambda: api.nvmlDeviceGetGraphicsRunningProcesses(device)) if graphics else None
    return {process.pid: process.usedGpuMemory for process in (*running, *(drawing or ()))}


def instance_or_whole(api: Any, device: Any) -> Any:
    """The handle of the MIG instance that CUDA works on, where the GPU is divided; else the GPU's own."""
    if not read_or_none(api, lambda: api.nvmlDeviceGetMigMode(device)[0]):
        return device
    try:
        name = f"MIG-{gpu_from_driver().uuid.partition('-')[2]}"
    except EnvironmentLackError:
        return device
    return read_or_none(api, lambda: api.nvmlDeviceGetHandleByUUID(name.encode())) or device


@dataclass(frozen=True, kw_only=True)
class GpuEnergyCounter:
    """Energy of the whole board since the driver was loaded, in steps of about 100 ms.

    Where GPU and CPU are one module (GH200), it is the module's: ``scope`` says so.
    """

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
def gpu_gauge(before: frozenset[int] = frozenset()) -> Iterator[Gauge | str]:
    """The first GPU's energy, power and temperature, or why they cannot be read.

    Args:
        before: ``users_now`` from before this process made its CUDA context.
    """
    with first_gpu_handle() as found:
        if found is None:
            yield "NVML, which has the GPU's energy counter, is not there: no pynvml, no driver or no GPU"
            return
        api, device = found
        scope = MODULE if _power_of_module_w(api, device) is not None else BOARD
        counter = GpuEnergyCounter(api=api, device=device, scope=scope)
        try:
            counter.read_j()
        except CounterLostError as error:
            yield f"this GPU has no energy counter ({error.values}); those since Volta have one"
            return
        yield Gauge(
            name="NVML total energy",
            counter=counter,
            look_every_s=POWER_EVERY_S,
            power_w=lambda: _power_of_module_w(api, device) if scope == MODULE else power_w(api, device),
            temperature_c=lambda: read_or_none(
                api, lambda: api.nvmlDeviceGetTemperature(device, api.NVML_TEMPERATURE_GPU)
            ),
            foreign=lambda: _foreign(api, device, before),
        )


def power_w(api: Any, device: Any) -> float | None:
    """Power of the board as the driver's mean, over a second where this GPU has that field, else over what it has.

    The field of the instant goes up and down within milliseconds: ten readings a second of it integrate to nothing.
    """
    mean_w = _mean_power_w(api, device, lambda: api.NVML_FI_DEV_POWER_AVERAGE)
    if mean_w is not None:
        return mean_w
    power_mw = read_or_none(api, lambda: api.nvmlDeviceGetPowerUsage(device))
    return None if power_mw is None else float(power_mw) * 1e-3


def _power_of_module_w(api: Any, device: Any) -> float | None:
    """Mean power of the module that GPU and CPU share; None where there is none, or it has no sensor of its own.

    On such a module the energy counter is the module's (ml-energy/zeus#172), and so must be the sensor beside it. GB10
    is one as well, and knows the scope of the GPU alone (zeus#242): it is asked for, never guessed from the name.
    """
    return _mean_power_w(api, device, lambda: (api.NVML_FI_DEV_POWER_AVERAGE, api.NVML_POWER_SCOPE_MODULE))


def _mean_power_w(api: Any, device: Any, field: Callable[[], Any]) -> float | None:
    fields = read_or_none(api, lambda: api.nvmlDeviceGetFieldValues(device, [field()]))
    if fields is None or fields[0].nvmlReturn != api.NVML_SUCCESS:
        return None
    return float(fields[0].value.uiVal) * 1e-3


def _foreign(api: Any, device: Any, before: frozenset[int]) -> str:
    """Why the board's energy is not that of this process alone, "" if nothing speaks against it."""
    mig = read_or_none(api, lambda: api.nvmlDeviceGetMigMode(device)[0])
    if mig:
        return "the GPU is divided (MIG) and its counter counts all parts: switch MIG off"
    if read_or_none(api, lambda: api.nvmlDeviceGetMPSComputeRunningProcesses(device)):
        return "the GPU is shared through MPS: stop the MPS daemon"
    listed = _listed(api, device, graphics=False) or {}  # a display is flagged, and takes little
    others = GpuUsers(bytes_by_process=listed, before=before).others
    return f"{others} other processes use the GPU: end them" if others else ""


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
    """The package and its handle of the GPU that CUDA calls the first one, None where either is missing.

    CUDA numbers GPUs by speed, as CUDA_VISIBLE_DEVICES asks, this library by place on the bus: the address on the bus
    is what both know. Of a MIG instance it is that of the whole GPU.
    """
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
            device = api.nvmlDeviceGetHandleByPciBusId(gpu_from_driver().pci_bus_id.encode())
        except (api.NVMLError, EnvironmentLackError):
            yield None
            return
        yield api, device
    finally:
        api.nvmlShutdown()


def read_or_none(api: Any, read: Callable[[], Any]) -> Any:
    """What a query gives; None where this GPU does not support it, or a package from before it has no such call."""
    try:
        return read()
    except (api.NVMLError, AttributeError):
        return None


def text_of(value: str | bytes) -> str:
    """Text, which older packages give as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
