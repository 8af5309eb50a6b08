"""Branches and loops: the dearer branch, the body times a constant number of turns, else no cost at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import cost_from_onnx, model_of, saved
from onnx import TensorProto, helper, numpy_helper

from benchbox.cost.counting import cost_from_graph
from benchbox.errors import ArtifactError
from benchbox.graph.graph import graph_from_file

FLOAT = TensorProto.FLOAT


def value(name: str, kind: int, shape: list[int | str] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def branch(name: str, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray]) -> onnx.GraphProto:
    stored = [numpy_helper.from_array(array, key) for key, array in weights.items()]
    return helper.make_graph(nodes, name, [], [value(nodes[-1].output[0], FLOAT, None)], stored)


def either(path: Path) -> Path:
    """x [n, 8] times the outer w [8, 4] where its sum is positive, else times two weights of its own."""
    outer = branch("then", [helper.make_node("MatMul", ["x", "w"], ["t"], name="once")], {})
    own = branch(
        "else",
        [
            helper.make_node("MatMul", ["x", "u"], ["e1"], name="first"),
            helper.make_node("MatMul", ["e1", "v"], ["e2"], name="second"),
        ],
        {"u": np.ones((8, 100), np.float32), "v": np.ones((100, 4), np.float32)},
    )
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], name="either", then_branch=outer, else_branch=own),
    ]
    weights = {"w": np.ones((8, 4), np.float32), "zero": np.float32(0)}
    return saved(path, model_of(nodes, inputs={"x": ["n", 8]}, weights={k: np.asarray(v) for k, v in weights.items()}))


def test_an_if_costs_its_dearer_branch_and_holds_the_parameters_of_both(tmp_path: Path) -> None:
    cost = cost_from_onnx(either(tmp_path / "net.onnx"), batch=2)
    layer = next(layer for layer in cost.layers if layer.op == "If")
    assert (cost.macs, layer.macs) == (2 * (800 + 400), 2 * (800 + 400))
    assert layer.output_shape == (2, 4)
    assert layer.params == 32 + 800 + 400
    assert cost.weight_bytes == 4 * (32 + 800 + 400 + 1)


def loop(path: Path, *, turns: int | None, computed: bool = False) -> Path:
    """h = h @ w, a number of turns over."""
    condition = (
        helper.make_node("Less", ["turn", "limit"], ["on"])
        if computed
        else helper.make_node("Identity", ["going"], ["on"])
    )
    body = helper.make_graph(
        [helper.make_node("MatMul", ["h", "w"], ["next"], name="step"), condition],
        "body",
        [value("turn", TensorProto.INT64, []), value("going", TensorProto.BOOL, []), value("h", FLOAT, ["n", 8])],
        [value("on", TensorProto.BOOL, []), value("next", FLOAT, ["n", 8])],
        [numpy_helper.from_array(np.array(3, np.int64), "limit")] if computed else [],
    )
    weights: dict[str, np.ndarray] = {"w": np.ones((8, 8), np.float32)}
    before: list[onnx.NodeProto] = []
    if turns is None:
        before = [
            helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
            helper.make_node("Cast", ["sum"], ["turns"], to=TensorProto.INT64),
        ]
    else:
        weights["turns"] = np.array(turns, np.int64)
    weights["true"] = np.array(True)
    nodes = [*before, helper.make_node("Loop", ["turns", "true", "x"], ["y"], name="repeated", body=body)]
    return saved(path, model_of(nodes, inputs={"x": ["n", 8]}, weights=weights))


def test_a_loop_of_constant_length_costs_its_body_so_often(tmp_path: Path) -> None:
    cost = cost_from_onnx(loop(tmp_path / "net.onnx", turns=5), batch=3)
    assert cost.macs == 5 * 3 * 64
    assert cost.params == 64


@pytest.mark.parametrize(
    ("turns", "computed"), [(None, False), (5, True)], ids=["computed-count", "computed-condition"]
)
def test_a_loop_whose_length_depends_on_data_has_no_cost(tmp_path: Path, turns: int | None, computed: bool) -> None:
    with pytest.raises(ArtifactError, match="depends on data") as caught:
        cost_from_onnx(loop(tmp_path / "net.onnx", turns=turns, computed=computed))
    assert "repeated" in caught.value.values
    assert "--allow-unknown" in caught.value.remedy
    cost = cost_from_onnx(tmp_path / "net.onnx", allow_unknown=True)
    assert (cost.uncounted, cost.macs, cost.params) == (("repeated (Loop)",), 0, 64)
    assert cost.flops == (8 if turns is None else 0)  # the sum in front of it


def growing(path: Path) -> Path:
    """A Loop that appends a row to what it carries, and a product behind it that reads the input alone."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["on"]), helper.make_node("Concat", ["h", "x"], ["next"], axis=0)],
        "body",
        [value("turn", TensorProto.INT64, []), value("going", TensorProto.BOOL, []), value("h", FLOAT, [None, 8])],
        [value("on", TensorProto.BOOL, []), value("next", FLOAT, [None, 8])],
    )
    nodes = [
        helper.make_node("Loop", ["turns", "true", "x"], ["rows"], name="growing", body=body),
        helper.make_node("Shape", ["rows"], ["s"]),
        helper.make_node("MatMul", ["x", "w"], ["y"], name="product"),
    ]
    weights = {"turns": np.array(3, np.int64), "true": np.array(True), "w": np.ones((8, 4), np.float32)}
    return saved(path, model_of(nodes, inputs={"x": ["n", 8]}, weights=weights))


