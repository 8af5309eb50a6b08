"""How long does each layer of an engine take?

In a pass of its own: the profiler puts events between layers, so the sum of the layers is more than the inference that
nobody watches. The times are TensorRT's own, per inference and layer, under the names that the inspector uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

MS = 1e-3


def layer_times(
    api: Any, context: Any, infer: Callable[[], None], *, warmup: int, iterations: int
) -> Mapping[str, tuple[float, ...]]:
    """Seconds of each layer in each profiled inference, in order.

    Args:
        api: the vendor's module.
        context: an execution context, ready to run; it keeps the profiler.
        infer: runs one inference on it and waits for its end.
        warmup: inferences before the profiled ones.
        iterations: profiled inferences.
    """

    class Recorder(api.IProfiler):  # type: ignore[misc]
        """Keeps what is reported."""

        def __init__(self) -> None:
            api.IProfiler.__init__(self)
            self.times: dict[str, list[float]] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            """Called by TensorRT for each layer of an inference; layers of one name add up."""
            times = self.times.setdefault(layer_name, [])
            if len(times) < self.inference:
                times += [0.0] * (self.inference - len(times))
            times[self.inference - 1] += ms * MS

        inference = 0

    for _ in range(warmup):
        infer()
    recorder = Recorder()
    context.profiler = recorder
    # Otherwise every enqueue would wait for the device to report: reporting is asked for after each inference.
    context.enqueue_emits_profile = False
    for _ in range(iterations):
        recorder.inference += 1
        infer()
        context.report_to_profiler()
    return {name: tuple(times) for name, times in recorder.times.items()}
