"""Sizes that depend on data: refused where all must be known, taken as empty where the rest is to be counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import model_of, saved
from onnx import TensorProto, helper

from benchbox.cost.counting import cost_from_graph
from benchbox.errors import ArtifactError
from benchbox.graph.graph import Graph, graph_from_file
from benchbox.schema.cost import NetworkCost

node = helper.make_node


def detector(*behind: onnx.NodeProto, outputs: Sequence[str] = ("boxes",)) -> onnx.ModelProto:
    """A convolution, boxes and scores of its 36 places, and those that NonMaxSuppression keeps."""
    nodes = [
        node("Conv", ["x", "k"], ["c"], "conv", pads=[1] * 4),
        node("Reshape", ["c", "rows"], ["r"], "rows"),
        node("Transpose", ["r"], ["t"], "turn", perm=[0, 2, 1]),
        node("MatMul", ["t", "w"], ["raw"], "boxes"),
        node("MatMul", ["t", "v"], ["points"], "scores"),
        node("Transpose", ["points"], ["score"], "turned", perm=[0, 2, 1]),
        node("NonMaxSuppression", ["raw", "score", "most", "iou"], ["kept"], "nms"),
        node("Slice", ["kept", "last", "end", "axis"], ["which"], "which"),
        node("Squeeze", ["which", "axis"], ["places"], "flat"),
        node("Gather", ["raw", "places"], ["boxes"], "take", axis=1),
        *behind,
    ]
    weights = {
        "k": np.ones((8, 3, 3, 3), np.float32),
        "w": np.ones((8, 4), np.float32),
        "v": np.ones((8, 20), np.float32),
        "rows": np.array([0, 8, -1]),
        "most": np.array([5]),
        "iou": np.float32([0.5]),
        "last": np.array([2]),
        "end": np.array([3]),
        "axis": np.array([1]),
        "b": np.ones((4, 7), np.float32),
    }
    return model_of(nodes, inputs={"x": ["N", 3, 6, 6]}, outputs=outputs, weights=weights)


def opened(model: onnx.ModelProto, folder: Path) -> Graph:
    return graph_from_file(saved(folder / "net.onnx", model), opened=True)


def cost(model: onnx.ModelProto, folder: Path, *, allow_unknown: bool = False) -> NetworkCost:
    return cost_from_graph(opened(model, folder), model="net", sha256="", allow_unknown=allow_unknown)


def test_a_detector_is_counted_up_to_what_it_selects(tmp_path: Path) -> None:
    found = cost(detector(), tmp_path)
    assert found.macs == 8 * 36 * 27 + 36 * 8 * (4 + 20)
    assert (found.uncounted, found.unsized) == ((), ("nms (NonMaxSuppression)",))
    layers = {layer.name: layer for layer in found.layers}
    assert layers["nms"].elementwise == 20 * 36
    assert layers["take"].output_shape == (1, 0, 4)


def test_arithmetic_behind_it_is_refused_or_listed(tmp_path: Path) -> None:
    model = detector(
        node("MatMul", ["boxes", "b"], ["y"], "behind"), node("ReduceMax", ["y"], ["z"], "most", keepdims=0)
    )
    with pytest.raises(ArtifactError, match="shape of tensor boxes cannot be inferred") as caught:
        cost(model, tmp_path)
    assert "since nms (NonMaxSuppression)" in caught.value.values
    assert "--allow-unknown" in caught.value.remedy
    found = cost(model, tmp_path, allow_unknown=True)
    assert found.uncounted == ("behind (MatMul)", "most (ReduceMax)")
    assert found.macs == 8 * 36 * 27 + 36 * 8 * (4 + 20)


def test_what_has_a_size_again_is_counted(tmp_path: Path) -> None:
    """A reduction of all that was selected to one number, which scales a tensor whose size is known."""
    model = detector(
        node("ReduceMax", ["boxes"], ["top"], "top", keepdims=0),
        node("Mul", ["raw", "top"], ["scaled"], "scale"),
        node("MatMul", ["scaled", "b"], ["y"], "product"),
        outputs=["y"],
    )
    found = cost(model, tmp_path, allow_unknown=True)
    assert found.uncounted == ("top (ReduceMax)",)
    assert {layer.name: layer.macs for layer in found.layers}["product"] == 36 * 4 * 7


def test_an_operator_that_nobody_knows_hides_only_what_is_behind_it(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["h"], "known"),
        node("Magic", ["h"], ["m"], "magic", domain="com.example"),
        node("Relu", ["m"], ["y"], "behind"),
    ]
    model = model_of(nodes, inputs={"x": ["N", 4]}, weights={"w": np.ones((4, 3), np.float32)})
    found = cost(model, tmp_path, allow_unknown=True)
    assert (found.macs, found.uncounted) == (12, ("magic (com.example::Magic)", "behind (Relu)"))


def test_without_being_asked_nothing_is_taken_as_empty(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"nms \(NonMaxSuppression\)"):
        graph_from_file(saved(tmp_path / "net.onnx", detector()))


def test_where_empty_tensors_do_not_fit_the_node_is_named(tmp_path: Path) -> None:
    nodes = [
        node("NonZero", ["x"], ["places"], "places"),
        node("Split", ["places", "parts"], ["a", "b"], "split", axis=1),
        node("Add", ["a", "b"], ["y"], "sum"),
    ]
    model = model_of(nodes, inputs={"x": ["N", 4]}, weights={"parts": np.array([2, 2])})
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(ArtifactError, match="places"):
        opened(model, tmp_path)


def test_a_reshape_that_changes_the_number_of_elements_is_named(tmp_path: Path) -> None:
    nodes = [node("Reshape", ["x", "shape"], ["y"], "flat")]
    model = model_of(nodes, inputs={"x": ["N", 6]}, weights={"shape": np.array([4, 6])})
    path = saved(tmp_path / "net.onnx", model)
    with pytest.raises(ArtifactError, match=r"node flat \(Reshape\)") as caught:
        graph_from_file(path)
    assert caught.value.values == "x is 1x6, y would be 4x6"
    assert graph_from_file(path, batch=4).nodes[0].outputs[0].shape == (4, 6)


def test_sequences_and_what_a_loop_gathers_are_empty(tmp_path: Path) -> None:
    turn = [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("on", 9, [])]
    carried = helper.make_tensor_value_info("each", TensorProto.FLOAT, None)
    body = helper.make_graph(
        [node("Relu", ["each"], ["next"]), node("Identity", ["next"], ["seen"]), node("Identity", ["on"], ["go"])],
        "body",
        [*turn, carried],
        [helper.make_tensor_value_info("go", 9, []), *(onnx.ValueInfoProto(name=name) for name in ("next", "seen"))],
    )
    nodes = [
        node("SplitToSequence", ["x"], ["parts"], "split", axis=1),
        node("Loop", ["turns", "", "x"], ["last", "all"], "decode", body=body),
        node("ReduceSum", ["all"], ["y"], "sum", keepdims=0),
    ]
    model = model_of(nodes, inputs={"x": ["N", 4]}, outputs=["y", "last"])
    model.graph.input.append(helper.make_tensor_value_info("turns", TensorProto.INT64, []))
    model.graph.output.append(helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None))
    graph = opened(model, tmp_path)
    shapes = {tensor.name: tensor.shape for view in graph.nodes for tensor in view.outputs}
    assert (shapes["last"], shapes["y"], shapes["parts"]) == ((1, 4), (), (0,))
    assert shapes["all"] == (0,)
    assert graph.origins == {"parts", "all"}


def squeezed(rows: int | str) -> onnx.ModelProto:
    """``squeeze`` as PyTorch's older exporter writes it where it does not know the size: branches of other ranks."""
    branches = {
        "then_branch": helper.make_graph(
            [node("Squeeze", ["h", "one"], ["s"], "squeeze")], "then", [], [value("s", None)]
        ),
        "else_branch": helper.make_graph([node("Identity", ["h"], ["i"], "same")], "else", [], [value("i", None)]),
    }
    nodes = [
        node("MatMul", ["x", "w"], ["h"], "first"),
        node("Shape", ["h"], ["shape"], "shape"),
        node("Gather", ["shape", "one"], ["rows"], "rows"),
        node("Equal", ["rows", "one"], ["is_one"], "is_one"),
        node("If", ["is_one"], ["z"], "squeezing", **branches),
        node("MatMul", ["z", "v"], ["y"], "second"),
    ]
    weights = {"w": np.ones((8, 6), np.float32), "v": np.ones((6, 5), np.float32), "one": np.array([1])}
    return model_of(nodes, inputs={"x": [1, rows, 8]}, weights=weights, opset=17)


