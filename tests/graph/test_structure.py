"""Sizes are bound, functions put in place, and invalid graphs refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import SMALL_NETWORK_MACS, cost_from_onnx, model_of, saved, small_network
from onnx import TensorProto, external_data_helper, helper

from benchbox.errors import ArtifactError, UsageError
from benchbox.graph.graph import graph_from_file

node = helper.make_node


def two_inputs(path: Path) -> Path:
    model = model_of(
        [node("Add", ["ids", "mask"], ["a"], name="add"), node("Add", ["a", "bias"], ["y"], name="again")],
        inputs={"ids": ["batch", "seq"], "mask": ["batch", "seq"], "bias": ["batch", "other"]},
    )
    return saved(path, model)


def test_named_dimensions_and_further_inputs(tmp_path: Path) -> None:
    path = two_inputs(tmp_path / "net.onnx")
    graph = graph_from_file(path, batch=2, input_shape=(5,), named={"bias": (5,)})
    assert [tensor.shape for tensor in graph.inputs] == [(2, 5)] * 3
    graph = graph_from_file(path, named={"seq": (7,), "other": (1,)})
    assert [tensor.shape for tensor in graph.inputs] == [(1, 7), (1, 7), (1, 1)]


@pytest.mark.parametrize(
    ("shape", "named", "word"),
    [
        (None, {}, "'seq' is free"),
        ((5,), {}, "'other' is free"),
        ((5,), {"nobody": (5,)}, "no input and no dimension 'nobody'"),
        ((5, 5), {"bias": (5,)}, "number of dimensions"),
    ],
)
def test_sizes_that_do_not_suffice(
    shape: tuple[int, ...] | None, named: dict[str, tuple[int, ...]], word: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=word):
        graph_from_file(two_inputs(tmp_path / "net.onnx"), input_shape=shape, named=named)


def test_a_fixed_batch_is_kept(tmp_path: Path) -> None:
    model = small_network()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    cost = cost_from_onnx(saved(tmp_path / "net.onnx", model))
    assert (cost.batch, cost.macs) == (4, 4 * SMALL_NETWORK_MACS)


def test_an_input_without_a_shape_takes_what_is_given(tmp_path: Path) -> None:
    model = small_network()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    path = saved(tmp_path / "net.onnx", model)
    with pytest.raises(ArtifactError, match="no shape at all"):
        cost_from_onnx(path)
    assert cost_from_onnx(path, input_shape=(3, 8, 8)).macs == SMALL_NETWORK_MACS


def test_local_functions_are_put_in_place(tmp_path: Path) -> None:
    function = helper.make_function(
        "com.example", "Twice", ["a"], ["c"], [node("Add", ["a", "a"], ["b"]), node("Relu", ["b"], ["c"])],
        [helper.make_opsetid("", 20)],
    )  # fmt: skip
    call = node("Twice", ["x"], ["y"], name="call", domain="com.example")
    path = saved(tmp_path / "net.onnx", model_of([call], inputs={"x": [1, 3]}, functions=[function]))
    cost = cost_from_onnx(path)
    assert [layer.op for layer in cost.layers] == ["Add", "Relu"]
    assert cost.flops == 6


def test_a_function_that_calls_itself_is_refused(tmp_path: Path) -> None:
    inner = node("F", ["a"], ["b"], domain="com.example")
    function = helper.make_function("com.example", "F", ["a"], ["b"], [inner], [helper.make_opsetid("com.example", 1)])
    call = node("F", ["x"], ["y"], name="call", domain="com.example")
    path = saved(tmp_path / "net.onnx", model_of([call], inputs={"x": [1, 3]}, functions=[function]))
    with pytest.raises(ArtifactError, match="F"):
        cost_from_onnx(path)


def test_weights_in_other_files_are_not_needed(tmp_path: Path) -> None:
    model = small_network()
    external_data_helper.convert_model_to_external_data(model, location="weights.bin", size_threshold=1024)
    onnx.save(model, str(tmp_path / "net.onnx"))
    (tmp_path / "weights.bin").unlink()
    assert cost_from_onnx(tmp_path / "net.onnx").macs == SMALL_NETWORK_MACS


def test_a_shape_in_another_file_is_read(tmp_path: Path) -> None:
    model = small_network()
    external_data_helper.convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, str(tmp_path / "net.onnx"))
    assert cost_from_onnx(tmp_path / "net.onnx").macs == SMALL_NETWORK_MACS
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ArtifactError, match="constant shape"):
        cost_from_onnx(tmp_path / "net.onnx")


@pytest.mark.parametrize("location", ["../../etc/passwd", "/etc/passwd", "a/../../b", "C:\\secrets", "..\\b"])
def test_data_outside_the_folder_is_refused(location: str, tmp_path: Path) -> None:
    model = small_network()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    with pytest.raises(ArtifactError, match="outside its own folder"):
        cost_from_onnx(saved(tmp_path / "net.onnx", model))


def broken(kind: str) -> onnx.ModelProto:
    model = small_network()
    graph = model.graph
    if kind == "made twice":
        graph.node[1].output[0] = "a"
    elif kind == "weight twice":
        graph.initializer.append(graph.initializer[0])
    elif kind == "lost output":
        graph.output[0].name = "nobody"
    elif kind == "cycle":
        graph.node[0].input[0] = "b"
    elif kind == "negative weight":
        graph.initializer[0].dims[0] = -8
    elif kind == "absurd weight":
        graph.initializer.add(name="w", data_type=1, dims=[2**40, 2**40])
    elif kind == "negative input":
        graph.input[0].type.tensor_type.shape.dim[1].dim_value = -3
    elif kind == "overflowing input":
        graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**62
    elif kind == "no inputs":
        del graph.input[:]
    elif kind == "no tensor":
        graph.input[0].type.Clear()
    elif kind == "channels":
        graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.ones((8, 4, 3, 3), np.float32), "conv.weight"))
    elif kind == "features":
        graph.initializer[3].CopyFrom(onnx.numpy_helper.from_array(np.ones((10, 64), np.float32), "fc.weight"))
    elif kind == "loop":
        graph.node.append(node("Loop", ["", ""], ["z"], name="turns", body=helper.make_graph([], "body", [], [])))
    elif kind == "operator":
        graph.node[1].op_type = "Frobnicate"
    return model


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("made twice", r"relu \(Relu\) makes a"),
        ("weight twice", "conv.weight is there twice"),
        ("lost output", "output nobody"),
        ("cycle", r"conv \(Conv\) reads b before"),
        ("negative weight", "conv.weight .* absurd"),
        ("absurd weight", "weight w"),
        ("negative input", "size of -3"),
        ("overflowing input", "size of 4611686018427387904"),
        ("no inputs", "reads x before|no inputs"),
        ("no tensor", "input x"),
        ("channels", r"conv \(Conv\)"),
        ("features", r"fc \(Gemm\)|fc"),
        ("loop", "node name: turns"),
        ("operator", "Frobnicate"),
    ],
)
def test_invalid_graphs_are_named(kind: str, word: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=word):
        cost_from_onnx(saved(tmp_path / "net.onnx", broken(kind)))
