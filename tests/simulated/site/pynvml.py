"""What would ``pynvml`` say if the simulated device were the GPU?

Names and values are those of nvidia-ml-py; only what benchbox calls is here. The device's energy is its idle power
times the host's time since the process began, plus its busy power times the virtual time in which it worked, shown as
of the last tick; so that the net energy of an inference is known however slow the machine is.
"""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from simulated_device import DEVICE, HIDDEN, NAME

NVML_SUCCESS = 0
NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2
NVML_TEMPERATURE_GPU = 0
NVML_TEMPERATURE_THRESHOLD_SLOWDOWN = 1
NVML_FI_DEV_POWER_AVERAGE, NVML_FI_DEV_POWER_INSTANT = 185, 186
NVML_POWER_SCOPE_GPU, NVML_POWER_SCOPE_MODULE = 0, 1
NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP = 74
NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN = 269
NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN = 270
NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN = 271
NVML_PERF_POLICY_POWER, NVML_PERF_POLICY_THERMAL = 0, 1
NVML_MEMORY_ERROR_TYPE_CORRECTED, NVML_MEMORY_ERROR_TYPE_UNCORRECTED = 0, 1
NVML_VOLATILE_ECC = 0
nvmlClocksEventReasonHwSlowdown = 8
nvmlEventTypeXidCriticalError = 8
NVML_CLOCK_LIMIT_ID_TDP = 0xFFFFFF01


class NVMLError(Exception):
    """As the real one: what a call raises."""


class _Meter:
    """The board's energy at the last tick, and the power between the last two."""

    def __init__(self) -> None:
        self.begin_s = time.perf_counter()
        self.tick = 0
        self.shown_j = 0.0
        self.power_w = DEVICE.knobs["idle_w"]
        DEVICE.on_work = self.look

    def look(self) -> None:
        """Called before work adds to the energy, and before each reading: brings what is shown up to date."""
        now_s = time.perf_counter() - self.begin_s
        tick = math.floor(now_s / DEVICE.knobs["tick_s"])
        if tick > self.tick:
            drawn_j = (
                DEVICE.knobs["idle_w"] * tick * DEVICE.knobs["tick_s"] + DEVICE.knobs["busy_w"] * DEVICE.busy_ns * 1e-9
            )
            self.power_w = (drawn_j - self.shown_j) / ((tick - self.tick) * DEVICE.knobs["tick_s"])
            self.shown_j, self.tick = drawn_j, tick


_METER = _Meter()
_NOT_SUPPORTED = 3
# How the power of an instant strays from the mean, in shares of the noise: up and down within milliseconds.
_UNREST = (1.0, -0.6, 0.8, -1.0, 0.3)
_UNSIGNED_LONG_LONG = 3
# How often each of the things that come up after the first reading was read.
_READ: dict[str, int] = {}


def _after_the_first(knob: str) -> int:
    _READ[knob] = _READ.get(knob, -1) + 1
    return int(DEVICE.knobs[knob]) if _READ[knob] else 0


def _in_turn(knob: str) -> float:
    """What comes next of a list of readings, from the beginning again after the last."""
    values = DEVICE.knobs[knob]
    _READ[knob] = _READ.get(knob, -1) + 1
    return float(values[_READ[knob] % len(values)])


def _throttled_ns(knob: str) -> int:
    """As the counter stands now: a share of the time since this process began."""
    return round(1e9 * DEVICE.knobs[knob] * (time.perf_counter() - _METER.begin_s))


def _state() -> Path | None:
    place = DEVICE.knobs["state"]
    return Path(place) if place else None


def _calls(word: str) -> None:
    """Keeps what was set where a test can see it, from every process."""
    state = _state()
    if state is not None:
        with state.open("a") as file:
            file.write(word + "\n")


def nvmlInit() -> None:
    if DEVICE.knobs["target"] == "none" or not DEVICE.knobs["nvml"]:
        raise NVMLError("NVML Shared Library Not Found")


def nvmlShutdown() -> None:
    return None


def nvmlDeviceGetHandleByUUID(uuid: bytes) -> str:
    for index, gpu in enumerate(DEVICE.knobs["gpus"]):
        if uuid.decode() == gpu["uuid"]:
            return f"device {index}"
        if uuid.decode() in gpu.get("mig", ()):
            return f"device {index} instance"
    raise NVMLError("Not Found")


def _gpu(handle: str) -> dict[str, Any]:
    gpu: dict[str, Any] = DEVICE.knobs["gpus"][int(handle.split()[1])]
    return gpu


def _used(handle: str) -> bool:
    """Whether it is the GPU that CUDA works on in this process."""
    visible = DEVICE.cuda_gpus()
    return bool(visible) and visible[0]["pci"] == _gpu(handle)["pci"]


def nvmlDeviceGetHandleByIndex(index: int) -> str:
    if index >= len(DEVICE.knobs["gpus"]):
        raise NVMLError("Invalid Argument")
    return f"device {index}"


