"""What a file's structure is, and which files are refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import cost_from_onnx
from onnx import TensorProto, helper, numpy_helper

from benchbox.errors import ArtifactError, UsageError
from benchbox.graph.graph import graph_from_file


def saved(
    path: Path,
    nodes: list[onnx.NodeProto],
    *,
    shape: list[int | str | None],
    weights: dict[str, np.ndarray] | None = None,
    functions: list[onnx.FunctionProto] | None = None,
) -> Path:
    output = nodes[-1].output[0]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("com.example", 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=imports, functions=functions or []).SerializeToString())
    return path


def relu(path: Path, shape: list[int | str | None]) -> Path:
    return saved(path, [helper.make_node("Relu", ["x"], ["y"], name="relu")], shape=shape)


def test_dimensions_are_bound(tmp_path: Path) -> None:
    path = relu(tmp_path / "net.onnx", ["batch", 3, "height", "width"])
    graph = graph_from_file(path, batch=4, input_shape=(3, 8, 6))
    assert graph.inputs[0].shape == (4, 3, 8, 6)
    assert graph.nodes[0].outputs[0].shape == (4, 3, 8, 6)


@pytest.mark.parametrize("free", ["n", None])
def test_a_free_first_dimension_is_the_batch(free: str | None, tmp_path: Path) -> None:
    assert graph_from_file(relu(tmp_path / "net.onnx", [free, 3]), batch=5).inputs[0].shape == (5, 3)


@pytest.mark.parametrize(
    ("shape", "batch", "input_shape", "word"),
    [
        (["batch", "width"], 1, None, "width"),
        ([2, 3], 4, None, "fixed at 2"),
        (["batch", 3], 1, (4,), "fixed at batchx3"),
        (["batch", 3], 1, (3, 3), "number of dimensions"),
    ],
)
def test_dimensions_that_do_not_fit(
    shape: list[int | str | None], batch: int, input_shape: tuple[int, ...] | None, word: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=word):
        graph_from_file(relu(tmp_path / "net.onnx", shape), batch=batch, input_shape=input_shape)


def test_shapes_computed_from_shapes_are_known(tmp_path: Path) -> None:
    """The exporters' Shape -> Gather -> Concat -> Reshape chains."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], name="shape"),
        helper.make_node("Gather", ["s", "first"], ["b"], name="gather"),
        helper.make_node("Concat", ["b", "minus"], ["to"], name="concat", axis=0),
        helper.make_node("Reshape", ["x", "to"], ["y"], name="reshape"),
        helper.make_node("MatMul", ["y", "w"], ["z"], name="product"),
    ]
    weights = {
        "first": np.array([0], np.int64),
        "minus": np.array([-1], np.int64),
        "w": np.zeros((12, 5), np.float32),
    }
    path = saved(tmp_path / "net.onnx", nodes, shape=["batch", 3, 4], weights=weights)
    assert cost_from_onnx(path, batch=2).macs == 2 * 12 * 5


def test_a_shape_that_depends_on_data_is_an_error_not_a_one(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"], name="nonzero"),
        helper.make_node("Cast", ["where"], ["y"], name="cast", to=TensorProto.FLOAT),
    ]
    with pytest.raises(ArtifactError, match=r"nonzero \(NonZero\)"):
        graph_from_file(saved(tmp_path / "net.onnx", nodes, shape=["batch", 3]), batch=1)


