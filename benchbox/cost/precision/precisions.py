"""What does a network analytical cost in a precision, every tensor as wide as the precision holds it?"""

from __future__ import annotations

from benchbox.cost.counting import cost_from_graph
from benchbox.cost.inside import products_inside
from benchbox.cost.precision.folding import DEQUANTIZE, QUANTIZE, folded
from benchbox.cost.precision.fusing import least_bytes
from benchbox.graph.graph import Graph
from benchbox.graph.node import NodeView
from benchbox.schema.cost import PrecisionCost

# What a derivation adds; whatever else is added by another opset (Reshape, Constant) is free.
MOVES = frozenset({QUANTIZE, DEQUANTIZE, "Cast", "CastLike"})
_EIGHT_BIT = frozenset({"int8", "fp8"})
_SIXTEEN_BIT = frozenset({"fp16", "bf16"})


def precision_cost(
    graph: Graph, fp32: Graph | None, *, model: str, sha256: str, precision: str, variant: str = ""
) -> PrecisionCost:
    """Counts a graph in a precision, Q/DQ pairs folded into what they store.

    Args:
        graph: derived, or a file in that precision; the fp32 graph for fp32 and tf32.
        fp32: the fp32 graph, whose nodes say what was added; None where there is none: then casts and Q/DQ
            nodes are.
        model: name in the result.
        sha256: of the file that it was derived from.
        precision: what it is in ("int8").
        variant: choices of the derivation.
    """
    stored = folded(graph)
    cost = cost_from_graph(stored, model=model, sha256=sha256)
    kept = {layer.name for layer in cost.layers}
    dequantised = _dequantised(graph)
    macs = {layer.name: layer.macs for layer in cost.layers}
    types = {
        node.name: _type(node, precision, dequantised, frozenset() if macs[node.name] else frozenset(graph.constants))
        for node in graph.nodes
        if node.name in kept
    }
    known = {node.name for node in fp32.nodes} if fp32 else None
    added = (
        {layer.name for layer in cost.layers if layer.name not in known}
        if known is not None
        else {layer.name for layer in cost.layers if layer.op in MOVES}
    )
    return PrecisionCost(
        precision=precision,
        variant=variant,
        cost=cost,
        types=types,
        least_bytes=least_bytes(stored),
        added=frozenset(added),
        packed=frozenset(
            node.name
            for node in stored.nodes
            if any(tensor is not None and tensor.item_bytes == 0.5 for tensor in node.inputs)
        ),
        unpacking=frozenset(
            node.name for node in graph.nodes if node.op == DEQUANTIZE and node.input(0).name in graph.constants
        ),
    )


def _dequantised(graph: Graph) -> frozenset[str]:
    """Tensors that are stored in eight bits and read through a DequantizeLinear."""
    return frozenset(
        node.outputs[0].name for node in graph.nodes if node.op == DEQUANTIZE and node.input(0).item_bytes == 1
    )


def _type(node: NodeView, precision: str, dequantised: frozenset[str], aside: frozenset[str]) -> str:
    """What a node computes in: eight bits if the operands that it multiplies are, else the type of its first operand.

    A branch or a loop computes in what the products inside of it do. ``aside`` are constants that are no operands, such
    as the limits of a Clip. A runtime may do the same in a wider type, never in a narrower one.
    """
    if node.bodies:
        return next((_type(view, precision, dequantised, frozenset()) for view in products_inside(node)), "")
    operands = [tensor for tensor in node.inputs if tensor is not None and tensor.name not in aside][:2]
    if not operands or node.op in MOVES:
        return ""
    if precision in _EIGHT_BIT and all(tensor.name in dequantised for tensor in operands):
        return precision
    width = operands[0].item_bytes
    if width == 8:
        return "fp64"
    if width == 4:
        return "tf32" if precision == "tf32" else "fp32"
    if width == 2:
        return precision if precision in _SIXTEEN_BIT else "fp16"
    return precision if width == 1 and precision in _EIGHT_BIT else f"{8 * width:g} bits"
