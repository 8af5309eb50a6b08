"""What does each layer move when Q/DQ pairs are how a tensor is stored, not work?

In a quantised ONNX graph every quantised tensor passes a QuantizeLinear and a DequantizeLinear, so that by the file
each is written twice and read twice, once in floating point. That is how the graph says which tensors are stored in
eight bits. Here the pairs are folded away:

* what a DequantizeLinear makes is read as it is stored, in eight bits, weights with their scales;
* a QuantizeLinear goes into the node that makes its input, which then writes eight bits, where nothing else reads that
  input; a view on the way (Reshape and its like) is stored in eight bits too;
* several QuantizeLinear of one tensor to one type are one: each reader of a quantised tensor has a pair of its own, of
  the same range, and it is stored once;
* a QuantizeLinear stays where it is a layer of its own: behind an input of the network, and behind a tensor that
  somebody reads unrounded as well. So do casts: no kernel is known to take them all in.

This is the least that a runtime must move, and what an ideal speed-up is counted from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from benchbox.cost.rule import VIEWS
from benchbox.graph.graph import Graph
from benchbox.graph.node import NodeView, Tensor

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


def folded(graph: Graph) -> Graph:
    """The graph without the Q/DQ nodes that are no work; one without any is returned as it is.

    Args:
        graph: in any precision. Names of nodes and tensors stay; all nodes but Q/DQ nodes stay.
    """
    if not any(node.op in {QUANTIZE, DEQUANTIZE} for node in graph.nodes):
        return graph
    folding = _Folding(graph)
    folding.run()
    nodes = tuple(
        replace(folding.view(node), index=index)
        for index, node in enumerate(node for node in graph.nodes if node.index not in folding.gone)
    )
    return replace(graph, nodes=nodes)


@dataclass
class _Folding:
    """Which nodes go, what is read in place of their outputs, and how wide every tensor is then."""

    graph: Graph
    gone: set[int] = field(default_factory=set)
    read_as: dict[str, Tensor] = field(default_factory=dict)
    item_bytes: dict[str, float] = field(default_factory=dict)
    scales: dict[int, list[Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        nodes = self.graph.nodes
        self.makers: Mapping[str, NodeView] = {tensor.name: node for node in nodes for tensor in node.outputs}
        self.readers: dict[str, list[NodeView]] = {}
        for node in nodes:
            for tensor in node.inputs:
                if tensor is not None:
                    self.readers.setdefault(tensor.name, []).append(node)

    def run(self) -> None:
        """Decides about every Q/DQ node."""
        self._merge_quantize()
        for node in self.graph.nodes:
            if node.index in self.gone:
                continue
            if node.op == QUANTIZE and self._constant(node):
                self._fold_quantize(node)
            elif node.op == DEQUANTIZE and self._constant(node) and node.outputs[0].name not in self.graph.outputs:
                self._fold_dequantize(node)

    def view(self, node: NodeView) -> NodeView:
        """A node that stays, with its tensors as they are stored."""
        return replace(
            node,
            inputs=tuple(tensor if tensor is None else self._stored(tensor) for tensor in node.inputs),
            outputs=tuple(self._stored(tensor) for tensor in node.outputs),
            scales=tuple({tensor.name: tensor for tensor in self.scales.get(node.index, ())}.values()),
        )

    def _stored(self, tensor: Tensor) -> Tensor:
        while tensor.name in self.read_as:
            tensor = self.read_as[tensor.name]
        return replace(tensor, item_bytes=self.item_bytes.get(tensor.name, tensor.item_bytes))

    def _constant(self, node: NodeView) -> bool:
        """Whether the scale and the zero point are constants, which take no pass over the tensor."""
        return all(tensor is None or tensor.name in self.graph.constants for tensor in node.inputs[1:])

    def _merge_quantize(self) -> None:
        """Takes the first QuantizeLinear of a tensor to a type for all of them."""
        firsts: dict[tuple[str, float], NodeView] = {}
        for node in self.graph.nodes:
            if node.op != QUANTIZE or not self._constant(node) or node.outputs[0].name in self.graph.outputs:
                continue
            value = node.input(0).name
            first = firsts.setdefault((value, node.outputs[0].item_bytes), node)
            if first is not node:
                self.gone.add(node.index)
                self.read_as[node.outputs[0].name] = first.outputs[0]
                self.readers[value] = [reader for reader in self.readers[value] if reader.index != node.index]

    def _fold_dequantize(self, node: NodeView) -> None:
        self.gone.add(node.index)
        self.read_as[node.outputs[0].name] = node.input(0)
        for reader in self.readers.get(node.outputs[0].name, []):
            self._carry(node, reader)

    def _fold_quantize(self, node: NodeView) -> None:
        """Into the node that makes its input, through views, if nothing else reads what would be narrower then."""
        value, passed = node.input(0).name, []
        reader = node
        while True:
            maker = self.makers.get(value)
            if maker is None or value in self.graph.outputs or self.readers[value] != [reader]:
                return
            passed.append(value)
            if maker.op not in VIEWS:
                break
            reader, value = maker, maker.input(0).name
        if node.outputs[0].name in self.graph.outputs or maker.op in {QUANTIZE, DEQUANTIZE}:
            return
        self.gone.add(node.index)
        self.read_as[node.outputs[0].name] = node.input(0)
        self.item_bytes.update(dict.fromkeys(passed, node.outputs[0].item_bytes))
        self._carry(node, maker)

    def _carry(self, node: NodeView, other: NodeView) -> None:
        constants = (tensor for tensor in node.inputs[1:] if tensor is not None)
        self.scales.setdefault(other.index, []).extend(constants)
