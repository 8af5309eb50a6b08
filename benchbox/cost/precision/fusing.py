"""How many bytes must move at least, when what works element by element runs inside the kernel that makes its input?

Every runtime fuses an activation or an addition into the convolution before it, so a bound that lets each node read and
write its tensors would be beaten. Here a node that works element by element (activation, addition, batch norm, cast,
quantisation, view) joins the kernel that makes the last of its inputs, however long the chain; everything else
starts a kernel. A kernel reads once what it does not make itself, and writes once what is read elsewhere. A kernel's
other inputs are all made before its first node runs, so kernels in that order are a valid schedule.

This is the ideal: runtimes fuse less. It is applied to fp32 and to every precision alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from benchbox.cost.liveness import owners
from benchbox.cost.precision.folding import DEQUANTIZE, QUANTIZE
from benchbox.cost.rule import VIEWS
from benchbox.cost.rules.elementwise import PER_ELEMENT
from benchbox.graph.graph import Graph
from benchbox.graph.node import NodeView, Tensor

_DRAWS = frozenset(name for name in PER_ELEMENT if name.startswith(("Random", "Bernoulli", "Multinomial")))
JOINING = frozenset(PER_ELEMENT) - _DRAWS | VIEWS | {"BatchNormalization", "Cast", "CastLike", QUANTIZE, DEQUANTIZE}


def kernels_of(graph: Graph) -> dict[str, str]:
    """The node that each node runs in the kernel of, by name; a node that starts a kernel names itself."""
    makers: dict[str, NodeView] = {}
    leaders: dict[str, NodeView] = {}
    for node in graph.nodes:
        inputs = node.inputs[:1] if node.op in VIEWS else node.inputs
        before = [makers[tensor.name] for tensor in inputs if tensor is not None and tensor.name in makers]
        joins = node.op in JOINING and before
        leaders[node.name] = max((leaders[made.name] for made in before), key=_place) if joins else node
        if not graph.is_constant(node):
            makers.update((tensor.name, node) for tensor in node.outputs)
    return {name: leader.name for name, leader in leaders.items()}


def least_bytes(graph: Graph) -> dict[str, int]:
    """Bytes that each node's kernel must move, weights included, by node; 0 for a node inside another's kernel.

    Args:
        graph: with tensors as they are stored (``folding.py``).
    """
    kernels = kernels_of(graph)
    shared = owners(graph)
    parts: dict[str, list[NodeView]] = {}
    readers: dict[str, set[str]] = {}
    for node in graph.nodes:
        parts.setdefault(kernels[node.name], []).append(node)
        for tensor in node.inputs:
            if tensor is not None:
                readers.setdefault(shared.get(tensor.name, tensor.name), set()).add(kernels[node.name])
    for name in graph.outputs:
        readers.setdefault(shared.get(name, name), set()).add("")
    found = dict.fromkeys(kernels, 0)
    for leader, nodes in parts.items():
        found[leader] = _moved(graph, leader, nodes, shared, readers)
    return found


def _place(node: NodeView) -> int:
    return node.index


def _moved(
    graph: Graph,
    leader: str,
    nodes: Iterable[NodeView],
    shared: Mapping[str, str],
    readers: Mapping[str, set[str]],
) -> int:
    """Of one kernel: constants, what it reads of others, what others read of it (or nobody at all)."""
    # A view moves nothing, a constant is computed once.
    working = [node for node in nodes if node.op not in VIEWS and not graph.is_constant(node)]
    made = {tensor.name: tensor for node in working for tensor in node.outputs}
    read: dict[str, Tensor] = {}
    for node in working:
        read.update(graph.weights_behind((*node.inputs, *node.scales)))
        for tensor in node.inputs:
            if tensor is not None and tensor.name not in graph.constants:
                read.setdefault(shared.get(tensor.name, tensor.name), tensor)
    outside = (tensor for name, tensor in read.items() if name not in made)
    written = (tensor for name, tensor in made.items() if readers.get(name, {""}) != {leader})
    return sum(tensor.size_bytes for tensor in (*outside, *written))
