"""Which nodes of a graph compute sizes and places in tables, which 16 bits would change?

Exporters write ``Shape → Cast → Mul → Floor → Cast`` where a module scales a size: floor(100 · 0.55) is 55, and 54 in
fp16. Row 5,999 of a table, fed as a floating point number, is 6,000. Such arithmetic has no cost and stays in fp32 in
every precision.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from benchbox.graph.bodies import captured_by
from benchbox.graph.opset import STANDARD_DOMAINS

if TYPE_CHECKING:
    import onnx

_SIZES = frozenset({"Shape", "Size"})
# What may lie between an input and the whole numbers that are made of it.
_HANDED_ON = frozenset(
    {"Add", "Cast", "Ceil", "Clip", "Concat", "CumSum", "Div", "Floor", "Gather", "Identity", "Mul", "Reshape", "Round"}
    | {"Slice", "Split", "Squeeze", "Sub", "Transpose", "Unsqueeze"}
)
# Operators that read sizes as floating point numbers, and from which input on.
_READERS = {"Resize": 1, "Upsample": 1, "Range": 0}


def size_arithmetic(graph: onnx.GraphProto, constants: Collection[str]) -> set[int]:
    """Indices of the nodes that follow from shapes and constants alone and lead to a whole number or a scale.

    So do those that make whole numbers of an input, by arithmetic with constants.

    Args:
        graph: of the network.
        constants: names of the tensors that the graph stores.
    """
    from_sizes = _from_sizes(graph, set(constants))
    wanted: set[str] = set()
    found: set[int] = set()
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if index in from_sizes and (wanted.intersection(node.output) or _makes_whole(node)):
            found.add(index)
            wanted.update(node.input)
        elif node.op_type in _READERS:
            wanted.update(node.input[_READERS[node.op_type] :])
        wanted.update(captured_by(node))  # a body may make whole numbers or scales of them
    return found


def _from_sizes(graph: onnx.GraphProto, constants: set[str]) -> set[int]:
    sized: set[str] = set()
    fed = {value.name for value in graph.input} - constants
    found = set()
    for index, node in enumerate(graph.node):
        if node.domain not in STANDARD_DOMAINS:
            continue
        inputs = [name for name in (*node.input, *captured_by(node)) if name]
        if node.op_type == "Constant":
            constants.update(node.output)
        elif node.op_type in _SIZES:
            sized.update(node.output)
        elif all(name in sized or name in constants for name in inputs):
            (sized if sized.intersection(inputs) else constants).update(node.output)
            if sized.intersection(inputs):
                found.add(index)
        elif node.op_type in _HANDED_ON and all(name in fed or name in constants for name in inputs):
            fed.update(node.output)
            found.add(index)
    return found


def _makes_whole(node: onnx.NodeProto) -> bool:
    from onnx import TensorProto

    whole = (TensorProto.INT64, TensorProto.INT32)
    return node.op_type == "Cast" and any(entry.name == "to" and entry.i in whole for entry in node.attribute)
