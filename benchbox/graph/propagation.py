"""Which integers inside a graph follow from its shapes, so that shapes that depend on them are known too?

Exporters compute sizes in the graph: Shape, Gather, a product, Where, ConstantOfShape, Expand. ONNX's own data
propagation follows a part of these operators; the rest are evaluated here with onnx's reference implementation, one
node at a time and only on small integers, then inference goes on. Nothing of the network itself is computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx

LIMIT = 4096  # elements
_EVALUATED = frozenset(
    {
        *("Abs", "Add", "And", "Ceil", "Clip", "Div", "Equal", "Exp", "Floor", "Greater", "GreaterOrEqual", "Less"),
        *("LessOrEqual", "Log", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pow", "Reciprocal", "Round", "Sign"),
        *("Sqrt", "Sub", "Where", "Xor"),
        *("Cast", "Concat", "Constant", "ConstantOfShape", "Expand", "Flatten", "Gather", "Identity", "Range"),
        *("GatherElements", "GatherND", "NonZero", "Reshape", "ScatterND", "Shape", "Size", "Slice", "Squeeze"),
        *("Tile", "Transpose", "Trilu", "Unsqueeze"),
        *("CumSum", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"),
    }
)


_NOT_BROADCAST = frozenset(
    {
        *("Clip", "Concat", "CumSum", "Gather", "GatherElements", "GatherND", "ReduceMax", "ReduceMean", "ReduceMin"),
        *("ReduceProd", "ReduceSum", "Reshape", "ScatterND", "Slice", "Squeeze", "Trilu", "Unsqueeze"),
    }
)


def small_values(
    graph: onnx.GraphProto, shapes: Mapping[str, tuple[int, ...]], opset: int
) -> dict[str, np.ndarray[Any, Any]]:
    """Small constants inside a graph by the name of the tensor.

    Args:
        graph: its initialisers hold small constants only.
        shapes: of the tensors whose shapes are known.
        opset: of the standard domain.
    """
    from onnx import numpy_helper

    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found: dict[str, np.ndarray[Any, Any]] = {}
    for node in graph.node:
        if node.op_type not in _EVALUATED or node.domain not in ("", "ai.onnx"):
            continue
        made = _evaluated(node, known, shapes, opset)
        if made is not None:
            known[node.output[0]] = found[node.output[0]] = made
    return found


def _evaluated(
    node: onnx.NodeProto,
    known: Mapping[str, np.ndarray[Any, Any]],
    shapes: Mapping[str, tuple[int, ...]],
    opset: int,
) -> np.ndarray[Any, Any] | None:
    import numpy as np
    from onnx.reference import ReferenceEvaluator

    if node.op_type in ("Shape", "Size") and node.input[0] in shapes:
        shape = shapes[node.input[0]]
        bounds = {entry.name: entry.i for entry in node.attribute}
        if node.op_type == "Size":
            return np.array(math.prod(shape), np.int64)
        return np.array(shape[bounds.get("start", 0) : bounds.get("end", len(shape))], np.int64)
    inputs = {name: known[name] for name in node.input if name in known}
    if len(inputs) < len({name for name in node.input if name}) or _output_elements(node, inputs) > LIMIT:
        return None
    try:
        with np.errstate(all="ignore"):
            made = ReferenceEvaluator(_graph_of(node), opsets={"": opset}).run(None, inputs)[0]  # type: ignore[index]
    except Exception:  # what cannot be evaluated stays unknown, and is named where it is needed
        return None
    return np.asarray(made) if isinstance(made, np.ndarray | np.generic) and np.size(made) <= LIMIT else None


def _graph_of(node: onnx.NodeProto) -> onnx.GraphProto:
    """A graph of one node: given a node alone, the evaluator takes the newest version of its operator."""
    import onnx

    graph = onnx.GraphProto(name="one")
    graph.node.append(node)
    graph.input.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(node.input) if name)
    graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
    return graph


def _output_elements(node: onnx.NodeProto, inputs: Mapping[str, np.ndarray[Any, Any]]) -> float:
    """How large the result may become, before anything is computed."""
    values = [inputs[name] for name in node.input if name]
    if node.op_type == "ConstantOfShape":
        return math.prod(abs(int(size)) for size in values[0].ravel())
    if node.op_type in ("Expand", "Tile"):
        return math.prod(abs(int(size)) for size in values[1].ravel()) * values[0].size
    if node.op_type == "Range":
        start, limit, delta = (int(value.ravel()[0]) for value in values[:3])
        steps: float = abs(limit - start) / abs(delta) if delta else math.inf
        return steps
    if len(values) > 1 and node.op_type not in _NOT_BROADCAST:
        shapes: list[tuple[int, ...]] = [value.shape for value in values]
        broadcast: int = math.prod(max(sizes) for sizes in zip(*_aligned(shapes), strict=True))
        return broadcast
    return sum(int(value.size) for value in values)


def _aligned(shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    rank = max(len(shape) for shape in shapes)
    return [(1,) * (rank - len(shape)) + shape for shape in shapes]
