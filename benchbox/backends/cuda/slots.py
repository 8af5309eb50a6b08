"""Where do the inputs and outputs of a session lie on the device?

In slots: each has a device buffer for every input and output of the network, so that inputs can rotate without being
copied while the clock runs. One pinned buffer serves the copies of all slots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchbox.backends.cuda.interface import CudaLayer, Stream
from benchbox.errors import UsageError
from benchbox.schema.artifact import TensorSpec
from benchbox.tensor_types import array_type

if TYPE_CHECKING:
    from benchbox.backends.base import Arrays

# Twice the largest second-level cache of a GPU so far (126 MiB, Blackwell); twice what a GPU reports, if larger.
FLUSH_BYTES = 256 << 20


def size_bytes(spec: TensorSpec) -> int:
    """Bytes of a tensor whose sizes are all known; raises UsageError for one that depends on data."""
    if None in spec.shape:
        raise UsageError(
            f"the size of output {spec.name} depends on data, and this backend needs it before it runs",
            remedy="measure it with --backend onnxruntime or openvino",
        )
    return math.prod(size or 0 for size in spec.shape) * array_type(spec.dtype).itemsize


def flush_bytes(l2_bytes: int | None) -> int:
    """How much is written over to leave nothing in the device's caches."""
    return max(FLUSH_BYTES, 2 * (l2_bytes or 0))


class DeviceSlots:
    """Device buffers of a session's inputs and outputs, ``count`` times.

    Raises:
        DeviceMemoryError: they do not fit; what was made until then is given back.
    """

    def __init__(
        self,
        layer: CudaLayer,
        stream: Stream,
        *,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        count: int,
    ) -> None:
        self._layer = layer
        self._stream = stream
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        specs = (*self._inputs, *self._outputs)
        self._addresses: list[dict[str, int]] = []
        self._sweep: int | None = None
        self._sweep_bytes = flush_bytes(layer.gpu().l2_bytes)
        try:
            for _ in range(count):
                slot: dict[str, int] = {}
                self._addresses.append(slot)
                for spec in specs:
                    slot[spec.name] = layer.allocate(max(1, size_bytes(spec)))
                    # Defined before anything runs on it: a warm inference or a capture comes before the first upload,
                    # and what indexes by it (Gather, loop counts) would read out of range.
                    layer.fill(slot[spec.name], 0, max(1, size_bytes(spec)), stream)
            layer.synchronize(stream)
            self._staging = layer.pinned(max(1, *(size_bytes(spec) for spec in specs)))
        except BaseException:
            self._free()
            raise

    @property
    def bytes_per_slot(self) -> int:
        """Bytes of all inputs and outputs of one slot."""
        return sum(size_bytes(spec) for spec in (*self._inputs, *self._outputs))

    def addresses(self, slot: int) -> dict[str, int]:
        """Device address of each input and output of a slot, by name."""
        return self._addresses[slot]

    def upload(self, slot: int, arrays: Arrays) -> None:
        """Copies the inputs of a slot to the device and waits for it."""
        for spec in self._inputs:
            array = np.ascontiguousarray(arrays[spec.name], dtype=array_type(spec.dtype))
            size = array.nbytes
            self._staging.bytes[:size] = array.reshape(-1).view(np.uint8)
            self._layer.upload(self._addresses[slot][spec.name], self._staging, size, self._stream)
            self._layer.synchronize(self._stream)

    def copy_inputs(self, source: int, target: int) -> None:
        """Starts copying the inputs of one slot to those of another, on the device."""
        for spec in self._inputs:
            addresses = self._addresses[target][spec.name], self._addresses[source][spec.name]
            self._layer.copy(*addresses, size_bytes(spec), self._stream)

    def download(self, slot: int) -> dict[str, np.ndarray]:
        """Copies the outputs of a slot to the host, waits, and returns arrays of their own."""
        made = {}
        for spec in self._outputs:
            size = size_bytes(spec)
            self._layer.download(self._staging, self._addresses[slot][spec.name], size, self._stream)
            self._layer.synchronize(self._stream)
            shape = tuple(size or 0 for size in spec.shape)
            made[spec.name] = self._staging.bytes[:size].copy().view(array_type(spec.dtype)).reshape(shape)
        return made

    def transfer_ns(self, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Device times of copying all inputs of slot 0 in, and all its outputs out, ``count`` times each.

        From and to pinned memory, each direction between two events of its own; the copies wait for nothing else.
        """
        layer, stream = self._layer, self._stream
        start, end = layer.event(), layer.event()
        taken: tuple[list[int], list[int]] = ([], [])
        for _ in range(count):
            for specs, copy, times in (
                (self._inputs, self._copy_in, taken[0]),
                (self._outputs, self._copy_out, taken[1]),
            ):
                layer.record(start, stream)
                for spec in specs:
                    copy(spec)
                layer.record(end, stream)
                layer.wait(end)
                times.append(layer.elapsed_ns(start, end))
        layer.destroy_event(start)
        layer.destroy_event(end)
        return tuple(taken[0]), tuple(taken[1])

    def _copy_in(self, spec: TensorSpec) -> None:
        self._layer.upload(self._addresses[0][spec.name], self._staging, size_bytes(spec), self._stream)

    def _copy_out(self, spec: TensorSpec) -> None:
        self._layer.download(self._staging, self._addresses[0][spec.name], size_bytes(spec), self._stream)

    def flush_cache(self) -> None:
        """Writes over a buffer that is larger than the device's caches, and waits for it."""
        if self._sweep is None:
            self._sweep = self._layer.allocate(self._sweep_bytes)
        self._layer.fill(self._sweep, 0, self._sweep_bytes, self._stream)
        self._layer.synchronize(self._stream)

    def close(self) -> None:
        """Gives all buffers back."""
        if self._sweep is not None:
            self._layer.free(self._sweep)
        self._free()
        self._layer.free_pinned(self._staging)

    def _free(self) -> None:
        for slot in self._addresses:
            for address in slot.values():
                self._layer.free(address)
        self._addresses.clear()
