"""What would ``cuda.bindings.runtime`` say if the simulated device were the GPU?

Names, arguments and the tuples that calls return are those of cuda-bindings 13; only what benchbox calls is here.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np
from simulated_device import DEVICE, Fault, SimulatedEvent, SimulatedGraph

cudaHostAllocDefault = 0
cudaStreamNonBlocking = 1
cudaEventDefault = 0
cudaEventBlockingSync = 1
RUNTIME = 13020  # the CUDA that this package is of: an older driver refuses it


class cudaError_t(IntEnum):
    """The statuses that the simulation can give, numbered as in CUDA."""

    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorDevicesUnavailable = 46
    cudaErrorNoDevice = 100
    cudaErrorInvalidResourceHandle = 400
    cudaErrorIllegalState = 401
    cudaErrorNotReady = 600
    cudaErrorIllegalAddress = 700
    cudaErrorLaunchTimeout = 702
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorNotSupported = 801
    cudaErrorStreamCaptureInvalidated = 901
    cudaErrorCapturedEvent = 907
    cudaErrorStreamCaptureWrongThread = 908


class cudaMemcpyKind(IntEnum):
    """Directions of a copy."""

    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2
    cudaMemcpyDeviceToDevice = 3


class cudaStreamCaptureMode(IntEnum):
    """Modes of a capture."""

    cudaStreamCaptureModeGlobal = 0
    cudaStreamCaptureModeThreadLocal = 1


class cudaMemPoolAttr(IntEnum):
    """Attributes of a pool."""

    cudaMemPoolAttrReservedMemCurrent = 5
    cudaMemPoolAttrReservedMemHigh = 6
    cudaMemPoolAttrUsedMemCurrent = 7
    cudaMemPoolAttrUsedMemHigh = 8


def _answer(count: int, call: Callable[[], Any]) -> tuple[Any, ...]:
    """Status first, then as many values as the real call returns, None where it failed."""
    try:
        made = call()
    except Fault as fault:
        DEVICE.last_error = fault.status
        return (cudaError_t[fault.status], *([None] * count))
    if count == 0:
        return (cudaError_t.cudaSuccess,)
    return (cudaError_t.cudaSuccess, *(made if count > 1 else (made,)))


def cudaGetDeviceCount() -> tuple[Any, ...]:
    if DEVICE.knobs["old_driver"] or DEVICE.knobs["cuda_driver"] // 1000 < RUNTIME // 1000:
        return (cudaError_t.cudaErrorInsufficientDriver, None)
    gpus = len(DEVICE.cuda_gpus())
    return _answer(1, lambda: gpus) if gpus else (cudaError_t.cudaErrorNoDevice, None)


def cudaSetDevice(device: int) -> tuple[Any, ...]:
    return _answer(0, DEVICE.require_context)  # since CUDA 12 it makes the primary context


def cudaRuntimeGetVersion() -> tuple[Any, ...]:
    return _answer(1, lambda: RUNTIME)


def cudaDriverGetVersion() -> tuple[Any, ...]:
    return _answer(1, lambda: DEVICE.knobs["cuda_driver"])


def cudaGetLastError() -> tuple[Any, ...]:
    status, DEVICE.last_error = DEVICE.last_error or "cudaSuccess", ""
    return (cudaError_t[status],)


def cudaMemGetInfo() -> tuple[Any, ...]:
    total = DEVICE.knobs["memory_bytes"]
    return _answer(2, lambda: (total - DEVICE.taken_bytes, total))


def cudaDeviceGetDefaultMemPool(device: int) -> tuple[Any, ...]:
    return _answer(1, lambda: "pool")


def cudaMemPoolGetAttribute(memPool: Any, attr: cudaMemPoolAttr) -> tuple[Any, ...]:
    name = "reserved" if attr < cudaMemPoolAttr.cudaMemPoolAttrUsedMemCurrent else "used"
    return _answer(1, lambda: (DEVICE.pool_high if attr.name.endswith("High") else DEVICE.pool_now())[name])


def cudaMemPoolSetAttribute(memPool: Any, attr: cudaMemPoolAttr, value: Any) -> tuple[Any, ...]:
    def reset() -> None:
        if not attr.name.endswith("High") or int(getattr(value, "value", value)) != 0:
            raise Fault("cudaErrorInvalidValue", "a high-water mark can be reset to 0 only")
        name = "reserved" if attr < cudaMemPoolAttr.cudaMemPoolAttrUsedMemCurrent else "used"
        DEVICE.pool_high[name] = DEVICE.pool_now()[name]

    return _answer(0, reset)


def cudaMalloc(size: int) -> tuple[Any, ...]:
    return _answer(1, lambda: DEVICE.allocate(size))


def cudaFree(devPtr: int) -> tuple[Any, ...]:
    return _answer(0, lambda: DEVICE.free(devPtr))


def cudaHostAlloc(size: int, flags: int) -> tuple[Any, ...]:
    return _answer(1, lambda: DEVICE.allocate_host(size))


def cudaFreeHost(ptr: int) -> tuple[Any, ...]:
    return _answer(0, lambda: DEVICE.free_host(ptr))


def cudaMemcpyAsync(dst: int, src: int, count: int, kind: cudaMemcpyKind, stream: Any) -> tuple[Any, ...]:
    def action() -> None:
        if kind is cudaMemcpyKind.cudaMemcpyHostToDevice:
            DEVICE.view(dst, count)[:] = DEVICE.host_view(src, count)
        elif kind is cudaMemcpyKind.cudaMemcpyDeviceToDevice:
            DEVICE.view(dst, count)[:] = DEVICE.view(src, count)
        else:
            DEVICE.host_view(dst, count)[:] = DEVICE.view(src, count)

    return _answer(0, lambda: DEVICE.copy(stream, count, action))


def cudaMemsetAsync(devPtr: int, value: int, count: int, stream: Any) -> tuple[Any, ...]:
    def action() -> None:
        DEVICE.view(devPtr, count)[:] = np.uint8(value)

    return _answer(0, lambda: DEVICE.copy(stream, count, action))


def cudaStreamCreateWithFlags(flags: int) -> tuple[Any, ...]:
    return _answer(1, DEVICE.new_stream)


def cudaStreamSynchronize(stream: Any) -> tuple[Any, ...]:
    return _answer(0, lambda: DEVICE.run(DEVICE.stream_of(stream)))


def cudaStreamDestroy(stream: Any) -> tuple[Any, ...]:
    return _answer(0, lambda: DEVICE.destroy_stream(stream))


def cudaEventCreateWithFlags(flags: int) -> tuple[Any, ...]:
    return _answer(1, lambda: SimulatedEvent(blocking=bool(flags & cudaEventBlockingSync)))


def cudaStreamWaitEvent(stream: Any, event: SimulatedEvent, flags: int) -> tuple[Any, ...]:
    return _answer(0, lambda: DEVICE.hold(stream, event))


def cudaEventRecord(event: SimulatedEvent, stream: Any) -> tuple[Any, ...]:
    return _answer(0, lambda: DEVICE.record(event, stream))


def cudaEventSynchronize(event: SimulatedEvent) -> tuple[Any, ...]:
    return _answer(0, lambda: DEVICE.wait(event))


def cudaEventElapsedTime(start: SimulatedEvent, end: SimulatedEvent) -> tuple[Any, ...]:
    return _answer(1, lambda: DEVICE.elapsed_ms(start, end))


def cudaEventDestroy(event: SimulatedEvent) -> tuple[Any, ...]:
    def end() -> None:
        if not event.alive:
            raise Fault("cudaErrorInvalidResourceHandle", "event destroyed")
        event.alive = False

    return _answer(0, end)


def cudaStreamBeginCapture(stream: Any, mode: cudaStreamCaptureMode) -> tuple[Any, ...]:
    return _answer(0, lambda: DEVICE.begin_capture(stream, int(mode)))


def cudaStreamEndCapture(stream: Any) -> tuple[Any, ...]:
    return _answer(1, lambda: DEVICE.end_capture(stream))


def cudaGraphInstantiate(graph: SimulatedGraph, flags: int) -> tuple[Any, ...]:
    return _answer(1, lambda: DEVICE.instantiate(graph))


def cudaGraphLaunch(graphExec: SimulatedGraph, stream: Any) -> tuple[Any, ...]:
    return _answer(0, lambda: DEVICE.launch(graphExec, stream))


def cudaGraphDestroy(graph: SimulatedGraph) -> tuple[Any, ...]:
    return _answer(0, lambda: DEVICE.destroy_graph(graph))


def cudaGraphExecDestroy(graphExec: SimulatedGraph) -> tuple[Any, ...]:
    return _answer(0, lambda: DEVICE.destroy_graph(graphExec))
