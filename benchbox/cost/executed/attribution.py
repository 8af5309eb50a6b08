"""Which ONNX nodes does an executed layer stand for, and what do they cost?

Runtimes fuse and rename. Where one says which nodes a layer covers (TensorRT's metadata), that is taken. A region that
is named by its first and last node covers the nodes between them. Where a runtime only leaves traces in names (ONNX
Runtime names a fused kernel by a node or by the tensor that it writes), the layer covers that node and, unless it is
executed as just the operator that it is, everything backwards from it up to the nodes of other layers, but no more than
one matrix operation: a kernel fuses what surrounds a convolution, not two. What is left and costs no multiply-adds (an
addition and an activation behind a convolution) belongs to the layer that makes its last input: that is the kernel it
was fused into. Where kernels have names that say nothing, and as many matrix operations are left, they are those, in
order. What reads constants only (dequantised weights) belongs to the first layer that reads it. A node's cost
is counted once, in the first layer that covers it; the rest is said to be uncovered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchbox.graph.graph import Graph
from benchbox.graph.node import NodeView
from benchbox.schema.cost import LayerCost, NetworkCost
from benchbox.schema.layers import ExecutedLayer, LayerRow

# Words in the names of operators that one kernel may stand in for.
_FAMILIES = (("MatMul", "Gemm"), ("Conv",))


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """Rows in the order of execution, and the nodes that are in none of them."""

    rows: tuple[LayerRow, ...]
    uncovered: tuple[str, ...]
    uncovered_macs: int


def attribution(graph: Graph, cost: NetworkCost, layers: Sequence[ExecutedLayer]) -> Attribution:
    """Joins executed layers with the cost of a graph's nodes.

    Args:
        graph: that the layers were made from.
        cost: of the graph.
        layers: in the order of execution.

    Returns:
        A row for each layer; MACs of rows and of uncovered nodes add up to the cost's exactly.
    """
    costs = {layer.name: layer for layer in cost.layers}
    operators = {node.name: node.op for node in graph.nodes}
    owners = _Owners(graph, costs)
    for index, layer in enumerate(layers):
        owners.claim(index, [name for name in layer.nodes if name in costs])
    seeds = {index: owners.seeds(layer) for index, layer in enumerate(layers) if not layer.nodes and not layer.moves}
    taken = {name for names in seeds.values() for name in names}
    for index, names in seeds.items():
        told_whole = any("..." in hint for hint in (layers[index].name, *layers[index].tensors))
        as_it_is = told_whole or {operators[name] for name in names} == {layers[index].kind}
        owners.claim(index, names if as_it_is else owners.behind(names, stops=taken - set(names)))
    silent = [index for index, names in seeds.items() if not names and _says_nothing(layers[index])]
    for index, name in owners.left_for({index: layers[index].kind for index in silent}, operators):
        owners.claim(index, owners.behind([name], stops=taken))
    owners.give_the_rest()
    covered = owners.by_layer()
    rows = tuple(_row(layer, covered.get(index, ()), costs) for index, layer in enumerate(layers))
    uncovered = tuple(node.name for node in graph.nodes if node.name not in owners.of)
    return Attribution(rows=rows, uncovered=uncovered, uncovered_macs=sum(costs[name].macs for name in uncovered))


def _says_nothing(layer: ExecutedLayer) -> bool:
    """Whether a layer has a name that a runtime made up, of its kind and a number or of nothing at all."""
    kind, _, number = layer.name.rpartition("_")
    return not any(layer.tensors) or (kind == layer.kind and number.isdigit())


def without_cost(layers: Sequence[ExecutedLayer]) -> Attribution:
    """The rows of a network that cannot be counted: layers and times, with the nodes that the runtime names."""
    rows = tuple(LayerRow(name=layer.name, layer=layer, nodes=layer.nodes) for layer in layers)
    return Attribution(rows=rows, uncovered=(), uncovered_macs=0)


class _Owners:
    """Which layer each node belongs to, as it is found out."""

    def __init__(self, graph: Graph, costs: Mapping[str, LayerCost]) -> None:
        self.of: dict[str, int] = {}
        self._nodes = {node.name: node for node in graph.nodes}
        self._maker = {tensor.name: node.name for node in graph.nodes for tensor in node.outputs}
        self._costs = costs
        self._constants = frozenset(graph.constants)

    def claim(self, layer: int, names: Iterable[str]) -> None:
        """Gives nodes to a layer, except those that have one."""
        for name in names:
            self.of.setdefault(name, layer)

    def seeds(self, layer: ExecutedLayer) -> list[str]:
        """The nodes that a layer's name or tensors hint at."""
        hinted = (name for hint in (layer.name, *layer.tensors) for name in self._hinted(hint))
        return list(dict.fromkeys(hinted))

    def _hinted(self, hint: str) -> list[str]:
        """A node's own name, the node that makes a tensor of that name, or the span "first...last"."""
        name = hint if hint in self._nodes else self._maker.get(hint)
        if name is not None:
            return [name]
        first, dots, last = hint.partition("...")
        if not dots or first not in self._nodes or last not in self._nodes:
            return []
        return self._between(first, last)

    def _between(self, first: str, last: str) -> list[str]:
        """The nodes on the ways from one node to another, both included, in the order of the graph."""
        after = {first}
        for name in self._nodes:  # a graph lists makers before users
            if any(maker in after for maker in self._before(self._nodes[name])):
                after.add(name)
        before = {last}
        for name in reversed(self._nodes):
            if name in before:
                before.update(self._before(self._nodes[name]))
        ways = after & before
        return [name for name in self._nodes if name in ways or name in {first, last}]

    def behind(self, names: Sequence[str], *, stops: set[str]) -> list[str]:
        """The nodes and those before them, up to stops, nodes that are owned, and one matrix operation."""
        found: list[str] = []
        waiting = sorted(names, key=lambda name: self._nodes[name].index, reverse=True)
        while waiting:
            name = waiting.pop(0)
            if name in found or name in self.of or (name in stops and name not in names):
                continue
            matrix = self._costs[name].macs > 0
            if matrix and name not in names and any(self._costs[other].macs for other in found):
                continue
            found.append(name)
            if not matrix:
                waiting += self._before(self._nodes[name])
        return found

    def left_for(self, silent: Mapping[int, str], operators: Mapping[str, str]) -> list[tuple[int, str]]:
        """Matrix operations that nobody has, for the layers whose names say nothing: in order, where as many are left.

        A runtime has no name for what it fused from nodes without names.
        """
        found = []
        for words in _FAMILIES:
            layers = [index for index, kind in silent.items() if any(word in kind for word in words)]
            nodes = [
                name
                for name in self._nodes
                if name not in self.of and self._costs[name].macs and any(word in operators[name] for word in words)
            ]
            if len(layers) == len(nodes):
                found += list(zip(layers, nodes, strict=True))
        return found

    def _before(self, node: NodeView) -> list[str]:
        makers = (self._maker.get(tensor.name) for tensor in node.inputs if tensor is not None)
        return [name for name in makers if name is not None]

    def give_the_rest(self) -> None:
        """Gives nodes without multiply-adds to the layer that makes the last of their inputs, else to their reader."""
        for node in self._nodes.values():
            if node.name in self.of or self._costs[node.name].macs:
                continue
            owners = [self.of[name] for name in self._before(node) if name in self.of]
            if owners:
                self.of[node.name] = max(owners)
        self._give_constants()

    def _give_constants(self) -> None:
        """Gives nodes that depend on nothing computed to the first layer that reads them."""
        readers: dict[str, list[str]] = {}
        fixed: set[str] = set(self._constants)
        constants = []
        for node in self._nodes.values():  # a graph lists makers before users
            for maker in self._before(node):
                readers.setdefault(maker, []).append(node.name)
            if all(tensor is None or tensor.name in fixed for tensor in node.inputs):
                fixed.update(tensor.name for tensor in node.outputs)
                constants.append(node.name)
        for name in reversed(constants):
            owners = [self.of[reader] for reader in readers.get(name, ()) if reader in self.of]
            if owners and not self._costs[name].macs:
                self.of.setdefault(name, min(owners))

    def by_layer(self) -> dict[int, list[str]]:
        """Names of the nodes of each layer, in the order of the graph."""
        layers: dict[int, list[str]] = {}
        for name in self._nodes:
            if name in self.of:
                layers.setdefault(self.of[name], []).append(name)
        return layers


def _row(layer: ExecutedLayer, names: Sequence[str], costs: Mapping[str, LayerCost]) -> LayerRow:
    parts = [costs[name] for name in names]
    return LayerRow(
        name=max(parts, key=lambda part: (part.macs, part.elementwise)).name if parts else layer.name,
        layer=layer,
        nodes=tuple(names),
        macs=sum(part.macs for part in parts),
        flops=sum(part.flops for part in parts),
        moved_bytes=sum(part.moved_bytes for part in parts),
    )
