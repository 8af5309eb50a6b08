"""What does an ONNX file analytical cost, layer by layer and in total?"""

from __future__ import annotations

from benchbox.cost.conventions import count_in
from benchbox.cost.counters import COUNTERS, require_countable
from benchbox.cost.liveness import peak_activation_bytes
from benchbox.cost.rule import RULES, VIEWS, OpCost, cost_of
from benchbox.graph.graph import Graph
from benchbox.graph.node import NodeView
from benchbox.schema.cost import LayerCost, NetworkCost


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
        allow_unknown: count operators without a rule as zero instead of refusing them.

    Raises:
        UsageError: the convention is that of a counter whose number for this network is not known.
        ArtifactError: an operator without a rule, or a node whose shapes do not fit its operator.
    """
    if convention in COUNTERS:
        require_countable(COUNTERS[convention], graph, compared=compared)
    layers = tuple(_layer(node, graph, convention, allow_unknown=allow_unknown) for node in graph.nodes)
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
        uncounted=tuple(
            f"{node.name} ({node.op})" for node in graph.nodes if node.op not in RULES and not graph.is_constant(node)
        ),
    )


def _bytes_inside(graph: Graph) -> int:
    """Bytes of weights that are stored inside branches and loops."""
    return sum(
        tensor.size_bytes
        for node in graph.nodes
        for body in node.bodies
        for name, tensor in body.weights.items()
        if name not in graph.weights
    )


def _layer(node: NodeView, graph: Graph, convention: str, *, allow_unknown: bool) -> LayerCost:
    unknown = allow_unknown and node.op not in RULES
    once = graph.is_constant(node)
    cost = OpCost() if unknown or once else cost_of(node)
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
        count=0 if unknown or once else count_in(convention, node, cost),
    )
