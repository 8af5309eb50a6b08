"""How much device memory does TensorRT ask for?

Its allocations go through an allocator of ours that counts them, in a pass of its own: each one costs a call into
Python, which has no place in a timed pass. What is counted is what TensorRT asks for itself (weights, persistent and
scratch memory); working memory and buffers that we allocate are added by the session.
"""

from __future__ import annotations

from typing import Any

from benchbox.backends.cuda.interface import CudaLayer
from benchbox.backends.tensorrt.vendor import Bindings
from benchbox.errors import MeasurementError


def tracking_allocator(bindings: Bindings, layer: CudaLayer) -> Any:
    """An allocator for ``Runtime.gpu_allocator``; its ``peak_bytes`` is the most that was in use at once.

    Order and number of the arguments differ between versions after the alignment, so only size and alignment are read.
    """

    class Tracking(bindings.api.IGpuAsyncAllocator):  # type: ignore[misc, name-defined]
        """Counts and passes on."""

        def __init__(self) -> None:
            bindings.api.IGpuAsyncAllocator.__init__(self)
            self.peak_bytes = 0
            self._live: dict[int, int] = {}

        def allocate_async(self, size: int, alignment: int, *_: Any) -> int:
            """Called by TensorRT; 0 means that there is no memory."""
            try:
                address = layer.allocate(size)
            except MeasurementError:
                return 0
            if address % max(1, alignment):
                layer.free(address)
                return 0
            self._live[address] = size
            self.peak_bytes = max(self.peak_bytes, sum(self._live.values()))
            return address

        def deallocate_async(self, address: int, *_: Any) -> bool:
            """Called by TensorRT."""
            if self._live.pop(address, None) is None:
                return False
            layer.free(address)
            return True

        def reallocate(self, *_: Any) -> int:
            """Refuses: TensorRT then allocates anew."""
            return 0

    return Tracking()
