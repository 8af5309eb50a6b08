"""Executed layers and the nodes that they stand for: every multiply-add once, in the right layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import onnx
import pytest
from hypothesis import given
from onnx import TensorProto, helper

from benchbox.cost.counting import cost_from_graph
from benchbox.cost.executed.attribution import attribution
from benchbox.graph.graph import Graph, graph_from_file
from benchbox.schema.layers import ExecutedLayer


def _rows(graph: Graph, *layers: ExecutedLayer) -> dict[str, tuple[str, ...]]:
    cost = cost_from_graph(graph, model="net", sha256="")
    joined = attribution(graph, cost, layers)
    assert sum(row.macs for row in joined.rows) + joined.uncovered_macs == cost.macs
    named = [name for row in joined.rows for name in row.nodes]
    assert len(named) == len(set(named)), "a node is in one row"
    assert set(named) | set(joined.uncovered) == {node.name for node in graph.nodes}
    return {row.layer.name: row.nodes for row in joined.rows}


def _fused(name: str, *nodes: str, kind: str = "Conv", hints: tuple[str, ...] = ()) -> ExecutedLayer:
    return ExecutedLayer(name=name, kind=kind, nodes=nodes, tensors=hints)


def test_nodes_that_the_runtime_names_are_taken(zoo_graph: Callable[[str], Graph]) -> None:
    graph = zoo_graph("lenet5")
    rows = _rows(graph, _fused("k1", "conv1", "relu1"), _fused("k2", "pool1"), _fused("k3", "conv2", "conv1"))
    assert rows["k1"] == ("conv1", "relu1")
    assert rows["k2"] == ("pool1",)
    assert rows["k3"][0] == "conv2", "conv1 was counted before"


def test_a_fused_kernel_named_by_its_activation_holds_the_convolution(zoo_graph: Callable[[str], Graph]) -> None:
    graph = zoo_graph("lenet5")
    rows = _rows(graph, _fused("relu1_nchwc", hints=("relu1",)), _fused("pool1", kind="MaxPool", hints=("pool1",)))
    assert rows == {"relu1_nchwc": ("conv1", "relu1"), "pool1": ("pool1",)} | {
        "pool1": tuple(name for name in rows["pool1"])
    }
    assert "conv2" not in rows["pool1"]


def test_what_follows_a_convolution_belongs_to_it(zoo_graph: Callable[[str], Graph]) -> None:
    """ResNet's addition and activation run in the kernel of the second convolution, which is named by it alone."""
    graph = zoo_graph("resnet18")
    names = [node.name for node in graph.nodes if node.op in {"Conv", "MaxPool", "Gemm", "ReduceMean", "Reshape"}]
    operators = {node.name: node.op for node in graph.nodes}
    rows = _rows(graph, *(_fused(name, kind=operators[name], hints=(name,)) for name in names))
    assert rows["layer1.0.conv2"] == ("layer1.0.conv2", "layer1.0.add", "layer1.0.relu_1")
    assert rows["avgpool"] == ("avgpool",)


def test_a_span_covers_every_node_on_its_ways(zoo_graph: Callable[[str], Graph]) -> None:
    """TensorRT names a region "{ForeignNode[first...last]}": the shortcut beside the convolutions is part of it."""
    graph = zoo_graph("resnet18")
    rows = _rows(graph, _fused("region", kind="Myelin", hints=("layer1.1.relu_1...layer2.0.relu_1",)))
    assert {"layer2.0.conv1", "layer2.0.conv2", "layer2.0.downsample.0", "layer2.0.add"} < set(rows["region"])
    assert not any(name.startswith(("layer1.0.conv", "layer1.1.conv", "layer2.1.conv")) for name in rows["region"])


def test_a_span_of_unknown_ends_covers_nothing(zoo_graph: Callable[[str], Graph]) -> None:
    graph = zoo_graph("lenet5")
    assert _rows(graph, _fused("region", hints=("conv1...nowhere",)))["region"] == ()


def test_movement_covers_nothing(zoo_graph: Callable[[str], Graph]) -> None:
    graph = zoo_graph("lenet5")
    moved = ExecutedLayer(name="ReorderOutput", kind="ReorderOutput", tensors=("relu1",), moves=True)
    rows = _rows(graph, moved, _fused("relu1_nchwc", hints=("relu1",)))
    assert rows["ReorderOutput"] == ()
    assert "conv1" in rows["relu1_nchwc"]


def test_unknown_names_cover_nothing_and_are_uncovered(zoo_graph: Callable[[str], Graph]) -> None:
    graph = zoo_graph("lenet5")
    cost = cost_from_graph(graph, model="net", sha256="")
    joined = attribution(graph, cost, [_fused("no such", hints=("nowhere",))])
    assert joined.uncovered_macs == cost.macs
    assert joined.rows[0].nodes == ()


