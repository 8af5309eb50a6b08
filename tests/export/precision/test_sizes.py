"""Does arithmetic on sizes stay what it is in every precision, and can its network be bisected without node names?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from benchbox.export.exporting import artifact_from_source
from benchbox.export.precision.bisection import BisectionRequest, bisection_from_request
from benchbox.export.precision.casting import cast_from_float
from benchbox.graph.propagation import size_arithmetic
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.derivation import USUAL
from benchbox.schema.model import ModelSource, Precision
from benchbox.stats.agreement import Tolerance

SIDE, SHARE, SMALLER = 100, 0.55, 55  # floor(100 · 0.55); with 0.55 in fp16 it is 54


def _network(user: str) -> onnx.ModelProto:
    """A convolution, then an operator whose size is 0.55 times that of its input; no node has a name."""
    weight = (np.random.default_rng(0).standard_normal((4, 3, 3, 3)) * 0.2).astype(np.float32)
    constants = {
        "w": weight,
        "share": np.array(SHARE, np.float32),
        "nothing": np.array([], np.float32),
        **{name: np.array([number], np.int64) for name, number in (("0", 0), ("2", 2), ("3", 3), ("4", 4))},
        "first": np.array(0, np.int64),
        "step": np.array(1, np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("Shape", ["c"], ["shape"]),
        node("Slice", ["shape", "2", "4", "0"], ["sides"]),
        node("Cast", ["sides"], ["float"], to=TensorProto.FLOAT),
        node("Mul", ["float", "share"], ["scaled"]),
        node("Floor", ["scaled"], ["floor"]),
        node("Cast", ["floor"], ["whole"], to=TensorProto.INT64),
        *{
            "Resize": [
                node("Slice", ["shape", "0", "2", "0"], ["outer"]),
                node("Concat", ["outer", "whole"], ["size"], axis=0),
                node("Resize", ["c", "nothing", "nothing", "size"], ["y"], mode="nearest"),
            ],
            "Slice": [node("Slice", ["c", "0", "whole", "axes"], ["y"])],
            "Range": [
                node("Gather", ["whole", "first"], ["length"]),
                node("Range", ["first", "length", "step"], ["rows"]),
                node("Gather", ["c", "rows"], ["y"], axis=2),
            ],
        }[user],
    ]
    if user == "Slice":
        constants |= {"axes": np.array([2, 3], np.int64), "0": np.array([0, 0], np.int64)}
        nodes[2] = node("Slice", ["shape", "2", "4", "one"], ["sides"])
        constants["one"] = np.array([0], np.int64)
    graph = helper.make_graph(
        nodes,
        "sizes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, "h", "w"])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _source(folder: Path, user: str) -> ModelSource:
    path = folder / "net.onnx"
    onnx.save(_network(user), str(path))
    return resolve(str(path), input_shape=None, weights=None)


def _derived(folder: Path, user: str, precision: Precision) -> OnnxArtifact:
    return artifact_from_source(_source(folder, user), precision=precision, root=folder)


@pytest.mark.parametrize("user", ["Resize", "Slice", "Range"])
@pytest.mark.parametrize(
    "precision", [Precision.FP16, pytest.param(Precision.BF16, marks=pytest.mark.nightly), Precision.INT8]
)
def test_sizes_are_the_same_in_every_precision(tmp_path: Path, user: str, precision: Precision) -> None:
    artifact = _derived(tmp_path, user, precision)
    assert artifact.hops[-1].passed
    assert artifact.outputs[0].shape[2] == SMALLER
    if precision is not Precision.BF16:  # which this runtime has no kernels for
        session = onnxruntime.InferenceSession(str(tmp_path / artifact.path), providers=["CPUExecutionProvider"])
        made = session.run(None, {"x": np.ones((1, 3, SIDE, SIDE), np.float32)})[0]
        assert made.shape[2] == SMALLER


def test_only_what_leads_to_a_size_is_kept() -> None:
    graph = _network("Resize").graph
    kept = {graph.node[index].output[0] for index in size_arithmetic(graph, {t.name for t in graph.initializer})}
    assert {"float", "scaled", "floor", "whole"} <= kept
    assert not kept & {"c", "y", "shape"}


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16])
def test_rows_that_are_fed_as_floating_point_numbers_stay_exact(tmp_path: Path, precision: Precision) -> None:
    """5,999 is 6,000 in fp16."""
    nodes = [
        helper.make_node("Add", ["x", "one"], ["moved"]),
        helper.make_node("Cast", ["moved"], ["rows"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "rows"], ["y"]),
    ]
    table = np.random.default_rng(0).standard_normal((6001, 4)).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3, 4])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.float32(1)[None][0], "one")],
    )
    path = tmp_path / "rows.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    source = resolve(str(path), input_shape=None, weights=None)
    artifact = artifact_from_source(source, precision=precision, root=tmp_path)
    assert artifact.inputs[0].values is not None
    assert artifact.inputs[0].values.high == 6000
    assert all(hop.passed for hop in artifact.hops)


def _rotated(fed: bool) -> onnx.ModelProto:
    """A rotary embedding as exporters write it: frequencies times positions, fed or counted from the length."""
    node = helper.make_node
    begin = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "one"], ["length"]),
        node("Range", ["zero", "length", "one"], ["places"]),
        node("Unsqueeze", ["places", "first"], ["positions"]),
    ]
    nodes = [
        *([] if fed else begin),
        node("Cast", ["positions"], ["float"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["float", "first"], ["row"]),
        node("MatMul", ["frequencies", "row"], ["by_place"]),
        node("Transpose", ["by_place"], ["angles"], perm=[0, 2, 1]),
        node("Cos", ["angles"], ["cosines"]),
        node("MatMul", ["x", "w"], ["h"]),
        node("Mul", ["h", "cosines"], ["y"]),
    ]
    constants = {
        "frequencies": (10.0 ** -np.linspace(0, 4, 8)).astype(np.float32).reshape(1, 8, 1),
        "w": np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32),
        "one": np.array(1),
        "zero": np.array(0),
        "first": np.array([0]),
    }
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3000, 8])]
    inputs += [helper.make_tensor_value_info("positions", TensorProto.INT64, [1, 3000])] if fed else []
    if fed:
        nodes[1] = node("Unsqueeze", ["float", "one"], ["row"])
        constants["one"] = np.array([1])
    graph = helper.make_graph(
        nodes,
        "rotary",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3000, 8])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("fed", [True, False])
@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16])
def test_the_angles_of_positions_stay_exact(precision: Precision, fed: bool) -> None:
    """The cosine of 2,999 is not that of 3,000, which it is in fp16."""
    model = _rotated(fed)
    made, _ = cast_from_float(model, precision)
    feeds = {"x": np.ones((1, 3000, 8), np.float32), "positions": np.arange(3000)[None]}
    feeds = {value.name: feeds[value.name] for value in model.graph.input}
    (exact,), (rounded,) = (ReferenceEvaluator(each).run(None, feeds) for each in (model, made))
    assert np.linalg.norm(rounded - exact) < 0.01 * np.linalg.norm(exact)
    assert {node.op_type for node in made.graph.node} >= {"Cos", "MatMul"}


def test_files_of_an_older_opset_are_raised_to_the_one_that_pairs_need(tmp_path: Path) -> None:
    artifact = _derived(tmp_path, "Slice", Precision.INT8)
    assert artifact.opset >= 19
    assert artifact.quantization is not None
    assert artifact.quantization.quantized == 1


@pytest.mark.parametrize("user", ["Resize", "Range"])
def test_layers_without_a_name_and_behind_computed_sizes_are_bisected(tmp_path: Path, user: str) -> None:
    source = _source(tmp_path, user)
    request = BisectionRequest(
        original=artifact_from_source(source, precision=Precision.FP32, root=tmp_path),
        source=source,
        precision=Precision.FP16,
        derivation=USUAL,
        tolerance=Tolerance(rel_l2_error=3e-5, cosine=0.99),
        root=tmp_path,
    )
    found = bisection_from_request(request)
    assert not found.before.passed
    assert found.restored.passed
    assert "Conv_0" in found.exclude
    assert {layer.node.partition("_")[0] for layer in found.layers} >= {"Conv", {"Range": "Gather"}.get(user, user)}


def test_what_a_branch_reads_from_outside_may_be_a_size() -> None:
    """And an If whose condition follows from a shape makes data, where a branch of it reads some."""
    node, kind = helper.make_node, TensorProto.FLOAT
    branches = [
        helper.make_graph(
            [node("Mul", ["x", "scaled"], [name])], name, [], [helper.make_tensor_value_info(name, kind, None)]
        )
        for name in ("then", "else")
    ]
    nodes = [
        node("Size", ["x"], ["size"]),
        node("Cast", ["size"], ["float"], to=kind),
        node("Mul", ["float", "share"], ["scaled"]),
        node("Greater", ["size", "limit"], ["large"]),
        node("If", ["large"], ["data"], then_branch=branches[0], else_branch=branches[1]),
        node("Mul", ["data", "share"], ["y"]),
        node("Cast", ["y"], ["whole"], to=TensorProto.INT64),
    ]
    border = (
        [helper.make_tensor_value_info("x", kind, [2])],
        [helper.make_tensor_value_info("whole", TensorProto.INT64, None)],
    )
    graph = helper.make_graph(nodes, "net", *border)
    assert size_arithmetic(graph, {"share", "limit"}) == {1, 2}