def value(name: str, shape: Sequence[int | str] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


@pytest.mark.parametrize(("rows", "shape"), [(1, (1, 5)), (3, (1, 3, 5))])
def test_a_branch_that_follows_from_sizes_is_the_one_taken(rows: int, shape: tuple[int, ...], tmp_path: Path) -> None:
    """With three rows there is nothing to squeeze, and the other branch would not fit together."""
    graph = graph_from_file(saved(tmp_path / "net.onnx", squeezed(rows)))
    assert graph.nodes[-1].outputs[0].shape == shape
    counted = cost_from_graph(graph, model="net", sha256="")
    assert counted.macs == rows * (8 * 6 + 6 * 5)
    assert not counted.unsized


def test_what_a_loop_of_constant_length_gathers_has_a_size(tmp_path: Path) -> None:
    body = helper.make_graph(
        [
            node("MatMul", ["state", "w"], ["next"], "step"),
            node("Identity", ["goes"], ["on"]),
            node("Identity", ["next"], ["kept"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            value("state", ["N", 8]),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), value("next", ["N", 8]), value("kept", ["N", 8])],
    )
    nodes = [
        node("Loop", ["turns", "", "x"], ["last", "all"], "loop", body=body),
        node("Transpose", ["all"], ["turned"], "turned", perm=[1, 0, 2]),
        node("MatMul", ["turned", "v"], ["y"], "out"),
    ]
    weights = {"w": np.ones((8, 8), np.float32), "v": np.ones((8, 5), np.float32), "turns": np.array(3)}
    graph = graph_from_file(saved(tmp_path / "net.onnx", model_of(nodes, inputs={"x": ["N", 8]}, weights=weights)))
    assert graph.nodes[-1].outputs[0].shape == (1, 3, 5)
    assert cost_from_graph(graph, model="net", sha256="").macs == 3 * 64 + 3 * 40
