"""How is CUDA driven through pycuda?

pycuda speaks the driver API. Its ``autoinit`` would make a context of its own, whose addresses mean nothing to
TensorRT; here the device's primary context is retained, made current in every thread that calls, and popped again on
``close``. pycuda knows no CUDA graphs.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from typing_extensions import override

from benchbox.backends.cuda.driver import Gpu, gpu_from_driver
from benchbox.backends.cuda.interface import (
    NS_PER_MS,
    CudaLayer,
    DeviceMemory,
    Event,
    Graph,
    Pinned,
    Stream,
    cuda_error,
    lack_of_device,
    out_of_memory,
    out_of_pinned,
    unavailable,
)
from benchbox.errors import BenchboxError, EnvironmentLackError

PACKAGE = "pycuda"
REMEDY = "pip install 'benchbox[pycuda]' (it compiles against an installed CUDA toolkit)"


def installed() -> bool:
    """Whether the package is there."""
    return importlib.util.find_spec(PACKAGE) is not None


def require_device() -> None:
    """Raises EnvironmentLackError without package, driver or device; makes no context."""
    _driver()


def opened() -> PyCuda:
    """The layer on the first visible device; raises EnvironmentLackError as ``require_device`` or if it is held."""
    return PyCuda(_driver())


def _driver() -> Any:
    if not installed():
        raise EnvironmentLackError(f"{PACKAGE} is not installed", remedy=REMEDY)
    try:
        driver = importlib.import_module("pycuda.driver")
    except Exception as error:  # it links libcuda: without a driver the import itself fails
        raise lack_of_device(f"pycuda does not import: {error}") from error
    try:
        driver.init()
        count = driver.Device.count()
    except driver.Error as error:
        raise lack_of_device(str(error)) from error
    if not count:
        raise lack_of_device("pycuda.driver.Device.count: 0")
    return driver


class PyCuda(CudaLayer):
    """The layer over ``pycuda.driver``; see ``CudaLayer``."""

    name: ClassVar[str] = "pycuda"
    captures_graphs: ClassVar[bool] = False

    def __init__(self, driver: Any) -> None:
        self._api = driver
        self._here = threading.local()
        try:
            self._context = driver.Device(0).retain_primary_context()
            self._enter()
        except driver.Error as error:
            raise unavailable(str(error)) from error
        # pycuda frees with its objects: they live here until they are given back by address.
        self._device_memory: dict[int, Any] = {}
        self._host_memory: dict[int, Any] = {}

    def _enter(self) -> None:
        """Makes the context current in the thread that calls, unless it is: the driver has one for each thread."""
        if not getattr(self._here, "entered", False):
            self._context.push()
            self._here.entered = True

    @property
    def _driver(self) -> Any:
        self._enter()
        return self._api

    @override
    def gpu(self) -> Gpu:
        return gpu_from_driver()

    @override
    def versions(self) -> Mapping[str, str]:
        number = self._driver.get_driver_version()
        return {
            PACKAGE: importlib.metadata.version(PACKAGE),
            "cuda_driver": f"{number // 1000}.{number % 1000 // 10}",
        }

    @override
    def memory(self) -> DeviceMemory:
        free, total = self._driver.mem_get_info()
        return DeviceMemory(free_bytes=int(free), total_bytes=int(total))

    @override
    def pool_peak_bytes(self) -> int | None:
        return None

    @override
    def allocate(self, size: int) -> int:
        memory = self._allocated(lambda: self._driver.mem_alloc(size), lambda: out_of_memory(size, self.memory()))
        self._device_memory[int(memory)] = memory
        return int(memory)

    def _allocated(self, make: Callable[[], Any], lack: Callable[[], BenchboxError]) -> Any:
        try:
            return make()
        except self._api.MemoryError as error:
            raise lack() from error
        except self._api.Error as error:
            raise cuda_error("allocation", str(error)) from error

    @override
    def free(self, address: int) -> None:
        memory = self._device_memory.pop(address, None)
        if memory is None:
            raise cuda_error("free", f"{address:#x} is not memory of this layer")
        memory.free()

    @override
    def pinned(self, size: int) -> Pinned:
        array = self._allocated(lambda: self._driver.pagelocked_empty(size, np.uint8), lambda: out_of_pinned(size))
        self._host_memory[array.ctypes.data] = array
        return Pinned(address=array.ctypes.data, bytes=array)

    @override
    def free_pinned(self, memory: Pinned) -> None:
        if self._host_memory.pop(memory.address, None) is None:
            raise cuda_error("free", f"{memory.address:#x} is not pinned memory of this layer")

    @override
    def upload(self, address: int, source: Pinned, size: int, stream: Stream) -> None:
        self._try(lambda: self._driver.memcpy_htod_async(address, source.bytes[:size], stream))

    @override
    def download(self, target: Pinned, address: int, size: int, stream: Stream) -> None:
        self._try(lambda: self._driver.memcpy_dtoh_async(target.bytes[:size], address, stream))

    @override
    def copy(self, target: int, source: int, size: int, stream: Stream) -> None:
        self._try(lambda: self._driver.memcpy_dtod_async(target, source, size, stream))

    @override
    def fill(self, address: int, value: int, size: int, stream: Stream) -> None:
        self._try(lambda: self._driver.memset_d8_async(address, value, size, stream))

    def _try(self, call: Callable[[], Any]) -> Any:
        self._enter()
        try:
            return call()
        except BenchboxError:
            raise
        except self._api.Error as error:
            raise cuda_error("pycuda", str(error)) from error

    @override
    def stream(self) -> Stream:
        flags = getattr(self._driver, "stream_flags", None)
        return Stream(self._try(lambda: self._driver.Stream(flags.NON_BLOCKING if flags else 1)))

    @override
    def handle(self, stream: Stream) -> int:
        return int(stream.handle)  # type: ignore[attr-defined]

    @override
    def synchronize(self, stream: Stream) -> None:
        self._try(stream.synchronize)  # type: ignore[attr-defined]

    @override
    def destroy_stream(self, stream: Stream) -> None:
        """It goes with its last reference."""

    @override
    def event(self, *, blocking: bool = False) -> Event:
        flags = self._driver.event_flags.BLOCKING_SYNC if blocking else 0
        return Event(self._try(lambda: self._driver.Event(flags)))

    @override
    def hold(self, stream: Stream, event: Event) -> None:
        self._try(lambda: stream.wait_for_event(event))  # type: ignore[attr-defined]

    @override
    def record(self, event: Event, stream: Stream) -> None:
        self._try(lambda: event.record(stream))  # type: ignore[attr-defined]

    @override
    def wait(self, event: Event) -> None:
        self._try(event.synchronize)  # type: ignore[attr-defined]

    @override
    def elapsed_ns(self, start: Event, end: Event) -> int:
        milliseconds = self._try(lambda: start.time_till(end))  # type: ignore[attr-defined]
        return round(float(milliseconds) * NS_PER_MS)

    @override
    def destroy_event(self, event: Event) -> None:
        """It goes with its last reference."""

    @override
    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph:
        raise EnvironmentLackError(
            "pycuda cannot capture CUDA graphs", values="its API has none", remedy="use --cuda cuda-bindings"
        )

    @override
    def launch(self, graph: Graph, stream: Stream) -> None:
        raise AssertionError("no graph was made")

    @override
    def destroy_graph(self, graph: Graph) -> None:
        raise AssertionError("no graph was made")

    @override
    def close(self) -> None:
        if getattr(self._here, "entered", False):
            self._context.pop()
            self._here.entered = False
