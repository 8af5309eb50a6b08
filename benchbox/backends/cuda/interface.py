"""What does benchbox ask of CUDA?

A small interface, the **layer**: device and pinned memory, copies, streams, events, graphs. Two packages implement it:
cuda-bindings (``bindings.py``, the default) and pycuda (``pycuda.py``). Both use the device's primary context, the one
that TensorRT, ONNX Runtime and PyTorch use too, so that a stream or an address of one means the same to the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NewType, Protocol

from benchbox.backends.cuda.driver import Gpu
from benchbox.errors import DeviceMemoryError, EnvironmentLackError, MeasurementError

if TYPE_CHECKING:
    import numpy as np

NS_PER_MS = 1e6
Stream = NewType("Stream", object)
Event = NewType("Event", object)
Graph = NewType("Graph", object)
"""What a layer made; only that layer knows what is inside."""


@dataclass(frozen=True, kw_only=True)
class DeviceMemory:
    """Free and total memory of the whole device, whoever uses it, in bytes."""

    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """Page-locked host memory: its address and its bytes as a numpy array of uint8 that dies with it."""

    address: int
    bytes: np.ndarray


class CudaLayer(Protocol):
    """CUDA on the first visible device, in its primary context. All sizes are bytes, all times nanoseconds.

    Every call raises MeasurementError with CUDA's own name for what went wrong; ``allocate`` raises
    ``DeviceMemoryError`` where memory runs out. Any thread may call.
    """

    name: ClassVar[str]
    captures_graphs: ClassVar[bool]

    def gpu(self) -> Gpu:
        """The device."""
        ...

    def versions(self) -> Mapping[str, str]:
        """Of the package, the CUDA runtime where it has one, and the newest CUDA that the driver can do."""
        ...

    def memory(self) -> DeviceMemory:
        """Free and total memory now."""
        ...

    def pool_peak_bytes(self) -> int | None:
        """The most that the default memory pool has held in this process, used or kept; None where unknown."""
        ...

    def allocate(self, size: int) -> int:
        """The address of new device memory, aligned to 256 bytes."""
        ...

    def free(self, address: int) -> None:
        """Gives device memory back."""
        ...

    def pinned(self, size: int) -> Pinned:
        """New page-locked host memory."""
        ...

    def free_pinned(self, memory: Pinned) -> None:
        """Gives page-locked memory back; its array must not be touched again."""
        ...

    def upload(self, address: int, source: Pinned, size: int, stream: Stream) -> None:
        """Starts copying from pinned memory to the device."""
        ...

    def download(self, target: Pinned, address: int, size: int, stream: Stream) -> None:
        """Starts copying from the device to pinned memory."""
        ...

    def copy(self, target: int, source: int, size: int, stream: Stream) -> None:
        """Starts copying from one place on the device to another."""
        ...

    def fill(self, address: int, value: int, size: int, stream: Stream) -> None:
        """Starts writing one byte value over device memory."""
        ...

    def stream(self) -> Stream:
        """A new stream that does not wait for the default stream."""
        ...

    def handle(self, stream: Stream) -> int:
        """The stream as the number that other libraries take."""
        ...

    def synchronize(self, stream: Stream) -> None:
        """Returns when everything started on a stream is done."""
        ...

    def destroy_stream(self, stream: Stream) -> None:
        """Gives a stream back."""
        ...

    def event(self, *, blocking: bool = False) -> Event:
        """A new event that takes the time; waiting for it spins, or sleeps where it is blocking."""
        ...

    def hold(self, stream: Stream, event: Event) -> None:
        """Lets what is started on a stream from now on wait for an event of another one."""
        ...

    def record(self, event: Event, stream: Stream) -> None:
        """Puts an event behind everything started on a stream."""
        ...

    def wait(self, event: Event) -> None:
        """Returns when an event has happened."""
        ...

    def elapsed_ns(self, start: Event, end: Event) -> int:
        """Time on the device between two events that have happened."""
        ...

    def destroy_event(self, event: Event) -> None:
        """Gives an event back."""
        ...

    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph:
        """A graph of what ``work`` starts on a stream, nothing of which runs yet.

        Whatever ``work`` raises passes through, with the capture ended first.
        """
        ...

    def launch(self, graph: Graph, stream: Stream) -> None:
        """Starts a graph."""
        ...

    def destroy_graph(self, graph: Graph) -> None:
        """Gives a graph back."""
        ...

    def close(self) -> None:
        """Leaves the context as it was found."""
        ...


def cuda_error(call: str, status: str) -> MeasurementError:
    """The error for a CUDA call that failed with a status, by its name in CUDA's headers."""
    return MeasurementError(
        "CUDA reports an error",
        values=f"{call}: {status}",
        remedy="an earlier asynchronous call may be the cause; CUDA_LAUNCH_BLOCKING=1 finds it",
    )


def out_of_memory(size: int, memory: DeviceMemory | None) -> DeviceMemoryError:
    """The error for device memory that ran out when ``size`` more bytes were asked for."""
    left = f", {memory.free_bytes} of {memory.total_bytes} bytes are free" if memory else ""
    return DeviceMemoryError(
        "the GPU ran out of memory",
        values=f"{size} bytes were asked for{left}",
        remedy="try a smaller --batch, or end other processes on the GPU",
    )


def out_of_pinned(size: int) -> MeasurementError:
    """The error for host memory that could not be page-locked when ``size`` more bytes were asked for."""
    return MeasurementError(
        "the host's memory could not be page-locked",
        values=f"{size} bytes were asked for",
        remedy="raise the limit (ulimit -l, docker run --ulimit memlock=-1, --memory), or try a smaller --batch",
    )


def lack_of_device(
    reason: str,
    *,
    remedy: str = "install a newer NVIDIA driver, or pass the GPU into the container (docker run --gpus all)",
) -> EnvironmentLackError:
    """The error for a layer that finds no device."""
    return EnvironmentLackError("there is no usable NVIDIA GPU", values=reason, remedy=remedy)


def unavailable(reason: str, *, remedy: str = "end the other process, or wait for it") -> EnvironmentLackError:
    """The error for a GPU that is there and admits no context of this process."""
    return EnvironmentLackError("the GPU is not available to this process", values=reason, remedy=remedy)