def test_parameters_of_a_foreign_file(tmp_path: Path) -> None:
    """Weights count, batch-norm statistics and integers do not, shared ones once."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="one"),
        helper.make_node("MatMul", ["a", "w"], ["b"], name="two"),
        helper.make_node("BatchNormalization", ["b", "g", "h", "m", "v"], ["c"], name="norm"),
        helper.make_node("Reshape", ["c", "to"], ["d"], name="reshape"),
    ]
    vector = np.ones(4, np.float32)
    weights = {"w": np.ones((4, 4), np.float32), "g": vector, "h": vector, "m": vector, "v": vector}
    path = saved(tmp_path / "net.onnx", nodes, shape=["batch", 4], weights={**weights, "to": np.array([-1, 2, 2])})
    cost = cost_from_onnx(path)
    assert cost.params == 16 + 8
    assert [layer.params for layer in cost.layers] == [16, 0, 8, 0]
    assert cost.weight_bytes == 64 + 4 * 16 + 3 * 8
    assert cost.layers[1].weight_bytes == 64, "a layer's bytes are what it reads, shared or not"


def test_weights_are_not_read(tmp_path: Path) -> None:
    """External data may be absent: structure alone is counted."""
    path = saved(
        tmp_path / "net.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        shape=["batch", 64],
        weights={"w": np.zeros((64, 64), np.float32)},
    )
    onnx.save(onnx.load(str(path)), str(path), save_as_external_data=True, location="net.data", size_threshold=0)
    (tmp_path / "net.data").unlink()
    assert cost_from_onnx(path).macs == 64 * 64


def test_nodes_without_names_get_some(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Relu", ["y"], ["z"])]
    cost = cost_from_onnx(saved(tmp_path / "net.onnx", nodes, shape=["batch", 3]))
    assert [layer.name for layer in cost.layers] == ["Relu_0", "Relu_1"]


def test_nodes_are_those_of_the_file_and_of_what_is_inside(tmp_path: Path) -> None:
    """As the file's own list has them: Constants too, branches and functions unfolded."""
    node = helper.make_node
    constant = node("Constant", [], ["c"], name="constant", value=numpy_helper.from_array(np.float32([1.0]), "c"))
    plain = [constant, node("Add", ["x", "c"], ["a"], name="add"), node("Relu", ["a"], ["y"], name="relu")]
    path = saved(tmp_path / "plain.onnx", plain, shape=[3])
    assert graph_from_file(path).onnx_nodes == len(onnx.load(str(path)).graph.node) == 3

    output = helper.make_tensor_value_info("r", TensorProto.FLOAT, [3])
    one = helper.make_graph([node("Relu", ["x"], ["r"], name="r1")], "one", [], [output])
    inner = [node("Neg", ["x"], ["n"], name="n1"), node("Abs", ["n"], ["r"], name="r2")]
    two = helper.make_graph(inner, "two", [], [output])
    true = node("Constant", [], ["t"], name="t", value=numpy_helper.from_array(np.array(True), "t"))
    branched = [true, node("If", ["t"], ["y"], name="if", then_branch=one, else_branch=two)]
    assert graph_from_file(saved(tmp_path / "if.onnx", branched, shape=[3])).onnx_nodes == 2 + 1 + 2

    double = helper.make_function(
        "com.example", "Double", ["p"], ["q"], [node("Neg", ["p"], ["m"]), node("Abs", ["m"], ["q"])],
        [helper.make_opsetid("", 20)],
    )  # fmt: skip
    calls = [node("Double", ["x"], ["y"], name="call", domain="com.example")]
    path = saved(tmp_path / "function.onnx", calls, shape=[3], functions=[double])
    assert graph_from_file(path).onnx_nodes == 2


def bad_graph(kind: str, path: Path) -> Path:
    node = helper.make_node
    if kind == "text":
        path.write_text("no network")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes(relu(path, ["batch", 3]).read_bytes()[:-5])
    elif kind == "cycle":
        saved(path, [node("Add", ["x", "b"], ["a"], name="one"), node("Relu", ["a"], ["b"], name="two")], shape=[1, 3])
    elif kind == "control flow":
        body = helper.make_graph([], "body", [], [])
        saved(path, [node("If", ["x"], ["y"], name="if", then_branch=body, else_branch=body)], shape=[1])
    elif kind == "domain":
        saved(path, [node("Magic", ["x"], ["y"], name="magic", domain="com.example")], shape=[1, 3])
    elif kind == "huge":
        relu(path, [2**40, 2**20])
    elif kind == "mismatch":
        weights = {"w": np.zeros((5, 5), np.float32)}
        saved(path, [node("MatMul", ["x", "w"], ["y"], name="product")], shape=["batch", 4], weights=weights)
    return path


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("text", "net.onnx"),
        ("empty", "net.onnx"),
        ("truncated", "net.onnx"),
        ("cycle", "one"),
        ("control flow", "if"),
        ("domain", "com.example::Magic"),
        ("huge", "absurdly"),
        ("mismatch", "net.onnx"),
    ],
)
def test_bad_files_are_named(kind: str, word: str, tmp_path: Path) -> None:
    path = bad_graph(kind, tmp_path / "net.onnx")
    with pytest.raises(ArtifactError, match=word):
        cost_from_onnx(path, batch=2**40 if kind == "huge" else 1)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.onnx"):
        graph_from_file(tmp_path / "absent.onnx", batch=1)


def test_outputs_that_are_inputs_or_weights_leave_the_rest_known(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "net",
        [value("x", 1, ["batch", 8])],
        [value("y", 1, ["batch", 4]), value("x", 1, ["batch", 8]), value("w", 1, [8, 4])],
        [onnx.numpy_helper.from_array(np.ones((8, 4), np.float32), "w")],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), str(tmp_path / "n.onnx"))
    (product,) = graph_from_file(tmp_path / "n.onnx", batch=3).nodes
    assert product.outputs[0].shape == (3, 4)
