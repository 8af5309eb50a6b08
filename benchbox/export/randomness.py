"""Which nodes of a graph draw random numbers, so that no two inferences need to agree?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from benchbox.export.opsets import opset_of
from benchbox.graph.opset import STANDARD_DOMAINS

if TYPE_CHECKING:
    import onnx

_DRAWING = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_FUSED_DROPOUT = frozenset({"BiasDropout", "BitmaskDropout", "BitmaskBiasDropout"})
_TRAINING = 2  # the place of Dropout's switch among its inputs
_SHOWN = 3


def random_nodes(proto: onnx.ModelProto) -> tuple[str, ...]:
    """The nodes that draw random numbers, branches and local functions included, as "name (operator)"."""
    bodies = [list(proto.graph.node), *(list(function.node) for function in proto.functions)]
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    found = (node for body in bodies for node in _drawing(body, dict(constants), opset_of(proto)))
    return tuple(f"{node.name or node.output[0]} ({_operator(node)})" for node in found)


def randomness_in_words(nodes: Sequence[str]) -> str:
    """That the outputs are random, and by which nodes; "" for none."""
    if not nodes:
        return ""
    rest = len(nodes) - _SHOWN
    named = ", ".join(nodes[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
    return f"{named} {'draw' if len(nodes) > 1 else 'draws'} random numbers, so no two inferences need to agree"


def _operator(node: onnx.NodeProto) -> str:
    return "Dropout in training mode" if node.op_type == "Dropout" else node.op_type


def _drawing(
    nodes: Sequence[onnx.NodeProto], constants: dict[str, onnx.TensorProto], opset: int
) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
        if _draws(node, constants, opset):
            yield node
        for attribute in node.attribute:
            for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                inner = constants | {tensor.name: tensor for tensor in body.initializer}
                yield from _drawing(list(body.node), inner, opset)


def _draws(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto], opset: int) -> bool:
    if node.domain not in STANDARD_DOMAINS:
        return node.op_type in _FUSED_DROPOUT
    if node.op_type != "Dropout":
        return node.op_type in _DRAWING
    if opset < 7:
        return not any(entry.name == "is_test" and entry.i for entry in node.attribute)
    switch = node.input[_TRAINING] if len(node.input) > _TRAINING else ""
    if not switch:
        return False
    from onnx import numpy_helper

    # Whether a computed switch is on is known when the network runs.
    return switch not in constants or bool(numpy_helper.to_array(constants[switch]).any())
