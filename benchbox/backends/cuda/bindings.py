"""How is CUDA driven through cuda-bindings, NVIDIA's own Python package of the runtime API?

The runtime API works in the primary context. A call gives its status first and then what it made. The package comes for
CUDA 12 and for CUDA 13; a driver does its own CUDA and older ones.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from typing_extensions import override

from benchbox.backends.cuda.driver import Gpu, dotted, gpu_from_driver, newest_cuda
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
from benchbox.errors import EnvironmentLackError

PACKAGE = "cuda-bindings"
REMEDY = "pip install 'benchbox[cuda]'"
_MODULE = "cuda.bindings.runtime"


def installed() -> bool:
    """Whether the package is there."""
    try:
        return importlib.util.find_spec(_MODULE) is not None
    except ModuleNotFoundError:
        return False


def require_device() -> None:
    """Raises EnvironmentLackError without package, driver or device; makes no context."""
    _require_device(_api())


def opened() -> CudaBindings:
    """The layer on the first visible device; raises EnvironmentLackError as ``require_device`` or if it is held."""
    api = _api()
    _require_device(api)
    return CudaBindings(api)


def _api() -> Any:
    if not installed():
        raise EnvironmentLackError(f"{PACKAGE} is not installed", remedy=REMEDY)
    try:
        return importlib.import_module(_MODULE)
    except Exception as error:  # a missing shared library may raise anything
        raise EnvironmentLackError(
            f"{PACKAGE} does not import", values=f"{type(error).__name__}: {error}", remedy=REMEDY
        ) from error


def _require_device(api: Any) -> None:
    _require_driver(api)
    try:
        status, count = api.cudaGetDeviceCount()
    except Exception as error:  # without the driver's library the package raises its own kinds
        raise lack_of_device(f"{type(error).__name__}: {error}") from error
    if status != api.cudaError_t.cudaSuccess or not count:
        raise lack_of_device(f"cudaGetDeviceCount: {getattr(status, 'name', status)}, devices: {count or 0}")


def _require_driver(api: Any) -> None:
    """Raises EnvironmentLackError if the package is of a CUDA that the driver is too old for, and says which is not."""
    (status, needed), newest = api.cudaRuntimeGetVersion(), newest_cuda()
    if status != api.cudaError_t.cudaSuccess or not newest or newest // 1000 >= needed // 1000:
        return
    raise lack_of_device(
        f"{PACKAGE} {importlib.metadata.version(PACKAGE)} is of CUDA {dotted(needed)}, the driver can do CUDA "
        f"{dotted(newest)} at most",
        remedy=f"pip install '{PACKAGE}=={newest // 1000}.*', or install a newer NVIDIA driver (CUDA 13 needs 580)",
    )


class CudaBindings(CudaLayer):
    """The layer over ``cuda.bindings.runtime``; see ``CudaLayer``."""

    name: ClassVar[str] = "cuda-bindings"
    captures_graphs: ClassVar[bool] = True

    def __init__(self, api: Any) -> None:
        self._api = api
        self._done = api.cudaError_t.cudaSuccess
        (status,) = api.cudaSetDevice(0)  # makes the primary context
        if status != self._done:
            raise unavailable(f"cudaSetDevice: {getattr(status, 'name', status)}")

    def _call(self, name: str, *arguments: Any) -> Any:
        """What a CUDA call gives besides its status: nothing or one value."""
        status, *made = getattr(self._api, name)(*arguments)
        if status != self._done:
            self._api.cudaGetLastError()  # else the next library of this thread to look takes it for its own
            raise cuda_error(name, getattr(status, "name", str(status)))
        return made[0] if made else None

    @override
    def gpu(self) -> Gpu:
        return gpu_from_driver()

    @override
    def versions(self) -> Mapping[str, str]:
        return {
            PACKAGE: importlib.metadata.version(PACKAGE),
            "cuda_runtime": dotted(self._call("cudaRuntimeGetVersion")),
            "cuda_driver": dotted(self._call("cudaDriverGetVersion")),
        }

    @override
    def memory(self) -> DeviceMemory:
        status, free, total = self._api.cudaMemGetInfo()
        if status != self._done:
            raise cuda_error("cudaMemGetInfo", status.name)
        return DeviceMemory(free_bytes=int(free), total_bytes=int(total))

    @override
    def pool_peak_bytes(self) -> int | None:
        pool = self._call("cudaDeviceGetDefaultMemPool", 0)
        return int(
            self._call("cudaMemPoolGetAttribute", pool, self._api.cudaMemPoolAttr.cudaMemPoolAttrReservedMemHigh)
        )

    @override
    def allocate(self, size: int) -> int:
        return self._allocated("cudaMalloc", size)

    def _allocated(self, name: str, size: int, *flags: Any) -> int:
        status, address = getattr(self._api, name)(size, *flags)
        if status == self._done:
            return int(address)
        self._api.cudaGetLastError()
        if status != self._api.cudaError_t.cudaErrorMemoryAllocation:
            raise cuda_error(name, status.name)
        raise out_of_pinned(size) if flags else out_of_memory(size, self.memory())

    @override
    def free(self, address: int) -> None:
        self._call("cudaFree", address)

    @override
    def pinned(self, size: int) -> Pinned:
        address = self._allocated("cudaHostAlloc", size, self._api.cudaHostAllocDefault)
        view = (ctypes.c_uint8 * size).from_address(address)
        return Pinned(address=address, bytes=np.ctypeslib.as_array(view))

    @override
    def free_pinned(self, memory: Pinned) -> None:
        self._call("cudaFreeHost", memory.address)

    @override
    def upload(self, address: int, source: Pinned, size: int, stream: Stream) -> None:
        self._call("cudaMemcpyAsync", address, source.address, size, self._kinds.cudaMemcpyHostToDevice, stream)

    @override
    def download(self, target: Pinned, address: int, size: int, stream: Stream) -> None:
        self._call("cudaMemcpyAsync", target.address, address, size, self._kinds.cudaMemcpyDeviceToHost, stream)

    @override
    def copy(self, target: int, source: int, size: int, stream: Stream) -> None:
        self._call("cudaMemcpyAsync", target, source, size, self._kinds.cudaMemcpyDeviceToDevice, stream)

    @property
    def _kinds(self) -> Any:
        return self._api.cudaMemcpyKind

    @override
    def fill(self, address: int, value: int, size: int, stream: Stream) -> None:
        self._call("cudaMemsetAsync", address, value, size, stream)

    @override
    def stream(self) -> Stream:
        return Stream(self._call("cudaStreamCreateWithFlags", self._api.cudaStreamNonBlocking))

    @override
    def handle(self, stream: Stream) -> int:
        return int(stream)  # type: ignore[call-overload, no-any-return]

    @override
    def synchronize(self, stream: Stream) -> None:
        self._call("cudaStreamSynchronize", stream)

    @override
    def destroy_stream(self, stream: Stream) -> None:
        self._call("cudaStreamDestroy", stream)

    @override
    def event(self, *, blocking: bool = False) -> Event:
        flags = self._api.cudaEventBlockingSync if blocking else self._api.cudaEventDefault
        return Event(self._call("cudaEventCreateWithFlags", flags))

    @override
    def hold(self, stream: Stream, event: Event) -> None:
        (status,) = self._api.cudaStreamWaitEvent(stream, event, 0)
        if status != self._done:
            raise cuda_error("cudaStreamWaitEvent", status.name)

    @override
    def record(self, event: Event, stream: Stream) -> None:
        (status,) = self._api.cudaEventRecord(event, stream)
        if status != self._done:
            raise cuda_error("cudaEventRecord", status.name)

    @override
    def wait(self, event: Event) -> None:
        (status,) = self._api.cudaEventSynchronize(event)
        if status != self._done:
            raise cuda_error("cudaEventSynchronize", status.name)

    @override
    def elapsed_ns(self, start: Event, end: Event) -> int:
        return round(float(self._call("cudaEventElapsedTime", start, end)) * NS_PER_MS)

    @override
    def destroy_event(self, event: Event) -> None:
        self._call("cudaEventDestroy", event)

    @override
    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph:
        mode = self._api.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)
        try:
            work()
        except BaseException:  # what was raised is the better reason than that of a capture it has invalidated
            status, unfinished = self._api.cudaStreamEndCapture(stream)
            if status == self._done:
                self._api.cudaGraphDestroy(unfinished)
            self._api.cudaGetLastError()
            raise
        graph = self._call("cudaStreamEndCapture", stream)
        try:
            return Graph(self._call("cudaGraphInstantiate", graph, 0))
        finally:
            self._call("cudaGraphDestroy", graph)

    @override
    def launch(self, graph: Graph, stream: Stream) -> None:
        (status,) = self._api.cudaGraphLaunch(graph, stream)
        if status != self._done:
            raise cuda_error("cudaGraphLaunch", status.name)

    @override
    def destroy_graph(self, graph: Graph) -> None:
        self._call("cudaGraphExecDestroy", graph)

    @override
    def close(self) -> None:
        """The primary context belongs to the process; nothing is to be left."""
