"""Which integers inside a graph follow from its shapes, so that shapes that depend on them are known too?

Exporters compute sizes in the graph: Shape, Gather, a product, Where, ConstantOfShape, Expand. ONNX's own data
propagation follows a part of these operators; the rest are evaluated here with onnx's reference implementation, one
node at a time and only on small integers, then inference goes on. Nothing of the network itself is computed.

Such arithmetic is in floating point where a module scales a size, ``Shape → Cast → Mul → Floor → Cast``: floor(100 ·
0.55) is 55, and 54 in fp16. Row 5,999 of a table, fed as a floating point number, is 6,000. The angle of position
2,999, whose sine a rotary embedding takes, is off by up to 1 radian; so is that of a time step. Which nodes these are
is said here too (``size_arithmetic``): they have no cost, stay in fp32 in every precision, as PyTorch's modules keep
them, and the constants in them are no parameters.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from benchbox.graph.bodies import captured_by
from benchbox.graph.opset import STANDARD_DOMAINS

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
_SIZES = frozenset({"Shape", "Size"})
# What may lie between an input and the whole numbers that are made of it.
_HANDED_ON = frozenset(
    {"Add", "Cast", "Ceil", "Clip", "Concat", "CumSum", "Div", "Floor", "Gather", "Identity", "Mul", "Reshape", "Round"}
    | {"Slice", "Split", "Squeeze", "Sub", "Transpose", "Unsqueeze"}
)
# What may lie between whole numbers and their angles besides: frequencies are multiplied by positions as matrices, too.
_ANGLES = _HANDED_ON | {"Einsum", "Expand", "MatMul", "Neg", "Pow", "Range"}
_OF_ANGLES = frozenset({"Cos", "Sin"})
# Operators that read sizes as floating point numbers, and from which input on.
_READERS = {"Resize": 1, "Upsample": 1, "Range": 0}


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


def size_arithmetic(graph: onnx.GraphProto, constants: Collection[str]) -> set[int]:
    """Indices of the nodes that follow from shapes and constants alone and lead to a whole number, a scale or a sine.

    So do those that make whole numbers or sines of an input, by arithmetic with constants.

    Args:
        graph: of the network.
        constants: names of the tensors that the graph stores.
    """
    from_sizes = _from_sizes(graph, set(constants))
    wanted: set[str] = set()
    found: set[int] = set()
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        ends = _makes_whole(node) or node.op_type in _OF_ANGLES
        if index in from_sizes and (ends or wanted.intersection(node.output)):
            found.add(index)
            wanted.update(node.input)
        elif node.op_type in _READERS:
            wanted.update(node.input[_READERS[node.op_type] :])
        wanted.update(captured_by(node))  # a body may make whole numbers or scales of them
    return found


def _from_sizes(graph: onnx.GraphProto, constants: set[str]) -> set[int]:
    sized: set[str] = set()
    fed = {value.name for value in graph.input} - constants
    whole = {value.name for value in graph.input if not _is_float(value)} & fed
    found = set()
    for index, node in enumerate(graph.node):
        inputs = {name for name in (*node.input, *captured_by(node)) if name}
        if node.domain not in STANDARD_DOMAINS:
            continue
        if node.op_type == "Constant":
            constants.update(node.output)
        elif node.op_type in _SIZES:
            sized.update(node.output)
        elif inputs <= sized | constants:
            (sized if sized & inputs else constants).update(node.output)
            found.update([index] if sized & inputs else [])
        elif inputs <= fed | sized | constants:
            looked_up = node.op_type == "Gather" and node.input[0] in constants
            is_whole = node.op_type in _ANGLES and bool(whole & inputs) and not looked_up
            if is_whole or node.op_type in _HANDED_ON | _OF_ANGLES:
                fed.update(node.output)
                whole.update(node.output if is_whole else ())
                found.add(index)
    return found


def _is_float(value: onnx.ValueInfoProto) -> bool:
    from onnx import TensorProto

    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
    return value.type.tensor_type.elem_type in kinds


def _makes_whole(node: onnx.NodeProto) -> bool:
    from onnx import TensorProto

    whole = (TensorProto.INT64, TensorProto.INT32)
    return node.op_type == "Cast" and any(entry.name == "to" and entry.i in whole for entry in node.attribute)
