"""The peak of live bytes against a slow count that asks at every step who is still needed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchbox.cost.liveness import peak_activation_bytes
from benchbox.cost.rule import VIEWS
from benchbox.graph.graph import Graph
from benchbox.graph.node import NodeView, Tensor


def tensor(name: str, size: int) -> Tensor:
    return Tensor(name=name, shape=(size,), item_bytes=1)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    tensors = [tensor("input", draw(st.integers(1, 20)))]
    nodes = []
    for index in range(draw(st.integers(1, 10))):
        read = draw(st.lists(st.sampled_from(tensors), min_size=1, max_size=3, unique=True))
        view = draw(st.booleans())
        made = tensor(f"t{index}", read[0].elements if view else draw(st.integers(1, 20)))
        op = "Reshape" if view else "Relu"
        nodes.append(NodeView(index=index, name=f"n{index}", op=op, inputs=tuple(read), outputs=(made,)))
        tensors.append(made)
    outputs = {tensors[-1].name, draw(st.sampled_from(tensors)).name}
    return Graph(
        nodes=tuple(nodes), inputs=(tensors[0],), outputs=tuple(outputs), weights={}, constants={},
        params_of={}, params=None, onnx_nodes=len(nodes),
    )  # fmt: skip


def slow_peak(graph: Graph) -> int:
    """At each node: every buffer that exists and is read now or later, or is an output, or is being made."""
    buffer = {"input": "input"}
    for node in graph.nodes:
        made = node.outputs[0].name
        buffer[made] = buffer[node.input(0).name] if node.op in VIEWS else made
    sizes = {"input": graph.inputs[0].size_bytes}
    sizes.update({node.outputs[0].name: node.outputs[0].size_bytes for node in graph.nodes if node.op not in VIEWS})
    ever_read = {buffer[t.name] for node in graph.nodes for t in node.inputs if t} | {buffer[o] for o in graph.outputs}
    peak = sizes["input"]
    for step, now in enumerate(graph.nodes):
        needed = {buffer[name] for name in graph.outputs}
        needed |= {buffer[t.name] for node in graph.nodes[step:] for t in node.inputs if t}
        exists = {"input"} | {buffer[node.outputs[0].name] for node in graph.nodes[: step + 1]}
        alive = (needed & exists) | {buffer[now.outputs[0].name]}
        if "input" not in ever_read:
            alive.add("input")
        peak = max(peak, sum(sizes[name] for name in alive))
    return peak


@given(graphs())
def test_peak_is_the_slow_counts(graph: Graph) -> None:
    assert peak_activation_bytes(graph) == slow_peak(graph)


def test_by_hand() -> None:
    a, b, c = tensor("input", 10), tensor("b", 20), tensor("c", 5)
    nodes = (
        NodeView(index=0, name="widen", op="Conv", inputs=(a,), outputs=(b,)),
        NodeView(index=1, name="narrow", op="Conv", inputs=(b,), outputs=(c,)),
    )
    graph = Graph(
        nodes=nodes, inputs=(a,), outputs=("c",), weights={}, constants={}, params_of={}, params=None, onnx_nodes=2
    )
    assert peak_activation_bytes(graph) == 30
