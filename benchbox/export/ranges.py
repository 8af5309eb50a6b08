"""Which outputs of a graph have a range of their own, and which are lists by score, whatever the weights are?

Sigmoid is computed to a few roundings of its range, 1: where a detector finds nothing its scores are 1e-11, and 7e-11
is as right an answer. An output of 1e-11 that was computed as a product of small numbers has no such range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchbox.graph.opset import STANDARD_DOMAINS

if TYPE_CHECKING:
    import onnx

_BOUNDED = frozenset({"Cos", "Erf", "HardSigmoid", "Sigmoid", "Sin", "Softmax", "Softsign", "Tanh"})
# What lists rows by their scores, and what makes other numbers of such a list.
_CHOOSING = frozenset({"TopK", "NonMaxSuppression"})
_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# Operators that hand on values of their inputs at these places; None stands for all.
_MOVING: dict[str, tuple[int, ...] | None] = {
    **dict.fromkeys(("Cast", "Dropout", "Flatten", "Gather", "GatherElements", "GatherND", "Identity"), (0,)),
    **dict.fromkeys(("DepthToSpace", "Expand", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze"), (0,)),
    **dict.fromkeys(("Tile", "TopK", "Transpose", "Unsqueeze", "MaxPool", "GlobalMaxPool", "ReduceMax"), (0,)),
    "Concat": None,
    "Max": None,
    "Min": None,
}


def bounded_outputs(proto: onnx.ModelProto) -> tuple[str, ...]:
    """The outputs whose values all come from functions with a range of size 1 or 2, by name."""
    made = {value: node for node in proto.graph.node for value in node.output if value}
    return tuple(value.name for value in proto.graph.output if _is_bounded(value.name, made))


def ranked_outputs(proto: onnx.ModelProto) -> tuple[str, ...]:
    """The outputs whose rows TopK or NonMaxSuppression chose, with no product behind it, by name."""
    made = {value: node for node in proto.graph.node for value in node.output if value}
    return tuple(value.name for value in proto.graph.output if _is_ranked(value.name, made))


def _is_ranked(output: str, made: dict[str, onnx.NodeProto]) -> bool:
    waiting, seen = [output], {output}
    while waiting:
        node = made.get(waiting.pop())
        if node is None or node.op_type in _PRODUCTS:
            continue
        if node.op_type in _CHOOSING and node.domain in STANDARD_DOMAINS:
            return True
        waiting += [source for source in node.input if source not in seen]
        seen.update(node.input)
    return False


def _is_bounded(output: str, made: dict[str, onnx.NodeProto]) -> bool:
    waiting, seen = [output], {output}
    while waiting:
        node = made.get(waiting.pop())
        if node is None or node.domain not in STANDARD_DOMAINS:
            return False
        if node.op_type in _BOUNDED:
            continue
        if node.op_type not in _MOVING:
            return False
        places = _MOVING[node.op_type]
        sources = list(node.input) if places is None else [node.input[place] for place in places]
        waiting += [source for source in sources if source not in seen]
        seen.update(sources)
    return True
