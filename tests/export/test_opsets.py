"""Newer opsets: names, metadata and meaning stay."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from benchbox.errors import ArtifactError
from benchbox.export.foreign import graph_from_file
from benchbox.export.opsets import opset_of, structure_at_opset, structure_of
from benchbox.export.precision.casting import cast_from_float
from benchbox.graph.border import Sizes
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import Precision


def test_a_structure_has_no_weights(resnet: OnnxArtifact, export_root: Path) -> None:
    proto = onnx.load(str(export_root / resnet.path))
    before = proto.SerializeToString()
    light = structure_of(proto)
    assert light.ByteSize() < 0.01 * proto.ByteSize()
    assert list(light.graph.node) == list(proto.graph.node)
    assert light.metadata_props == proto.metadata_props
    assert proto.SerializeToString() == before


def test_names_and_metadata_stay(resnet: OnnxArtifact, export_root: Path) -> None:
    proto = onnx.load(str(export_root / resnet.path))
    raised = structure_at_opset(proto, 22)
    assert (opset_of(proto), opset_of(raised)) == (20, 22)
    assert [(node.name, list(node.metadata_props)) for node in raised.graph.node] == [
        (node.name, list(node.metadata_props)) for node in proto.graph.node
    ]
    assert all(node.metadata_props for node in raised.graph.node)


def test_a_cast_graph_keeps_costs_and_border(resnet: OnnxArtifact, export_root: Path) -> None:
    proto = onnx.load(str(export_root / resnet.path))
    made, _ = cast_from_float(proto, Precision.BF16)
    there = {node.name: node for node in made.graph.node}
    for node in proto.graph.node:
        assert there[node.name].metadata_props == node.metadata_props
    assert made.graph.input == proto.graph.input
    assert made.graph.output == proto.graph.output
    kinds = {tensor.data_type for tensor in made.graph.initializer}
    assert kinds <= {TensorProto.BFLOAT16, TensorProto.INT64}


def one_node(node: onnx.NodeProto, opset: int, claimed: list[int], **weights: np.ndarray) -> onnx.ModelProto:
    """x [1, 4, 5, 5] -> y; weights are inputs too, as they had to be before IR version 4."""
    kept = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    given = [helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in kept]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 5, 5])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, claimed)
    graph = helper.make_graph([node], "net", [x, *given], [y], kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3 if opset < 9 else 8)


def test_files_whose_weights_are_inputs_are_raised() -> None:
    """What the converter makes of an attribute is a weight that is no input."""
    proto = one_node(helper.make_node("Slice", ["x"], ["y"], starts=[1], ends=[3], axes=[2]), 7, [1, 4, 2, 5])
    raised = structure_at_opset(proto, 22)
    x = np.random.default_rng(0).standard_normal((1, 4, 5, 5)).astype(np.float32)
    (made,) = ReferenceEvaluator(raised).run(None, {"x": x})
    assert np.array_equal(made, x[:, :, 1:3])


def test_what_a_file_claims_wrongly_stays_and_does_no_harm() -> None:
    raised = structure_at_opset(one_node(helper.make_node("Relu", ["x"], ["y"]), 17, [1, 4, 5, 99]), 22)
    assert opset_of(raised) == 22
    assert raised.graph.output[0].type.tensor_type.shape.dim[3].dim_value == 99


def test_an_operator_that_means_something_else_later_is_named() -> None:
    node = helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], name="norm", num_groups=2)
    proto = one_node(node, 18, [1, 4, 5, 5], s=np.ones(2, np.float32), b=np.zeros(2, np.float32))
    with pytest.raises(ArtifactError) as caught:
        structure_at_opset(proto, 22)
    assert "node norm (GroupNormalization)" in caught.value.values


def test_an_output_may_leave_its_shape_open() -> None:
    node = helper.make_node("MeanVarianceNormalization", ["x"], ["y"])
    proto = one_node(node, 13, [1, 4, 5, 5])
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    raised = structure_at_opset(proto, 22)
    assert opset_of(raised) == 22
    assert not raised.graph.output[0].type.tensor_type.HasField("shape")


def test_an_operator_that_onnx_does_not_have_is_named() -> None:
    """ONNX Runtime's optimiser writes it as if it were one of ONNX's own."""
    node = helper.make_node("SimplifiedLayerNormalization", ["x", "s"], ["y"], name="norm")
    with pytest.raises(ArtifactError, match="from opset 17 to opset 22") as caught:
        structure_at_opset(one_node(node, 17, [1, 4, 5, 5], s=np.ones(5, np.float32)), 22)
    assert "node norm (SimplifiedLayerNormalization)" in caught.value.values


def old_model() -> onnx.ModelProto:
    """Opset 9: axes are attributes, Upsample has scales, Dropout a ratio, Clip its limits."""
    nodes = [
        helper.make_node("Unsqueeze", ["input"], ["a"], name="unsqueeze", axes=[1]),
        helper.make_node("Clip", ["a"], ["b"], name="clip", min=-1.0, max=1.0),
        helper.make_node("Upsample", ["b", "scales"], ["c"], name="upsample", mode="nearest"),
        helper.make_node("ReduceSum", ["c"], ["d"], name="sum", axes=[1], keepdims=0),
        helper.make_node("Dropout", ["d"], ["output"], name="dropout", ratio=0.4),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 2, 3])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 2, 3])],
        [numpy_helper.from_array(np.ones(4, np.float32), "scales")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=4)


def test_an_old_graph_means_the_same() -> None:
    proto = old_model()
    raised = structure_at_opset(proto, 22)
    feed = {"input": np.random.default_rng(0).normal(0, 2, (1, 2, 3)).astype(np.float32)}
    expected = np.clip(feed["input"], -1, 1)
    assert np.array_equal(ReferenceEvaluator(raised).run(None, feed)[0], expected)
    made, _ = cast_from_float(proto, Precision.BF16)
    onnx.checker.check_model(made, full_check=True)
    assert np.abs(ReferenceEvaluator(made).run(None, feed)[0] - expected).max() <= 2**-8


def test_what_cannot_be_raised_is_told() -> None:
    proto = old_model()
    proto.graph.node[1].op_type = "Clap"
    with pytest.raises(ArtifactError, match="from opset 9 to opset 22"):
        structure_at_opset(proto, 22)


def test_a_file_of_a_later_form_has_a_remedy_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its remedy is the command that writes it anew."""
    node = helper.make_node("Relu", ["x"], ["y"])
    border = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3]) for name in "xy"]
    graph = helper.make_graph([node], "net", border[:1], border[1:])
    path = tmp_path / "a $later net's.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=99), str(path))
    with pytest.raises(ArtifactError, match="newer form of ONNX") as caught:
        graph_from_file(path, sizes=Sizes())
    assert "ir_version is 99" in caught.value.values
    monkeypatch.chdir(tmp_path)
    (code,) = shlex.split(caught.value.remedy.partition("python -c ")[2])  # as the user's shell does
    exec(code)
    assert graph_from_file(tmp_path / "net.onnx", sizes=Sizes()).opset == 17
