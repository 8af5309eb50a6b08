"""How many bytes of activations are alive at once?

The schedule is the file's own order. A tensor is alive from the node that makes it to the last node that reads it;
inputs from the start, outputs of the network to the end. What follows from constants is no activation. A view (Reshape
and its like) shares its input's bytes.
Nothing is done in place: a node's inputs and outputs are alive together. Runtimes that fuse or work in place need less.
"""

from __future__ import annotations

from benchbox.cost.rule import VIEWS
from benchbox.graph.graph import Graph


def peak_activation_bytes(graph: Graph) -> int:
    """The largest sum of bytes of activations alive while one node runs."""
    owner = owners(graph)
    sizes = {tensor.name: tensor.size_bytes for tensor in graph.inputs}
    last_read = {owner.get(name, name): len(graph.nodes) for name in graph.outputs}
    working = [node for node in graph.nodes if not graph.is_constant(node)]
    for node in working:
        for tensor in node.inputs:
            if tensor is not None and tensor.name not in graph.constants:
                name = owner.get(tensor.name, tensor.name)
                last_read[name] = max(last_read.get(name, 0), node.index)
        if node.op not in VIEWS:
            sizes.update({tensor.name: tensor.size_bytes for tensor in node.outputs})
    dying: dict[int, list[str]] = {}
    for name, index in last_read.items():
        dying.setdefault(index, []).append(name)
    alive = sum(sizes[tensor.name] for tensor in graph.inputs)
    peak = alive
    for node in working:
        made = [] if node.op in VIEWS else [tensor.name for tensor in node.outputs]
        alive += sum(sizes[name] for name in made)
        peak = max(peak, alive)
        alive -= sum(sizes.get(name, 0) for name in dying.get(node.index, ()))
        alive -= sum(sizes[name] for name in made if name not in last_read)  # made but never read
    return peak


def owners(graph: Graph) -> dict[str, str]:
    """The name of the tensor whose bytes a view's output shares, for every view output."""
    owner: dict[str, str] = {}
    for node in graph.nodes:
        if node.op in VIEWS:
            source = node.input(0).name
            owner[node.outputs[0].name] = owner.get(source, source)
    return owner
