"""What does an ONNX file cost on paper, layer by layer and in total?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from benchbox.cost.conventions import count_in
from benchbox.cost.counters import COUNTERS, require_countable
from benchbox.cost.liveness import peak_activation_bytes
from benchbox.cost.rule import RULES, VIEWS, OpCost, cost_of
from benchbox.graph.graph import Graph, graph_from_file
from benchbox.graph.node import NodeView
from benchbox.schema.cost import LayerCost, NetworkCost


def cost_from_onnx(
    path: Path,
    *,
    model: str,
    batch: int | None = None,
    input_shape: tuple[int, ...] | None = None,
    named: Mapping[str, tuple[int, ...]] | None = None,
    sha256: str | None = None,
    convention: str = "mac",
    allow_unknown: bool = False,
) -> NetworkCost:
    """Counts an ONNX file at a batch size, without running it or reading its weights.

    Args:
        path: of the file.
        model: name in the result.
        batch: samples at once; None for 1 where the file leaves it open, else for what the file says.
        input_shape: of the first input without the batch, where the file leaves it open.
        named: shapes of further inputs without the batch, and sizes of named dimensions.
        sha256: of the file, if known; else it is computed.
        convention: what the count of a layer is (``conventions.py``).
        allow_unknown: count operators without a rule as zero instead of refusing them.

    Raises:
        UsageError: no such file, or dimensions that contradict it.
        ArtifactError: not a valid graph, or an operator without a rule.
    """
    graph = graph_from_file(path, batch=batch, input_shape=input_shape, named=named)
    if sha256 is None:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return cost_from_graph(graph, model=model, sha256=sha256, convention=convention, allow_unknown=allow_unknown)


def cost_from_graph(
    graph: Graph, *, model: str, sha256: str, convention: str = "mac", allow_unknown: bool = False
) -> NetworkCost:
    """Counts a graph; see ``cost_from_onnx``."""
    if convention in COUNTERS:
        require_countable(COUNTERS[convention], graph)
    layers = tuple(_layer(node, graph, convention, allow_unknown=allow_unknown) for node in graph.nodes)
    first = graph.inputs[0].shape
    return NetworkCost(
        model=model,
        input_shape=first[1:],
        batch=first[0] if first else 1,
        onnx_sha256=sha256,
        params=graph.params if graph.params is not None else sum(graph.params_of.values()),
        weight_bytes=sum(tensor.size_bytes for tensor in graph.weights.values()),
        activation_bytes=sum(layer.write_bytes for layer in layers),
        peak_activation_bytes=peak_activation_bytes(graph),
        convention=convention,
        layers=layers,
        uncounted=tuple(f"{node.name} ({node.op})" for node in graph.nodes if node.op not in RULES),
    )


def _layer(node: NodeView, graph: Graph, convention: str, *, allow_unknown: bool) -> LayerCost:
    unknown = allow_unknown and node.op not in RULES
    cost = OpCost() if unknown else cost_of(node)
    weights = {t.name: t for t in (*node.inputs, *node.scales) if t is not None and t.name in graph.weights}
    reads = {t.name: t for t in node.inputs if t is not None and t.name not in graph.weights}
    moves = node.op not in VIEWS
    return LayerCost(
        name=node.name,
        op=node.op,
        output_shape=node.outputs[0].shape if node.outputs else (),
        macs=cost.macs,
        elementwise=cost.elementwise,
        params=graph.params_of.get(node.name, 0),
        weight_bytes=sum(tensor.size_bytes for tensor in weights.values()),
        read_bytes=sum(tensor.size_bytes for tensor in reads.values()) if moves else 0,
        write_bytes=sum(tensor.size_bytes for tensor in node.outputs) if moves else 0,
        count=0 if unknown else count_in(convention, node, cost),
    )
