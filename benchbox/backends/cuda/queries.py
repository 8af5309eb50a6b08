"""How do requests that bring their inputs and take their outputs with them run, two in flight?

As in trtexec (TensorRT, samples/common/sampleInference.cpp): copies in, inference and copies out each on a stream of
their own and between two events of their own; the inference waits for its copy in, the copy out for the inference. So
the copies of one request overlap the work of its neighbour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import override

from benchbox.backends.cuda.interface import CudaLayer, Event, Pinned, Stream
from benchbox.backends.cuda.laps import EventLaps
from benchbox.backends.cuda.slots import DeviceSlots, size_bytes
from benchbox.schema.artifact import TensorSpec
from benchbox.tensor_types import array_type

if TYPE_CHECKING:
    from benchbox.backends.base import Arrays


def _nothing() -> None:
    """A copy of no bytes."""


class QueryLaps(EventLaps):
    """Six events a request instead of two: around the copy in, the inference, and the copy out.

    Args:
        layer: CUDA.
        stream: of the inferences.
        blocking: the host sleeps while it waits for a request instead of spinning.
    """

    def __init__(self, layer: CudaLayer, stream: Stream, *, blocking: bool) -> None:
        super().__init__(layer, stream, blocking=blocking)
        self._cuda = layer
        self._blocking = blocking
        self.copying_in, self.copying_out = layer.stream(), layer.stream()
        self._copies: list[tuple[Event, Event, Event, Event]] = []
        self._h2d_ns: list[int] = []
        self._d2h_ns: list[int] = []

    @override
    def reserve(self, count: int, *, lead: int = 0) -> None:
        super().reserve(count, lead=lead)
        event = self._cuda.event
        while len(self._copies) < len(self._pairs):
            self._copies.append((event(), event(), event(), event(blocking=self._blocking)))

    @override
    def around(self, work: Callable[[], object]) -> None:
        self.query(_nothing, work, _nothing)

    def query(self, copy_in: Callable[[], object], work: Callable[[], object], copy_out: Callable[[], object]) -> None:
        """Starts one request; the copies put themselves on ``copying_in`` and ``copying_out``.

        Without reserved events it is in the same order and not timed.
        """
        layer, index = self._cuda, self._next
        if index >= self._reserved:
            copy_in()
            layer.synchronize(self.copying_in)
            work()
            layer.synchronize(self._stream)
            copy_out()
            return
        (start, end), (in_start, in_end, out_start, out_end) = self._pairs[index], self._copies[index]
        layer.record(in_start, self.copying_in)
        copy_in()
        layer.record(in_end, self.copying_in)
        layer.hold(self._stream, in_end)
        layer.record(start, self._stream)
        begin = perf_counter_ns()
        work()
        self._enqueue[index] = perf_counter_ns() - begin
        layer.record(end, self._stream)
        layer.hold(self.copying_out, end)
        layer.record(out_start, self.copying_out)
        copy_out()
        layer.record(out_end, self.copying_out)
        self._next = index + 1

    @override
    def wait(self, index: int) -> None:
        self._cuda.wait(self._copies[index][3])

    @override
    def collect(self) -> None:
        used = self._copies[: self._next]
        if used:
            self._cuda.wait(used[-1][3])
        elapsed = self._cuda.elapsed_ns
        self._h2d_ns += [elapsed(in_start, in_end) for in_start, in_end, _, _ in used[self._lead :]]
        self._d2h_ns += [elapsed(out_start, out_end) for _, _, out_start, out_end in used[self._lead :]]
        super().collect()

    @override
    def _span_ns(self, count: int) -> int:
        begin = self._copies[self._lead - 1][3] if self._lead else self._copies[0][0]
        return self._cuda.elapsed_ns(begin, self._copies[count - 1][3])

    @override
    def forget(self) -> None:
        super().forget()
        self._h2d_ns.clear()
        self._d2h_ns.clear()

    @property
    @override
    def h2d_ns(self) -> tuple[int, ...]:
        return tuple(self._h2d_ns)

    @property
    @override
    def d2h_ns(self) -> tuple[int, ...]:
        return tuple(self._d2h_ns)

    @override
    def close(self) -> None:
        super().close()
        for events in self._copies:
            for event in events:
                self._cuda.destroy_event(event)
        self._copies.clear()
        for stream in (self.copying_in, self.copying_out):
            self._cuda.destroy_stream(stream)


class Queries:
    """The copies of a session's slots: pinned memory for every input and output of each, as trtexec has it.

    Args:
        layer: CUDA.
        laps: whose streams the copies go on.
        slots: the device's side.
        inputs: with every size known.
        outputs: likewise.
        count: how many slots.

    Raises:
        MeasurementError: there is not so much memory that can be pinned.
    """

    def __init__(
        self,
        layer: CudaLayer,
        laps: QueryLaps,
        slots: DeviceSlots,
        *,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        count: int,
    ) -> None:
        self._layer = layer
        self._laps = laps
        self._inputs = tuple(inputs)
        self._host: list[dict[str, Pinned]] = []
        self._copy_in: list[Callable[[], None]] = []
        self._copy_out: list[Callable[[], None]] = []
        try:
            for slot in range(count):
                host: dict[str, Pinned] = {}
                self._host.append(host)
                for spec in (*inputs, *outputs):
                    host[spec.name] = layer.pinned(max(1, size_bytes(spec)))
                addresses = slots.addresses(slot)
                uploads = [(addresses[spec.name], host[spec.name], size_bytes(spec)) for spec in inputs]
                downloads = [(host[spec.name], addresses[spec.name], size_bytes(spec)) for spec in outputs]
                self._copy_in.append(partial(self._upload, uploads, laps.copying_in))
                self._copy_out.append(partial(self._download, downloads, laps.copying_out))
        except BaseException:
            self.close()
            raise

    def fill(self, slot: int, arrays: Arrays) -> None:
        """Puts the inputs of a slot where its requests copy them from."""
        for spec in self._inputs:
            array = np.ascontiguousarray(arrays[spec.name], dtype=array_type(spec.dtype))
            self._host[slot][spec.name].bytes[: array.nbytes] = array.reshape(-1).view(np.uint8)

    def issue(self, slot: int, work: Callable[[], object]) -> None:
        """Starts a request on a slot: its copy in, ``work``, its copy out."""
        self._laps.query(self._copy_in[slot], work, self._copy_out[slot])

    def synchronize(self) -> None:
        """Returns when the last request's outputs are in the host's memory."""
        self._layer.synchronize(self._laps.copying_out)

    def _upload(self, copies: Sequence[tuple[int, Pinned, int]], stream: Stream) -> None:
        for address, source, size in copies:
            self._layer.upload(address, source, size, stream)

    def _download(self, copies: Sequence[tuple[Pinned, int, int]], stream: Stream) -> None:
        for target, address, size in copies:
            self._layer.download(target, address, size, stream)

    def close(self) -> None:
        """Gives the pinned memory back."""
        for host in self._host:
            for memory in host.values():
                self._layer.free_pinned(memory)
        self._host.clear()