def selecting(path: Path) -> Path:
    """An If that selects positive numbers in one branch, beside a product."""
    chosen = [
        helper.make_node("NonZero", ["x"], ["places"], name="chosen"),
        helper.make_node("Cast", ["places"], ["numbers"], to=FLOAT),
        helper.make_node("ReduceSum", ["numbers"], ["t"], keepdims=0),
    ]
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node(
            "If",
            ["positive"],
            ["scale"],
            name="either",
            then_branch=branch("then", chosen, {}),
            else_branch=branch("else", [helper.make_node("Identity", ["one"], ["e"])], {"one": np.float32(1)}),
        ),
        helper.make_node("MatMul", ["x", "w"], ["h"], name="product"),
        helper.make_node("Mul", ["h", "scale"], ["y"]),
    ]
    weights = {"zero": np.asarray(np.float32(0)), "w": np.ones((8, 4), np.float32)}
    return saved(path, model_of(nodes, inputs={"x": ["n", 8]}, weights=weights))


@pytest.mark.parametrize(
    ("made", "name", "words"),
    [(growing, "growing (Loop)", "changes the shape"), (selecting, "either (If)", "depend on data since")],
)
def test_work_that_differs_inside_hides_that_node_alone(
    made: Callable[[Path], Path], name: str, words: str, tmp_path: Path
) -> None:
    graph = graph_from_file(made(tmp_path / "net.onnx"), batch=2, opened=True)
    with pytest.raises(ArtifactError, match=words):
        cost_from_graph(graph, model="net", sha256="")
    cost = cost_from_graph(graph, model="net", sha256="", allow_unknown=True)
    assert (cost.uncounted, cost.macs) == ((name,), 2 * 8 * 4)