def nvmlDeviceGetHandleByPciBusId(pciBusId: bytes) -> str:
    if not isinstance(pciBusId, bytes):
        raise TypeError("it goes to C as it is")
    for index, gpu in enumerate(DEVICE.knobs["gpus"]):
        if gpu["pci"].encode().lower() == pciBusId.lower():
            return f"device {index}"
    raise NVMLError("Not Found")


def nvmlDeviceGetName(handle: str) -> str:
    return NAME


def nvmlSystemGetDriverVersion() -> str:
    return str(DEVICE.knobs["driver"])


def nvmlDeviceGetMemoryInfo(handle: str) -> Any:
    return SimpleNamespace(
        total=DEVICE.knobs["memory_bytes"],
        used=DEVICE.taken_bytes,
        free=DEVICE.knobs["memory_bytes"] - DEVICE.taken_bytes,
    )


def nvmlDeviceGetAccountingMode(handle: str) -> int:
    return int(DEVICE.knobs["accounted_bytes"] > 0)


def nvmlDeviceGetAccountingStats(handle: str, pid: int) -> Any:
    return SimpleNamespace(maxMemoryUsage=DEVICE.knobs["accounted_bytes"])


def nvmlDeviceGetEnforcedPowerLimit(handle: str) -> int:
    return round(1000 * DEVICE.knobs["power_limit_w"])


def nvmlDeviceGetPowerManagementLimit(handle: str) -> int:
    return nvmlDeviceGetEnforcedPowerLimit(handle)


def nvmlDeviceGetPowerManagementDefaultLimit(handle: str) -> int:
    return 300_000


def nvmlDeviceGetUUID(handle: str) -> str:
    return str(_gpu(handle)["uuid"])


def nvmlDeviceGetCudaComputeCapability(handle: str) -> tuple[int, int]:
    number = DEVICE.knobs["target"].removeprefix("sm")
    return int(number[:-1]), int(number[-1])


def nvmlSystemGetCudaDriverVersion() -> int:
    return int(DEVICE.knobs["cuda_driver"])


def nvmlDeviceGetPciInfo(handle: str) -> Any:
    return SimpleNamespace(busId=b"0000" + _gpu(handle)["pci"].encode())


def nvmlDeviceGetCurrPcieLinkGeneration(handle: str) -> int:
    return int(DEVICE.knobs["pcie"][0])


def nvmlDeviceGetCurrPcieLinkWidth(handle: str) -> int:
    return int(DEVICE.knobs["pcie"][1])


def nvmlDeviceGetMaxPcieLinkGeneration(handle: str) -> int:
    return int(DEVICE.knobs["pcie_max"][0])


def nvmlDeviceGetMaxPcieLinkWidth(handle: str) -> int:
    return int(DEVICE.knobs["pcie_max"][1])


def nvmlDeviceGetTemperatureThreshold(handle: str, threshold: int) -> int:
    return 90


def nvmlDeviceGetCurrentClocksEventReasons(handle: str) -> int:
    return nvmlClocksEventReasonHwSlowdown if DEVICE.knobs["slowdown_bit"] else 0


def nvmlDeviceGetViolationStatus(handle: str, policy: int) -> Any:
    if not DEVICE.knobs["violations"]:
        raise NVMLError("Not Supported")
    knob = "throttle_sw_thermal" if policy == NVML_PERF_POLICY_THERMAL else "power_capped"
    return SimpleNamespace(referenceTime=0, violationTime=_throttled_ns(knob))


def nvmlDeviceGetTotalEccErrors(handle: str, kind: int, counter: int) -> int:
    return _after_the_first("ecc_uncorrected" if kind == NVML_MEMORY_ERROR_TYPE_UNCORRECTED else "ecc_corrected")


def nvmlDeviceGetRemappedRows(handle: str) -> tuple[int, int, int, int]:
    return (0, _after_the_first("remapped_rows"), 0, 0)


def nvmlSystemGetConfComputeState() -> Any:
    return SimpleNamespace(ccFeature=DEVICE.knobs["confidential"])


def nvmlEventSetCreate() -> list[Any]:
    return []


def nvmlDeviceRegisterEvents(handle: str, kinds: int, events: list[Any]) -> None:
    if kinds == nvmlEventTypeXidCriticalError and DEVICE.knobs["xid"]:
        events.append(SimpleNamespace(eventType=kinds, eventData=DEVICE.knobs["xid"]))


def nvmlEventSetWait_v2(events: list[Any], timeout_ms: int) -> Any:
    if not events:
        raise NVMLError("Timeout")
    return events.pop()


def nvmlEventSetFree(events: list[Any]) -> None:
    events.clear()


def nvmlDeviceGetMaxClockInfo(handle: str, kind: int) -> int:
    return 1980 if kind == NVML_CLOCK_SM else 2600


