"""What would ``pycuda.driver`` do if the simulated device were the GPU? Only what benchbox calls is here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from simulated_device import DEVICE, Fault, SimulatedEvent


class Error(Exception):
    """As pycuda: the base of its errors."""


class MemoryError(Error):  # noqa: A001 - pycuda's name
    """As pycuda: memory ran out."""


class LogicError(Error):
    """As pycuda: a call that cannot be."""


_THREAD = threading.local()


def current() -> list[Context]:
    """The contexts that this thread has pushed: each thread has a stack of its own."""
    if not hasattr(_THREAD, "pushed"):
        _THREAD.pushed = []
    pushed: list[Context] = _THREAD.pushed
    return pushed


def _tried(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Fault as fault:
        raise (MemoryError if fault.status == "cudaErrorMemoryAllocation" else LogicError)(str(fault)) from fault


def _require_context() -> None:
    if not current():
        raise LogicError("invalid device context - no currently active context?")


def init() -> None:
    if not DEVICE.cuda_gpus():
        raise LogicError("cuInit failed: no CUDA-capable device is detected")


def get_driver_version() -> int:
    return int(DEVICE.knobs["cuda_driver"])


def mem_get_info() -> tuple[int, int]:
    _require_context()
    total = int(DEVICE.knobs["memory_bytes"])
    return total - DEVICE.taken_bytes, total


class Context:
    """The primary context."""

    def push(self) -> None:
        current().append(self)

    @staticmethod
    def pop() -> None:
        _require_context()
        current().pop()


class Device:
    """The one device."""

    def __init__(self, number: int) -> None:
        if number != 0:
            raise LogicError("cuDeviceGet failed: invalid device ordinal")

    @staticmethod
    def count() -> int:
        return len(DEVICE.cuda_gpus())

    def retain_primary_context(self) -> Context:
        _tried(DEVICE.require_context)
        return Context()


class DeviceAllocation:
    """Device memory that is freed with its object."""

    def __init__(self, address: int) -> None:
        self._address = address

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        _tried(lambda: DEVICE.free(self._address))


def mem_alloc(size: int) -> DeviceAllocation:
    _require_context()
    return DeviceAllocation(_tried(lambda: DEVICE.allocate(size)))


def pagelocked_empty(shape: int, dtype: Any) -> np.ndarray:
    _require_context()
    _tried(DEVICE.check)
    if np.prod(shape) * np.dtype(dtype).itemsize > DEVICE.knobs["pinned_bytes"]:
        raise MemoryError("cuMemHostAlloc failed: out of memory")
    return np.full(shape, 0x5A, dtype=dtype)  # goes with its last reference, as pycuda's does


def memcpy_htod_async(dest: int, src: np.ndarray, stream: Stream) -> None:
    _require_context()

    def action() -> None:
        DEVICE.view(dest, src.nbytes)[:] = src

    _tried(lambda: DEVICE.copy(stream.handle, src.nbytes, action))


def memcpy_dtoh_async(dest: np.ndarray, src: int, stream: Stream) -> None:
    _require_context()

    def action() -> None:
        dest[:] = DEVICE.view(src, dest.nbytes)

    _tried(lambda: DEVICE.copy(stream.handle, dest.nbytes, action))


def memcpy_dtod_async(dest: int, src: int, size: int, stream: Stream) -> None:
    _require_context()

    def action() -> None:
        DEVICE.view(dest, size)[:] = DEVICE.view(src, size)

    _tried(lambda: DEVICE.copy(stream.handle, size, action))


def memset_d8_async(dest: int, data: int, size: int, stream: Stream) -> None:
    _require_context()

    def action() -> None:
        DEVICE.view(dest, size)[:] = np.uint8(data)

    _tried(lambda: DEVICE.copy(stream.handle, size, action))


class Stream:
    """A stream."""

    def __init__(self, flags: int = 0) -> None:
        _require_context()
        self._stream = _tried(DEVICE.new_stream)

    @property
    def handle(self) -> int:
        return int(self._stream)

    def synchronize(self) -> None:
        _require_context()
        _tried(lambda: DEVICE.run(DEVICE.stream_of(self._stream)))

    def wait_for_event(self, event: Event) -> None:
        _require_context()
        _tried(lambda: DEVICE.hold(self._stream, event._event))


class event_flags:
    """Flags of events."""

    DEFAULT = 0
    BLOCKING_SYNC = 1


class Event:
    """An event."""

    def __init__(self, flags: int = 0) -> None:
        _require_context()
        self._event = SimulatedEvent(blocking=bool(flags & event_flags.BLOCKING_SYNC))

    def record(self, stream: Stream) -> Event:
        _require_context()
        _tried(lambda: DEVICE.record(self._event, stream.handle))
        return self

    def synchronize(self) -> Event:
        _require_context()
        _tried(lambda: DEVICE.wait(self._event))
        return self

    def time_till(self, event: Event) -> float:
        _require_context()
        return float(_tried(lambda: DEVICE.elapsed_ms(self._event, event._event)))