def test_turns_that_follow_from_a_shape_are_counted(tmp_path: Path) -> None:
    proto = onnx.load(str(loop(tmp_path / "net.onnx", turns=None)))
    del proto.graph.node[:2]
    proto.graph.initializer.append(numpy_helper.from_array(np.array(1, np.int64), "one"))
    sizes = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Gather", ["s", "one"], ["turns"])]
    kept = [*sizes, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
    assert cost_from_onnx(saved(tmp_path / "shape.onnx", proto), batch=3).macs == 8 * 3 * 64


@pytest.mark.parametrize("axis", [0, 1])
def test_a_scan_costs_its_body_for_each_slice(axis: int, tmp_path: Path) -> None:
    """A recurrent cell by hand: h' = tanh(x_t @ w + h @ r), over 7 slices of (n, 5), h being (n, 8)."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["slice", "w"], ["a"]),
            helper.make_node("MatMul", ["h", "r"], ["b"]),
            helper.make_node("Add", ["a", "b"], ["c"]),
            helper.make_node("Tanh", ["c"], ["next"]),
            helper.make_node("Identity", ["next"], ["seen"]),
        ],
        "body",
        [value("h", FLOAT, ["n", 8]), value("slice", FLOAT, ["n", 5])],
        [value("next", FLOAT, ["n", 8]), value("seen", FLOAT, ["n", 8])],
    )
    weights = {"w": np.ones((5, 8), np.float32), "r": np.ones((8, 8), np.float32)}
    axes = {} if axis == 0 else {"scan_input_axes": [axis]}
    nodes = [helper.make_node("Scan", ["start", "x"], ["last", "y"], body=body, num_scan_inputs=1, **axes)]
    shape: list[int | str] = ["n", 5]
    shape.insert(axis, 7)
    path = saved(tmp_path / "net.onnx", model_of(nodes, inputs={"start": ["n", 8], "x": shape}, weights=weights))
    cost = cost_from_onnx(path, batch=3)
    assert cost.macs == 7 * 3 * (5 * 8 + 8 * 8)
    assert cost.params == 5 * 8 + 8 * 8
    assert cost.flops == 2 * cost.macs + 7 * 3 * 8 * 2


def gathering(path: Path, *, turns: int | None, ends: bool = False, grows: bool = False) -> Path:
    """A Loop that gathers what it carries, and a product behind it; ``turns`` None takes the length of x."""
    going = (
        [helper.make_node("Less", ["turn", "limit"], ["on"])]
        if ends
        else [helper.make_node("Identity", ["going"], ["on"])]
    )
    step = [helper.make_node("MatMul", ["h", "w"], ["next"], name="step"), helper.make_node("Tanh", ["next"], ["seen"])]
    if grows:
        step[1] = helper.make_node("Concat", ["h", "h"], ["seen"], axis=0)
    body = helper.make_graph(
        [*step, *going],
        "body",
        [value("turn", TensorProto.INT64, []), value("going", TensorProto.BOOL, []), value("h", FLOAT, ["n", 8])],
        [value("on", TensorProto.BOOL, []), value("next", FLOAT, ["n", 8]), value("seen", FLOAT, None)],
    )
    nodes = [
        helper.make_node("Loop", ["turns", "", "x"], ["last", "all"], name="gathering", body=body),
        helper.make_node("MatMul", ["all", "w"], ["y"], name="behind"),
    ]
    weights = {"w": np.ones((8, 8), np.float32), "limit": np.array(2, np.int64)}
    if turns is None:
        nodes[:0] = [
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Gather", ["shape", "first"], ["turns"]),
        ]
        weights["first"] = np.array(0, np.int64)
    else:
        weights["turns"] = np.array(turns, np.int64)
    return saved(path, model_of(nodes, inputs={"x": ["n", 8]}, weights=weights))


@pytest.mark.parametrize("turns", [5, None], ids=["constant", "of-a-shape"])
def test_what_a_loop_of_constant_length_gathers_has_a_size(turns: int | None, tmp_path: Path) -> None:
    graph = graph_from_file(gathering(tmp_path / "net.onnx", turns=turns), batch=3, opened=True)
    shapes = {tensor.name: tensor.shape for view in graph.nodes for tensor in view.outputs}
    assert (shapes["all"], shapes["y"]) == ((turns or 3, 3, 8), (turns or 3, 3, 8))
    cost = cost_from_graph(graph, model="net", sha256="", allow_unknown=True)
    assert (cost.uncounted, cost.unsized) == ((), ())
    assert cost.macs == 2 * (turns or 3) * 3 * 64, "in the body, and behind it"


def test_what_a_loop_gathers_of_other_sizes_is_what_its_body_makes(tmp_path: Path) -> None:
    graph = graph_from_file(gathering(tmp_path / "net.onnx", turns=4, grows=True), batch=3)
    assert graph.nodes[0].outputs[1].shape == (4, 6, 8)


def test_what_a_loop_gathers_until_a_condition_has_none(tmp_path: Path) -> None:
    graph = graph_from_file(gathering(tmp_path / "net.onnx", turns=5, ends=True), batch=3, opened=True)
    cost = cost_from_graph(graph, model="net", sha256="", allow_unknown=True)
    assert cost.uncounted == ("gathering (Loop)", "behind (MatMul)")
    assert cost.unsized == ("gathering (Loop)",)
