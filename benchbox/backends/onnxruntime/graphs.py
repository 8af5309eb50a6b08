"""Did ONNX Runtime replay a CUDA graph? It does not report it.

A replay writes where its graph was captured, whatever is bound: of an inference whose outputs are bound elsewhere
nothing arrives there. No times have to be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from benchbox.backends.cuda.interface import CudaLayer, Stream
from benchbox.backends.cuda.slots import size_bytes
from benchbox.schema.artifact import TensorSpec

GRAPH_USED = "whole inference"
GRAPH_UNSEEN = "failed: no replay was seen: ONNX Runtime ran the nodes one by one"
_MARK = 0xA5


def replay_was_seen(
    layer: CudaLayer, stream: Stream, outputs: Sequence[TensorSpec], infer: Callable[[Mapping[str, int]], object]
) -> bool:
    """Whether an inference leaves the outputs that it is bound to alone.

    Args:
        layer: CUDA.
        stream: of the inference.
        outputs: with every size known.
        infer: starts an inference by a graph that was captured before, its outputs bound to these addresses.
    """
    with ExitStack() as closing:
        elsewhere = {}
        for spec in outputs:
            elsewhere[spec.name] = layer.allocate(max(1, size_bytes(spec)))
            closing.callback(layer.free, elsewhere[spec.name])
            layer.fill(elsewhere[spec.name], _MARK, max(1, size_bytes(spec)), stream)
        infer(elsewhere)
        layer.synchronize(stream)
        seen = layer.pinned(max(1, *(size_bytes(spec) for spec in outputs)))
        closing.callback(layer.free_pinned, seen)
        for spec in outputs:
            layer.download(seen, elsewhere[spec.name], size_bytes(spec), stream)
            layer.synchronize(stream)
            if not (seen.bytes[: size_bytes(spec)] == _MARK).all():
                return False
    return True
