"""Which batch size may be fixed inside a graph whose border leaves it open?

Exporters that trace write the batch of their example into the target of a Reshape or an Expand, into a state of zeros
or a mask, and the border says "batch" all the same. The size is read off such constants; whether the graph runs at it
is for a runtime to say.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.errors import BenchboxError
from benchbox.graph.border import Sizes
from benchbox.graph.graph import node_names
from benchbox.graph.onnx_shapes import infer_shapes
from benchbox.graph.opset import STANDARD_DOMAINS
from benchbox.graph.stored import holds_numbers, stored_tensors
from benchbox.graph.structure import bind_sizes

if TYPE_CHECKING:
    import onnx

_MOST_SIZES = 64  # a target of a Reshape has fewer
# Operators that a constant may reach beside a sample, and so carry the batch of the example: the first axis says it.
_BESIDE = frozenset({"Add", "Concat", "Div", "Equal", "Max", "Min", "Mul", "Pow", "PRelu", "ScatterND", "Sub", "Where"})
_RECURRENT = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}


@dataclass(frozen=True, kw_only=True)
class InnerBatch:
    """A size that may be the batch, and what says so; ``certain`` where a graph at a batch of 1 cannot fit together."""

    size: int
    where: str
    certain: bool = False


def inner_batches(proto: onnx.ModelProto, path: Path, sizes: Sizes) -> tuple[InnerBatch, ...]:
    """Batch sizes that a graph may be fixed at inside, likeliest first; none where its border fixes one.

    Args:
        proto: of the file; the data of large weights may be missing. Not changed.
        path: for messages of errors, which are not raised.
        sizes: of its inputs, without a batch.
    """
    bound = copy.deepcopy(proto)
    declared = _declared(proto.graph)
    try:
        border = bind_sizes(bound.graph, replace(sizes, batch=1), path)
        again = bind_sizes(copy.deepcopy(proto).graph, replace(sizes, batch=2), path)
    except BenchboxError:
        return ()  # fixed, or no axis counts samples, or wrong: whoever opens the file says so
    if border.batch == again.batch:
        return ()
    found = [*_from_reshapes(bound), *declared, *_from_constants(proto.graph)]
    return tuple({candidate.size: candidate for candidate in reversed(found)}.values())[::-1]


def _from_reshapes(bound: onnx.ModelProto) -> Iterator[InnerBatch]:
    """The first Reshape whose target is constant and does not fit one sample: how many samples it holds."""
    shapes, targets = _shapes(bound), _numbers(bound.graph)
    for node, name in zip(bound.graph.node, node_names(bound.graph), strict=True):
        if node.op_type != "Reshape" or node.domain not in STANDARD_DOMAINS:
            continue
        target = _target(node, targets)
        source = shapes.get(node.input[0])
        if not target or source is None:
            continue
        whole = [source[place] if size == 0 and place < len(source) else size for place, size in enumerate(target)]
        here, sample = math.prod(whole), math.prod(source)
        if min(whole) > 0 and sample and here != sample:
            if here % sample == 0:
                text = f"node {name} (Reshape) makes {'x'.join(map(str, target))} of {node.input[0]}"
                yield InnerBatch(size=here // sample, where=text, certain=True)
            return


def _declared(graph: onnx.GraphProto) -> Iterator[InnerBatch]:
    """The first size of all outputs, where the file fixes the same for each."""
    firsts = {
        value.type.tensor_type.shape.dim[0].dim_value if value.type.tensor_type.shape.dim else 0
        for value in graph.output
    }
    if len(firsts) == 1 and (size := firsts.pop()) > 1:
        yield InnerBatch(size=size, where=f"every output is declared with {size} rows")


def _from_constants(graph: onnx.GraphProto) -> Iterator[InnerBatch]:
    """Sizes in the targets of Reshape and Expand, of states of recurrent layers, and of what is joined to samples."""
    numbers, stored = _numbers(graph), stored_tensors(graph)
    for node, name in zip(graph.node, node_names(graph), strict=True):
        title = f"node {name} ({node.op_type})"
        if node.domain not in STANDARD_DOMAINS:
            continue
        if node.op_type in ("Expand", "Reshape", "ConstantOfShape"):
            target = _target(node, numbers)
            yield from (
                InnerBatch(size=size, where=f"{title} makes {'x'.join(map(str, target))}")
                for size in target[: 1 if node.op_type == "Reshape" else 2]
                if size > 1
            )
        states = _RECURRENT.get(node.op_type, ())
        for place, given in enumerate(node.input):
            dims = list(stored[given].dims) if given in stored else []
            if place in states and len(dims) == 3 and dims[1] > 1:
                yield InnerBatch(size=dims[1], where=f"{title} has a state of {'x'.join(map(str, dims))}")
            elif node.op_type in _BESIDE and len(dims) > 1 and dims[0] > 1:
                yield InnerBatch(size=dims[0], where=f"{title} reads {given}, which is {'x'.join(map(str, dims))}")


def _target(node: onnx.NodeProto, numbers: Mapping[str, list[int]]) -> list[int]:
    """The constant sizes that a node gives its output; empty where they are computed."""
    if node.op_type == "Reshape" and len(node.input) < 2:  # an attribute before opset 5
        return next((list(entry.ints) for entry in node.attribute if entry.name == "shape"), [])
    place = 0 if node.op_type == "ConstantOfShape" else 1
    return numbers.get(node.input[place], []) if place < len(node.input) else []


def _numbers(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """Small constants of whole numbers."""
    from onnx import TensorProto, numpy_helper

    return {
        name: [int(value) for value in numpy_helper.to_array(tensor).ravel()]
        for name, tensor in stored_tensors(graph).items()
        if tensor.data_type == TensorProto.INT64
        and math.prod(tensor.dims) <= _MOST_SIZES
        and not tensor.external_data
        and holds_numbers(tensor)
    }


def _shapes(bound: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes as far as ONNX infers them, whether or not they fit together."""
    del bound.graph.value_info[:]
    try:
        graph = infer_shapes(bound).graph
    except Exception:  # inference errors have no public class
        graph = bound.graph
    found = {}
    for value in (*graph.input, *graph.value_info):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            found[value.name] = tuple(dim.dim_value for dim in dims)
    return found
