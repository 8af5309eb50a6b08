"""What would ``libcuda.so.1`` answer if the simulated device were the GPU? None of its calls here makes a context.

Called through ctypes: a status is returned, answers are written where the pointers point.
"""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
from simulated_device import DEVICE, NAME

NO_DEVICE, INVALID_DEVICE, NOT_SUPPORTED = 100, 101, 801
MAJOR, MINOR, L2_BYTES, COMPUTE_MODE, CLOCK_KHZ, INTEGRATED = 75, 76, 38, 20, 13, 18


class Library:
    """The entry points that benchbox calls."""

    def cuInit(self, flags: int) -> int:
        return 0 if DEVICE.cuda_gpus() else NO_DEVICE

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = DEVICE.knobs["cuda_driver"]
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = len(DEVICE.cuda_gpus())
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:
        if ordinal >= len(DEVICE.cuda_gpus()):
            return INVALID_DEVICE
        device._obj.value = ordinal
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:
        name.value = NAME.encode()
        return 0

    def cuDeviceGetAttribute(self, value: Any, which: int, device: Any) -> int:
        number = DEVICE.knobs["target"].removeprefix("sm")
        value._obj.value = {
            MAJOR: int(number[:-1]),
            MINOR: int(number[-1]),
            L2_BYTES: int(DEVICE.knobs["l2_bytes"]),
            CLOCK_KHZ: round(1e3 * DEVICE.knobs["default_clock_mhz"]),
            INTEGRATED: int(DEVICE.knobs["integrated"]),
            COMPUTE_MODE: int(DEVICE.knobs["compute_mode"]),
        }[which]
        return 0

    def cuDeviceGetPCIBusId(self, text: Any, size: int, device: Any) -> int:
        text.value = DEVICE.cuda_gpus()[device.value]["pci"].encode()
        return 0

    def cuDeviceGetUuid_v2(self, target: Any, device: Any) -> int:
        text = DEVICE.cuda_gpus()[device.value]["uuid"]
        target.raw = uuid.UUID(text.partition("-")[2]).bytes
        return 0

    def cuDevicePrimaryCtxGetState(self, device: Any, flags: Any, active: Any) -> int:
        active._obj.value = int(DEVICE.has_context)
        return 0

    def cuProfilerStart(self) -> int:
        DEVICE.require_context()
        DEVICE.profiled.append("start")
        return 0

    def cuProfilerStop(self) -> int:
        DEVICE.profiled.append("stop")
        return 0

    def cuMemHostAlloc(self, address: Any, size: int, flags: int) -> int:
        address._obj.value = DEVICE.allocate_host(size)
        return 0

    def cuMemFreeHost(self, address: Any) -> int:
        DEVICE.free_host(address.value)
        return 0

    def cuStreamWaitValue32_v2(self, stream: Any, address: Any, value: Any, flags: Any) -> int:
        if not DEVICE.knobs["stream_memory_operations"]:
            return NOT_SUPPORTED
        word = DEVICE.host_view(address.value, 4).view(np.int32)
        DEVICE.hold_back(stream.value, lambda: int(word[0]) >= value.value)
        return 0


def opened() -> Library:
    """The library; OSError where the simulated machine has no driver."""
    if DEVICE.knobs["target"] == "none":
        raise OSError("libcuda.so.1: cannot open shared object file: No such file or directory")
    return Library()