def nvmlDeviceGetClockInfo(handle: str, kind: int) -> int:
    return int(_in_turn("sm_clocks_mhz" if kind == NVML_CLOCK_SM else "memory_clocks_mhz"))


def nvmlDeviceGetPerformanceState(handle: str) -> int:
    return int(DEVICE.knobs["pstate"])


def nvmlDeviceGetPersistenceMode(handle: str) -> int:
    return 1


def nvmlDeviceGetEccMode(handle: str) -> tuple[int, int]:
    raise NVMLError("Not Supported")


def nvmlDeviceGetComputeMode(handle: str) -> int:
    return int(DEVICE.knobs["compute_mode"])


def nvmlDeviceGetMigMode(handle: str) -> tuple[int, int]:
    return (DEVICE.knobs["mig"], DEVICE.knobs["mig"])


def nvmlDeviceGetTemperature(handle: str, sensor: int) -> int:
    return int(_in_turn("temperatures_c"))


def nvmlDeviceGetPowerUsage(handle: str) -> int:
    _METER.look()
    if DEVICE.knobs["powers_w"]:
        return round(1000 * _in_turn("powers_w"))
    return round(1000 * _METER.power_w * DEVICE.knobs["power_factor"])


def nvmlDeviceGetFieldValues(handle: str, fields: list[int | tuple[int, int]]) -> list[Any]:
    """Of a field alone, or of a field and its scope: of a module the GPU draws a share (``gpu_of_module``)."""
    of_power = {NVML_FI_DEV_POWER_INSTANT, NVML_FI_DEV_POWER_AVERAGE}
    time.sleep(DEVICE.knobs["read_s"])
    pairs = [field if isinstance(field, tuple) else (field, NVML_POWER_SCOPE_GPU) for field in fields]
    share = DEVICE.knobs["gpu_of_module"]
    power_mw = nvmlDeviceGetPowerUsage(handle) if of_power & {number for number, _ in pairs} else 0
    _READ["instant"] = _READ.get("instant", -1) + 1
    instant_mw = round(power_mw * (1 + DEVICE.knobs["power_noise"] * _UNREST[_READ["instant"] % len(_UNREST)]))
    knobs = {
        NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP: "power_capped",
        NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN: "throttle_sw_thermal",
        NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN: "throttle_hw",
    }
    values = []
    for number, scope in pairs:
        known = scope == NVML_POWER_SCOPE_GPU or (share is not None and number in of_power)
        known = known and (number in of_power or DEVICE.knobs["throttle_fields"])
        part = 1.0 if share is None or scope == NVML_POWER_SCOPE_MODULE else share
        count = _throttled_ns(knobs[number]) if number in knobs else 0
        values.append(
            SimpleNamespace(
                fieldId=number,
                nvmlReturn=NVML_SUCCESS if known else _NOT_SUPPORTED,
                valueType=_UNSIGNED_LONG_LONG,
                value=SimpleNamespace(
                    uiVal=round(part * (instant_mw if number == NVML_FI_DEV_POWER_INSTANT else power_mw)),
                    ullVal=count,
                ),
            )
        )
    return values


def nvmlDeviceGetTotalEnergyConsumption(handle: str) -> int:
    if not DEVICE.knobs["energy_counter"]:
        raise NVMLError("Not Supported")
    _METER.look()
    return round(1000 * _METER.shown_j)


def nvmlDeviceGetComputeRunningProcesses(handle: str) -> list[Any]:
    own = DEVICE.holders() if _used(handle) else []
    # In a container every process is listed under the host's number, this one too.
    hidden = HIDDEN if DEVICE.knobs["hide_pids"] else 0
    pids = [*(pid + hidden for pid in own), *range(900_000, 900_000 + DEVICE.knobs["foreign"])]
    if handle.endswith("instance"):  # of an instance: not those of its neighbours
        pids = pids[: len(own)]
    return [SimpleNamespace(pid=pid, usedGpuMemory=DEVICE.taken_bytes) for pid in pids]


def nvmlDeviceGetGraphicsRunningProcesses(handle: str) -> list[Any]:
    return [SimpleNamespace(pid=800_000 + n, usedGpuMemory=0) for n in range(DEVICE.knobs["graphics"])]


def nvmlDeviceGetMPSComputeRunningProcesses(handle: str) -> list[Any]:
    return [SimpleNamespace(pid=7, usedGpuMemory=0)] if DEVICE.knobs["mps"] else []


def nvmlDeviceSetGpuLockedClocks(handle: str, low: int, high: int) -> None:
    if not DEVICE.knobs["may_lock"]:
        raise NVMLError("Insufficient Permissions")
    _calls(json.dumps({"locked": [low, high], "by": os.getpid(), "gpu": _gpu(handle)["pci"]}))


def nvmlDeviceResetGpuLockedClocks(handle: str) -> None:
    _calls(json.dumps({"free": True, "by": os.getpid(), "gpu": _gpu(handle)["pci"]}))
