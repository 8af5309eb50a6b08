"""What does an ONNX file analytical cost, layer by layer and in total?"""

from __future__ import annotations

from benchbox.cost.conventions import count_in
from benchbox.cost.counters import COUNTERS, require_countable
from benchbox.cost.liveness import peak_activation_bytes
from benchbox.cost.rule import RULES, VIEWS, DependsOnDataError, OpCost, cost_of, is_free
from benchbox.errors import ArtifactError
from benchbox.graph.graph import Graph
from benchbox.graph.node import NodeView
from benchbox.schema.cost import LayerCost, NetworkCost

# Operators whose cost follows from their inputs, whatever the sizes of their outputs.
_OF_INPUTS = frozenset({"If", "Loop", "NonMaxSuppression", "Scan"})
_NAMED = 3


def cost_from_graph(
    graph: Graph,
    *,
    model: str,
    sha256: str,
    convention: str = "mac",
    allow_unknown: bool = False,
    compared: bool = False,
) -> NetworkCost:
    """Counts a graph at the sizes of its inputs.

    Args:
        graph: of the network.
        model: name in the result.
        sha256: of the file.
        convention: what the count of a layer is (``conventions.py``).
        compared: another counter's number was compared with it on this very network (``counters.count_of``).
        allow_unknown: count as zero, instead of refusing them, operators without a rule, arithmetic on tensors whose
            sizes depend on data, and loops whose turns do.

    Raises:
        UsageError: the convention is that of a counter whose number for this network is not known.
        ArtifactError: an operator without a rule, or a node whose shapes do not fit its operator.
    """
    if convention in COUNTERS:
        require_countable(COUNTERS[convention], graph, compared=compared)
    costs = tuple(_cost(node, graph, allow_unknown=allow_unknown) for node in graph.nodes)
    layers = tuple(_layer(node, cost, graph, convention) for node, cost in zip(graph.nodes, costs, strict=True))
    return NetworkCost(
        model=model,
        input_shape=graph.sample_shape,
        batch=graph.batch,
        onnx_sha256=sha256,
        params=graph.params if graph.params is not None else sum(layer.params for layer in layers),
        onnx_nodes=graph.onnx_nodes,
        weight_bytes=sum(tensor.size_bytes for tensor in graph.weights.values()) + _bytes_inside(graph),
        activation_bytes=sum(layer.write_bytes for layer in layers),
        peak_activation_bytes=peak_activation_bytes(graph),
        convention=convention,
        layers=layers,
        uncounted=tuple(_title(node) for node, cost in zip(graph.nodes, costs, strict=True) if cost is None),
        unsized=tuple(
            _title(node) for node in graph.nodes if not graph.origins.isdisjoint(tensor.name for tensor in node.outputs)
        ),
    )


def _title(node: NodeView) -> str:
    return f"{node.name} ({node.op})"


def _is_counted(node: NodeView, graph: Graph) -> bool:
    """Whether there is a rule for a node, and it knows the sizes that the rule asks for."""
    return node.op in RULES and (is_free(node.op) or not _lacks_sizes(node, graph))


def _lacks_sizes(node: NodeView, graph: Graph) -> bool:
    """Whether its cost depends on sizes that depend on data."""
    if not graph.unsized:
        return False
    seen = (*node.inputs, *(() if node.op in _OF_INPUTS else node.outputs))
    return any(tensor is not None and tensor.name in graph.unsized for tensor in seen)


def _bytes_inside(graph: Graph) -> int:
    """Bytes of weights that are stored inside branches and loops."""
    return sum(
        tensor.size_bytes
        for node in graph.nodes
        for body in node.bodies
        for name, tensor in body.weights.items()
        if name not in graph.weights
    )


def _cost(node: NodeView, graph: Graph, *, allow_unknown: bool) -> OpCost | None:
    """What a node costs in an inference; None where that is not known and need not be."""
    if graph.is_constant(node):
        return OpCost()
    if not _is_counted(node, graph):
        if allow_unknown:
            return None
        if node.op in RULES:
            raise _unsized(node, graph)
    try:
        return cost_of(node)
    except DependsOnDataError:
        if allow_unknown:
            return None
        raise


def _layer(node: NodeView, known: OpCost | None, graph: Graph, convention: str) -> LayerCost:
    once = graph.is_constant(node)
    cost = known or OpCost()
    weights = {} if once else graph.weights_behind((*node.inputs, *node.scales))
    for body in node.bodies:
        weights.update(body.weights)
    reads = {t.name: t for t in node.inputs if t is not None and t.name not in graph.constants}
    moves = node.op not in VIEWS and not once
    return LayerCost(
        name=node.name,
        op=node.op,
        output_shape=node.outputs[0].shape if node.outputs else (),
        macs=cost.macs,
        elementwise=cost.elementwise,
        params=graph.params_of.get(node.name, 0) + sum(body.params for body in node.bodies),
        weight_bytes=sum(tensor.size_bytes for tensor in weights.values()),
        read_bytes=sum(tensor.size_bytes for tensor in reads.values()) if moves else 0,
        write_bytes=sum(tensor.size_bytes for tensor in node.outputs) if moves else 0,
        count=0 if known is None or once else count_in(convention, node, cost),
    )


def _unsized(node: NodeView, graph: Graph) -> ArtifactError:
    tensors = (tensor.name for tensor in (*node.inputs, *node.outputs) if tensor is not None)
    name = next(name for name in tensors if name in graph.unsized)
    origins = [_title(maker) for maker in graph.nodes if any(made.name in graph.origins for made in maker.outputs)]
    return ArtifactError(
        f"the shape of tensor {name} cannot be inferred",
        values=f"node {_title(node)}; it depends on data since {', '.join(origins[:_NAMED])}",
        remedy="--allow-unknown counts it as zero and lists it; or fix the shape in the file",
    )
