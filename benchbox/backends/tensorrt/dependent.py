"""Where do outputs go whose size is known only when they were computed?

TensorRT asks for their memory while it starts an inference, and says how large they became (``IOutputAllocator``); for
that it waits for the device in its call. Each slot has a buffer as large as the engine says that such an output can be,
so that no inference allocates; if more is asked for, the buffer is made anew and stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchbox.backends.cuda.interface import CudaLayer, Stream
from benchbox.backends.tensorrt.vendor import Bindings
from benchbox.errors import MeasurementError
from benchbox.schema.artifact import TensorSpec
from benchbox.tensor_types import array_type

if TYPE_CHECKING:
    import numpy as np

NO_GRAPH = "failed: the size of an output depends on data, so the runtime waits for the device in its call"


class DependentOutputs:
    """Buffers and shapes of the outputs whose size depends on data, ``count`` times.

    Args:
        bindings: of the vendor.
        layer: CUDA.
        context: with its input shapes set; it is told where to ask.
        specs: of these outputs; sizes that depend on data are None.
        count: of slots.

    Raises:
        DeviceMemoryError: their buffers do not fit.
        MeasurementError: the context takes no allocator.
    """

    def __init__(
        self, bindings: Bindings, layer: CudaLayer, context: Any, specs: Sequence[TensorSpec], *, count: int
    ) -> None:
        self._layer = layer
        self._specs = tuple(specs)
        self._slot = 0
        self._buffers: list[dict[str, tuple[int, int]]] = [{} for _ in range(count)]
        self._shapes: list[dict[str, tuple[int, ...]]] = [{} for _ in range(count)]
        self._allocators = [_allocator(bindings, self) for _ in specs]
        try:
            for spec, allocator in zip(self._specs, self._allocators, strict=True):
                for slot in range(count):
                    self._slot = slot
                    self.give(spec.name, max(1, int(context.get_max_output_size(spec.name))))
                if not context.set_output_allocator(spec.name, allocator):
                    raise MeasurementError(f"{bindings.vendor.title} takes no allocator for output {spec.name}")
        except BaseException:
            self.close()
            raise
        self._slot = 0

    @property
    def bytes_per_slot(self) -> int:
        """Bytes of the largest slot's buffers."""
        return max(sum(size for _, size in buffers.values()) for buffers in self._buffers)

    def use(self, slot: int) -> None:
        """Lets the next inference write to a slot."""
        self._slot = slot

    def give(self, name: str, size: int) -> int:
        """The address of memory for an output of the slot in use; raises DeviceMemoryError where there is none."""
        buffers = self._buffers[self._slot]
        address, held = buffers.get(name, (0, 0))
        if size > held:
            if address:
                del buffers[name]
                self._layer.free(address)
            address = self._layer.allocate(size)
            buffers[name] = address, size
        return address

    def note(self, name: str, shape: Sequence[int]) -> None:
        """How large an output of the slot in use became."""
        self._shapes[self._slot][name] = tuple(shape)

    def download(self, slot: int, stream: Stream) -> dict[str, np.ndarray]:
        """Copies the outputs of a slot's last inference to the host, and waits."""
        made = {}
        for spec in self._specs:
            shape = self._shapes[slot][spec.name]
            dtype = array_type(spec.dtype)
            size = math.prod(shape) * dtype.itemsize
            staging = self._layer.pinned(max(1, size))
            try:
                self._layer.download(staging, self._buffers[slot][spec.name][0], size, stream)
                self._layer.synchronize(stream)
                made[spec.name] = staging.bytes[:size].copy().view(dtype).reshape(shape)
            finally:
                self._layer.free_pinned(staging)
        return made

    def close(self) -> None:
        """Gives the buffers back; the context is gone."""
        for buffers in self._buffers:
            for address, _ in buffers.values():
                self._layer.free(address)
            buffers.clear()


def _allocator(bindings: Bindings, outputs: DependentOutputs) -> Any:
    """What the vendor asks for one output's memory, 0 where there is none."""

    class Allocator(bindings.api.IOutputAllocator):  # type: ignore[misc, name-defined]
        """Passes on."""

        def __init__(self) -> None:
            bindings.api.IOutputAllocator.__init__(self)

        def reallocate_output_async(self, tensor_name: str, memory: int, size: int, alignment: int, stream: int) -> int:
            """Called by the vendor."""
            return self.reallocate_output(tensor_name, memory, size, alignment)

        def reallocate_output(self, tensor_name: str, memory: int, size: int, alignment: int) -> int:
            """Called by older versions."""
            try:
                return outputs.give(tensor_name, size)
            except MeasurementError:
                return 0

        def notify_shape(self, tensor_name: str, shape: Sequence[int]) -> None:
            """Called by the vendor before the call that starts the inference returns."""
            outputs.note(tensor_name, shape)

    return Allocator()
