"""Q/DQ pairs as the way a tensor is stored: bytes counted by hand on a small graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import model_of, saved
from onnx import helper

from benchbox.cost.counting import cost_from_graph
from benchbox.cost.precision.folding import folded
from benchbox.cost.precision.fusing import kernels_of, least_bytes
from benchbox.cost.precision.precisions import precision_cost
from benchbox.graph.graph import Graph, graph_from_file

SCALES = {"s": np.array(0.1, np.float32), "z": np.array(0, np.int8)}
WEIGHTS = {
    "w.q": np.ones((4, 2, 1, 1), np.int8),
    "w.s": np.ones(4, np.float32),
    "w.z": np.zeros(4, np.int8),
    "v": np.ones((4, 4, 1, 1), np.float32),
}
PAIR = 4 + 1  # bytes of a scale and its zero point
MAP = 4 * 5 * 5  # elements between the convolutions


def _quantize(value: str) -> onnx.NodeProto:
    return helper.make_node("QuantizeLinear", [value, "s", "z"], [f"{value}.q"], name=f"{value}.quantize")


def _dequantize(value: str) -> onnx.NodeProto:
    return helper.make_node("DequantizeLinear", [f"{value}.q", "s", "z"], [f"{value}.dq"], name=f"{value}.dequantize")


def _network(*tail: onnx.NodeProto, outputs: Sequence[str]) -> onnx.ModelProto:
    """A quantised input and convolution (2 to 4 channels, 5x5), its output quantised, and what follows."""
    node = helper.make_node
    return model_of(
        [
            _quantize("x"),
            _dequantize("x"),
            node("DequantizeLinear", ["w.q", "w.s", "w.z"], ["w.dq"], name="w.dequantize", axis=0),
            node("Conv", ["x.dq", "w.dq"], ["a"], name="conv"),
            _quantize("a"),
            _dequantize("a"),
            *tail,
        ],
        inputs={"x": [1, 2, 5, 5]},
        outputs=outputs,
        weights={**SCALES, **WEIGHTS},
        opset=21,
    )


def _graphs(tmp_path: Path, model: onnx.ModelProto) -> tuple[Graph, Graph]:
    graph = graph_from_file(saved(tmp_path / "net.onnx", model))
    return graph, folded(graph)


def test_what_lies_between_pairs_is_one_byte(tmp_path: Path) -> None:
    tail = (
        helper.make_node("Relu", ["a.dq"], ["b"], name="relu"),
        _quantize("b"),
        _dequantize("b"),
        helper.make_node("Conv", ["b.dq", "v"], ["y"], name="last"),
    )
    graph, stored = _graphs(tmp_path, _network(*tail, outputs=["y"]))
    assert [node.name for node in stored.nodes] == ["x.quantize", "conv", "relu", "last"]
    cost = {layer.name: layer for layer in cost_from_graph(stored, model="net", sha256="").layers}
    literal = {layer.name: layer for layer in cost_from_graph(graph, model="net", sha256="").layers}
    assert (cost["x.quantize"].read_bytes, cost["x.quantize"].write_bytes) == (4 * 50, 50)
    assert cost["x.quantize"].weight_bytes == PAIR
    assert (cost["conv"].read_bytes, cost["conv"].write_bytes) == (50, MAP)
    # int8 weights, their scales and zero points; of the input's pair and of the output's, which is the same constant
    assert cost["conv"].weight_bytes == 8 + 4 * 4 + 4 + PAIR
    assert (cost["relu"].read_bytes, cost["relu"].write_bytes) == (MAP, MAP)
    assert (cost["last"].read_bytes, cost["last"].write_bytes) == (MAP, 4 * MAP)
    assert literal["relu"].write_bytes == 4 * MAP
    assert literal["a.quantize"].read_bytes == 4 * MAP
    assert literal["a.dequantize"].read_bytes == MAP
    assert {name: layer.macs for name, layer in cost.items()} == {
        name: layer.macs for name, layer in literal.items() if name in cost
    }


@pytest.mark.parametrize("unrounded", [False, True], ids=["all readers rounded", "one reader unrounded"])
def test_pairs_of_several_readers_store_one_tensor(tmp_path: Path, unrounded: bool) -> None:
    own = [
        helper.make_node("QuantizeLinear", ["a", "s", "z"], ["a.q2"], name="a.quantize2"),
        helper.make_node("DequantizeLinear", ["a.q2", "s", "z"], ["a.dq2"], name="a.dequantize2"),
    ]
    tail = (
        *own,
        helper.make_node("Conv", ["a.dq", "v"], ["b"], name="left"),
        helper.make_node("Conv", ["a.dq2", "v"], ["c"], name="right"),
        helper.make_node("Sum", ["b", "c", *(["a"] if unrounded else [])], ["y"], name="sum"),
    )
    _, stored = _graphs(tmp_path, _network(*tail, outputs=["y"]))
    by_name = {node.name: node for node in stored.nodes}
    quantised_by = ["a.quantize"] if unrounded else []
    assert list(by_name) == ["x.quantize", "conv", *quantised_by, "left", "right", "sum"]
    assert by_name["left"].input(0) == by_name["right"].input(0)
    assert by_name["right"].input(0).size_bytes == MAP
    assert by_name["conv"].outputs[0].size_bytes == (4 * MAP if unrounded else MAP)


def test_a_tensor_that_is_also_read_unrounded_is_quantised_by_a_layer(tmp_path: Path) -> None:
    tail = (
        helper.make_node("Relu", ["a"], ["b"], name="excluded"),
        helper.make_node("Conv", ["a.dq", "v"], ["c"], name="last"),
        helper.make_node("Add", ["b", "c"], ["y"], name="add"),
    )
    _, stored = _graphs(tmp_path, _network(*tail, outputs=["y"]))
    by_name = {node.name: node for node in stored.nodes}
    assert list(by_name) == ["x.quantize", "conv", "a.quantize", "excluded", "last", "add"]
    assert by_name["conv"].outputs[0].size_bytes == 4 * MAP
    assert by_name["a.quantize"].outputs[0].size_bytes == MAP
    assert by_name["last"].input(0).name == "a.q"
    assert by_name["excluded"].input(0).size_bytes == 4 * MAP


def test_a_view_on_the_way_is_stored_in_eight_bits(tmp_path: Path) -> None:
    tail = (
        helper.make_node("MaxPool", ["a.dq"], ["p"], name="pool", kernel_shape=[5, 5]),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        _quantize("f"),
        _dequantize("f"),
        helper.make_node("Softmax", ["f.dq"], ["y"], name="last"),
    )
    _, stored = _graphs(tmp_path, _network(*tail, outputs=["y"]))
    by_name = {node.name: node for node in stored.nodes}
    assert list(by_name) == ["x.quantize", "conv", "pool", "flatten", "last"]
    assert by_name["pool"].outputs[0].size_bytes == 4
    assert by_name["flatten"].outputs[0].size_bytes == 4
    assert by_name["last"].input(0).size_bytes == 4


def test_outputs_of_the_network_keep_their_nodes(tmp_path: Path) -> None:
    _, stored = _graphs(tmp_path, _network(outputs=["a.dq"]))
    assert [node.name for node in stored.nodes] == ["x.quantize", "conv", "a.dequantize"]
    _, stored = _graphs(tmp_path, _network(helper.make_node("Relu", ["a.dq"], ["y"], name="relu"), outputs=["a", "y"]))
    assert [node.name for node in stored.nodes] == ["x.quantize", "conv", "a.quantize", "relu"]


def test_a_scale_that_is_computed_is_work(tmp_path: Path) -> None:
    model = model_of(
        [
            helper.make_node("ReduceMax", ["x"], ["top"], name="top", keepdims=0),
            helper.make_node("QuantizeLinear", ["x", "top", "z"], ["x.q"], name="quantize"),
            helper.make_node("DequantizeLinear", ["x.q", "top", "z"], ["y"], name="dequantize"),
            helper.make_node("Relu", ["y"], ["r"], name="relu"),
        ],
        inputs={"x": [1, 8]},
        weights={"z": np.array(0, np.int8)},
        opset=21,
    )
    graph, stored = _graphs(tmp_path, model)
    assert [node.name for node in stored.nodes] == [node.name for node in graph.nodes]


def test_types_and_what_is_added(tmp_path: Path) -> None:
    tail = (
        helper.make_node("Relu", ["a.dq"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "v"], ["y"], name="last"),
    )
    graph, _ = _graphs(tmp_path, _network(*tail, outputs=["y"]))
    cost = precision_cost(graph, None, model="net", sha256="", precision="int8")
    assert cost.types == {"x.quantize": "", "conv": "int8", "relu": "int8", "last": "fp32"}
    assert cost.added == {"x.quantize"}
    assert cost.unpacking == {"w.dequantize"}
    assert cost.macs_in_precision == 4 * 2 * 25


def test_kernels_move_what_they_do_not_make_and_what_others_read(tmp_path: Path) -> None:
    """Convolution, activation and addition in one kernel; the pool and the last convolution in kernels of their own."""
    node = helper.make_node
    model = model_of(
        [
            node("Conv", ["x", "u"], ["a"], name="conv"),
            node("Relu", ["a"], ["b"], name="relu"),
            node("MaxPool", ["b"], ["p"], name="pool", kernel_shape=[1, 1]),
            node("Conv", ["p", "v"], ["c"], name="second"),
            node("Add", ["b", "c"], ["d"], name="add"),
            node("Flatten", ["d"], ["e"], name="flatten"),
            node("Sigmoid", ["e"], ["y"], name="sigmoid"),
        ],
        inputs={"x": [1, 2, 5, 5]},
        weights={"u": np.ones((4, 2, 1, 1), np.float32), "v": WEIGHTS["v"]},
    )
    graph = graph_from_file(saved(tmp_path / "net.onnx", model))
    assert kernels_of(graph) == {
        "conv": "conv",
        "relu": "conv",
        "pool": "pool",
        "second": "second",
        "add": "second",
        "flatten": "second",
        "sigmoid": "second",
    }
    assert least_bytes(graph) == {
        "conv": 4 * (50 + 8 + MAP),  # the sum before the activation is read by nobody else
        "relu": 0,
        "pool": 4 * (MAP + MAP),
        "second": 4 * (MAP + 16 + MAP + MAP),  # its input, weights, the shortcut, the output
        "add": 0,
        "flatten": 0,
        "sigmoid": 0,
    }


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "googlenet"])
def test_kernels_are_a_schedule_and_move_no_more_than_their_nodes(name: str, zoo_graph: object) -> None:
    assert callable(zoo_graph)
    graph: Graph = zoo_graph(name)
    kernels = kernels_of(graph)
    place = {node.name: node.index for node in graph.nodes}
    makers = {tensor.name: node.name for node in graph.nodes for tensor in node.outputs}
    for node in graph.nodes:
        before = {kernels[makers[t.name]] for t in node.inputs if t is not None and t.name in makers}
        assert all(place[kernel] <= place[kernels[node.name]] for kernel in before), "a kernel needs a later one"
        assert kernels[kernels[node.name]] == kernels[node.name]
    cost = cost_from_graph(graph, model=name, sha256="")
    least = least_bytes(graph)
    assert 0 < sum(least.values()) <= sum(layer.moved_bytes for layer in cost.layers)
    assert all(least[layer.name] for layer in cost.layers if layer.macs), "matrix operations lead kernels"
