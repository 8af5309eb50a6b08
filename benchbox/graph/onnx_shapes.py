"""How is ONNX's own shape inference asked, so that a small file cannot take all memory of the machine?

With data propagation ONNX keeps the values of vectors of sizes, about 50 bytes a number. Sixty ``Concat`` of a vector
with itself, a file of 3 kB, are 2^60 numbers. So lengths are estimated first, and where they may be large they are
asked for without values: of such a graph no values are propagated.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError
from benchbox.graph.bodies import bodies_of, nodes_inside
from benchbox.graph.border import MAX_ELEMENTS

if TYPE_CHECKING:
    import onnx

# Numbers of all vectors together; real networks of ten thousand nodes have a tenth of it.
MOST_NUMBERS = 1 << 20
_MOST_RANK = 64
_VECTOR_OPS = frozenset({"Shape", "Concat"})


def infer_shapes(proto: onnx.ModelProto, *, strict: bool = False) -> onnx.ModelProto:
    """The model with the shapes that ONNX infers, sizes that the graph computes included.

    Args:
        proto: any model; its shapes may not fit together.
        strict: raise where they do not (ONNX's errors have no public class), and check types.
    """
    from onnx import shape_inference

    return shape_inference.infer_shapes(
        proto, check_type=strict, strict_mode=strict, data_prop=_few_numbers(proto, strict=strict)
    )


def require_finite(proto: onnx.ModelProto, path: Path) -> None:
    """Raises ArtifactError where a vector of sizes is longer than any tensor: a runtime would try to make it."""
    if _most_numbers(proto.graph, {}) <= MOST_NUMBERS:
        return
    for name, length in _lengths(proto, strict=False).items():
        if length > MAX_ELEMENTS:
            raise too_large(name, (length,), path)


def too_large(name: str, shape: tuple[int, ...], path: Path) -> ArtifactError:
    """The error for a tensor that no machine can hold."""
    return ArtifactError(f"tensor {name} of {path} is absurdly large", values=f"shape {shape}")


def _few_numbers(proto: onnx.ModelProto, *, strict: bool) -> bool:
    """Whether all vectors whose values would be propagated are small together."""
    if _most_numbers(proto.graph, {}) <= MOST_NUMBERS:
        return True
    lengths = _lengths(proto, strict=strict)
    vectors = [name for node in nodes_inside(proto.graph) if node.op_type in _VECTOR_OPS for name in node.output]
    return sum(lengths.get(name, MOST_NUMBERS) for name in vectors) <= MOST_NUMBERS


def _lengths(proto: onnx.ModelProto, *, strict: bool) -> dict[str, int]:
    """Of vectors, as far as ONNX knows them without any values.

    The estimate does not know what Slice and Gather leave of a vector.
    """
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(proto, check_type=strict, strict_mode=strict).graph
    return {
        value.name: value.type.tensor_type.shape.dim[0].dim_value
        for graph in _with_inner_graphs(inferred)
        for value in (*graph.value_info, *graph.output)
        if len(value.type.tensor_type.shape.dim) == 1
    }


def _most_numbers(graph: onnx.GraphProto, lengths: MutableMapping[str, int]) -> int:
    """How many numbers the vectors of a graph and of the graphs in it can have together, at most.

    Args:
        graph: its nodes are in order.
        lengths: of values from outside; receives those of this graph.
    """
    lengths.update({tensor.name: math.prod(tensor.dims) for tensor in graph.initializer if _may_hold_sizes(tensor)})
    total = 0
    for node in graph.node:
        known = [lengths[name] for name in node.input if name in lengths]
        if node.op_type == "Shape":
            longest = _MOST_RANK
        elif node.op_type == "Constant":
            longest = _length_of_constant(node)
        else:
            longest = sum(known) if node.op_type == "Concat" else max(known, default=0)
        if longest:
            lengths.update(dict.fromkeys(node.output, longest))
        total += longest if node.op_type in _VECTOR_OPS else 0
        total += sum(_most_numbers(inner, ChainMap({}, lengths)) for inner in bodies_of(node))
        if total > MOST_NUMBERS:
            return total
    return total


def _may_hold_sizes(tensor: onnx.TensorProto) -> bool:
    return len(tensor.dims) <= 1 and tensor.data_type in (tensor.INT64, tensor.INT32)


def _length_of_constant(node: onnx.NodeProto) -> int:
    tensors = [attribute.t for attribute in node.attribute if attribute.HasField("t")]
    lists = [len(attribute.ints) for attribute in node.attribute]
    return max((*lists, *(math.prod(tensor.dims) for tensor in tensors if _may_hold_sizes(tensor))), default=0)


def _with_inner_graphs(graph: onnx.GraphProto) -> Iterable[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for inner in bodies_of(node):
            yield from _with_inner_graphs(inner)