@pytest.mark.parametrize(
    "name",
    [
        "squeezenet1_1",
        "shufflenet_v2_x1_0",
        *(pytest.param(name, marks=pytest.mark.nightly) for name in ("mobilenet_v3_small", "googlenet")),
    ],
)
def test_every_node_by_itself_is_the_whole(name: str, zoo_graph: Callable[[str], Graph]) -> None:
    graph = zoo_graph(name)
    layers = [_fused(node.name, kind=node.op, hints=(node.name,)) for node in graph.nodes]
    assert _rows(graph, *layers) == {node.name: (node.name,) for node in graph.nodes}


@given(data=st.data())
def test_multiply_adds_are_conserved_whatever_a_runtime_says(
    data: st.DataObject, zoo_graph: Callable[[str], Graph]
) -> None:
    """Random layers with random claims and hints, some of them nonsense: nothing is lost and nothing counted twice."""
    graph = zoo_graph("lenet5")
    words = st.sampled_from([*(node.name for node in graph.nodes), "nonsense", ""])
    several = st.lists(words, max_size=4).map(tuple)
    layers = data.draw(
        st.lists(
            st.builds(
                ExecutedLayer,
                name=words,
                kind=st.sampled_from(["Conv", "Relu", "Gemm", "Other"]),
                nodes=several,
                tensors=several,
                moves=st.booleans(),
            ),
            max_size=8,
        )
    )
    cost = cost_from_graph(graph, model="net", sha256="")
    joined = attribution(graph, cost, layers)
    assert sum(row.macs for row in joined.rows) + joined.uncovered_macs == cost.macs
    named = [name for row in joined.rows for name in row.nodes]
    assert sorted([*named, *joined.uncovered]) == sorted(node.name for node in graph.nodes)


def test_one_matrix_operation_a_kernel(tmp_path: object) -> None:
    """Two products in a row, the second fused with an addition: the first is not drawn into its kernel."""
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 4]) for name in ("x", "a", "b", "out")}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        helper.make_node("MatMul", ["a", "w"], ["b"], name="second"),
        helper.make_node("Add", ["b", "w"], ["out"], name="sum"),
    ]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 4], [0.0] * 16)
    made = helper.make_graph(nodes, "g", [values["x"]], [values["out"]], [weight])
    path = Path(str(tmp_path)) / "net.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)]), path)
    graph = graph_from_file(path, batch=4)
    rows = _rows(graph, _fused("Gemm", kind="Gemm", hints=("out",)))
    assert rows["Gemm"] == ("second", "sum")


def test_kernels_fused_from_nodes_without_names_are_what_is_left(tmp_path: Path) -> None:
    """Such a kernel's name is the fusion's alone; there must be as many of them as products that nobody has."""
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "t"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("MatMul", ["b", "x"], ["c"]),
        helper.make_node("Add", ["c", "x"], ["out"]),
    ]
    border = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 4]) for name in ("x", "w", "out")]
    path = tmp_path / "net.onnx"
    made = helper.make_graph(nodes, "g", border[:2], border[2:])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)]), path)
    graph = graph_from_file(path, batch=4)
    fused = [_fused(name, kind="FusedMatMul", hints=("",)) for name in ("/MatmulTransposeFusion/", "/MatMulAddFusion")]
    alone = _fused("MatMul_2", kind="MatMul", hints=("MatMul_2",))
    assert _rows(graph, fused[0], alone, fused[1]) == {
        "/MatmulTransposeFusion/": ("MatMul_1",),
        "MatMul_2": ("MatMul_2",),
        "/MatMulAddFusion": ("MatMul_3", "Add_4"),
    }
    assert _rows(graph, fused[0], alone)["/MatmulTransposeFusion/"] == ()
    numbered = _fused("MatMulNBits_7", kind="MatMulNBits", hints=("MatMulNBits_7",))
    assert _rows(graph, fused[0], alone, numbered)["MatMulNBits_7"] == ("MatMul_3", "Add_4")
    unknown = _fused("elsewhere", kind="FusedMatMul", hints=("elsewhere",))
    assert _rows(graph, unknown, alone, fused[1])["elsewhere"] == ()


def test_weights_that_are_dequantised_belong_to_their_reader(tmp_path: Path) -> None:
    """A fused kernel reads the bytes; what the graph does to constants on the way is in no layer of its own."""
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["w.dq"], name="w.dequantize"),
        helper.make_node("Identity", ["w.dq"], ["w.same"], name="w.identity"),
        helper.make_node("Conv", ["x", "w.same"], ["y"], name="conv"),
    ]
    weights = [
        helper.make_tensor("w", TensorProto.INT8, [2, 3, 1, 1], [1] * 6),
        helper.make_tensor("s", TensorProto.FLOAT, [], [0.5]),
    ]
    made = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 4])],
        weights,
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)]), path)
    graph = graph_from_file(path, batch=1)
    assert _rows(graph, _fused("conv_nchwc", hints=("conv",))) == {"conv_nchwc": ("w.dequantize", "w.identity", "conv")}
    apart = _rows(graph, _fused("dq", "w.dequantize", kind="DequantizeLinear"), _fused("k", "conv"))
    assert apart == {"dq": ("w.dequantize", "w.identity"), "k": ("conv",)}, "unless a layer does it"
