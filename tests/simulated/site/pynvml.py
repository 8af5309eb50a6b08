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

from simulated_device import DEVICE, NAME

NVML_SUCCESS = 0
NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2
NVML_TEMPERATURE_GPU = 0
NVML_FI_DEV_POWER_INSTANT = 186
NVML_CLOCK_LIMIT_ID_TDP = 0xFFFFFF01
BASE_MHZ = 1100
_DEVICE = "device 0"


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
                DEVICE.knobs["idle_w"] * tick * DEVICE.knobs["tick_s"] + DEVICE.knobs["busy_w"] * DEVICE.clock_ns * 1e-9
            )
            self.power_w = (drawn_j - self.shown_j) / ((tick - self.tick) * DEVICE.knobs["tick_s"])
            self.shown_j, self.tick = drawn_j, tick


_METER = _Meter()


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


def nvmlDeviceGetHandleByIndex(index: int) -> str:
    if index != 0:
        raise NVMLError("Invalid Argument")
    return _DEVICE


def nvmlDeviceGetName(handle: str) -> str:
    return NAME


def nvmlSystemGetDriverVersion() -> str:
    return "0.0"


def nvmlDeviceGetMemoryInfo(handle: str) -> Any:
    return SimpleNamespace(total=DEVICE.knobs["memory_bytes"], used=DEVICE.used_bytes)


def nvmlDeviceGetEnforcedPowerLimit(handle: str) -> int:
    return 300_000


def nvmlDeviceGetMaxClockInfo(handle: str, kind: int) -> int:
    return 1980 if kind == NVML_CLOCK_SM else 2600


def nvmlDeviceGetClockInfo(handle: str, kind: int) -> int:
    return BASE_MHZ


def nvmlDeviceGetPersistenceMode(handle: str) -> int:
    return 1


def nvmlDeviceGetEccMode(handle: str) -> tuple[int, int]:
    raise NVMLError("Not Supported")


def nvmlDeviceGetComputeMode(handle: str) -> int:
    return 0


def nvmlDeviceGetMigMode(handle: str) -> tuple[int, int]:
    return (DEVICE.knobs["mig"], DEVICE.knobs["mig"])


def nvmlDeviceGetTemperature(handle: str, sensor: int) -> int:
    return 40


def nvmlDeviceGetPowerUsage(handle: str) -> int:
    _METER.look()
    return round(1000 * _METER.power_w * DEVICE.knobs["power_factor"])


def nvmlDeviceGetFieldValues(handle: str, fields: list[int]) -> list[Any]:
    power_mw = nvmlDeviceGetPowerUsage(handle)
    return [
        SimpleNamespace(fieldId=number, nvmlReturn=NVML_SUCCESS, value=SimpleNamespace(uiVal=power_mw))
        for number in fields
    ]


def nvmlDeviceGetTotalEnergyConsumption(handle: str) -> int:
    if not DEVICE.knobs["energy_counter"]:
        raise NVMLError("Not Supported")
    _METER.look()
    return round(1000 * _METER.shown_j)


def nvmlDeviceGetComputeRunningProcesses(handle: str) -> list[Any]:
    own = [] if DEVICE.knobs["hide_pids"] else [os.getpid()]
    pids = [*own, *range(900_000, 900_000 + DEVICE.knobs["foreign"])]
    return [SimpleNamespace(pid=pid, usedGpuMemory=DEVICE.used_bytes) for pid in pids]


def nvmlDeviceGetGraphicsRunningProcesses(handle: str) -> list[Any]:
    return []


def nvmlDeviceGetMPSComputeRunningProcesses(handle: str) -> list[Any]:
    return [SimpleNamespace(pid=7, usedGpuMemory=0)] if DEVICE.knobs["mps"] else []


def nvmlDeviceSetGpuLockedClocks(handle: str, low: int, high: int) -> None:
    if not DEVICE.knobs["may_lock"]:
        raise NVMLError("Insufficient Permissions")
    _calls(json.dumps({"locked": [low, high], "by": os.getpid()}))


def nvmlDeviceResetGpuLockedClocks(handle: str) -> None:
    _calls(json.dumps({"free": True, "by": os.getpid()}))
