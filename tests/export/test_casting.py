"""The cast pass: types fit, names stay, numbers stay near, losses are told."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from benchbox.errors import ArtifactError
from benchbox.export.casting import half_from_float

UNARY = ["Relu", "Sigmoid", "Tanh", "Neg", "Abs", "Identity"]
BINARY = ["Add", "Sub", "Mul", "MatMul"]


def model_of(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], output: str) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@st.composite
def random_models(draw: st.DrawFn) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Chains of small operators with shared weights, residual inputs, and some nodes kept in fp32."""
    values = ["input"]
    nodes: list[onnx.NodeProto] = []
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    weights = {f"w{index}": rng.normal(0, 0.4, (4, 4)).astype(np.float32) for index in range(2)}
    for index in range(draw(st.integers(1, 8))):
        op = draw(st.sampled_from(UNARY + BINARY))
        source = draw(st.sampled_from(values))
        inputs = [source]
        if op == "MatMul":
            inputs.append(draw(st.sampled_from(sorted(weights))))
        elif op in BINARY:
            inputs.append(draw(st.sampled_from(values)))
        nodes.append(helper.make_node(op, inputs, [f"v{index}"], name=f"node{index}"))
        values.append(f"v{index}")
    kept = tuple(node.name for node in nodes if draw(st.booleans()) and draw(st.booleans()))
    return model_of(nodes, weights, values[-1]), kept


@settings(max_examples=60, deadline=None)
@given(random_models())
def test_random_graphs_stay_valid_and_near(case: tuple[onnx.ModelProto, tuple[str, ...]]) -> None:
    proto, kept = case
    before = proto.SerializeToString()
    half, _ = half_from_float(proto, exclude=kept)
    assert proto.SerializeToString() == before, "the original is not touched"
    onnx.checker.check_model(half, full_check=True)
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in onnx.shape_inference.infer_shapes(half, strict_mode=True, check_type=True).graph.value_info
    }
    originals = {node.name for node in proto.graph.node}
    assert originals <= {node.name for node in half.graph.node}
    for node in half.graph.node:
        if node.name in originals:
            wanted = TensorProto.FLOAT if node.name in kept else TensorProto.FLOAT16
            assert all(types.get(value, wanted) == wanted for value in node.output)
    feed = {"input": np.random.default_rng(1).normal(0, 1, (3, 4)).astype(np.float32)}
    exact = ReferenceEvaluator(proto).run(None, feed)[0]
    near = ReferenceEvaluator(half).run(None, feed)[0]
    assert near.dtype == np.float32
    # Sums and products of up to eight steps: errors grow with the largest value on the way.
    largest = max(
        np.abs(value).max()
        for value in ReferenceEvaluator(proto).run([v for node in proto.graph.node for v in node.output], feed)
    )
    assert np.abs(exact - near).max() <= 0.05 * max(1.0, largest)


def test_losses_of_weights_are_counted() -> None:
    weight = np.array([[1e6, 1e-9, 1e-6, 0.0], [1.0, -1e6, 2.0, 3.0]] * 2, dtype=np.float32)
    proto = model_of([helper.make_node("MatMul", ["input", "w"], ["out"], name="product")], {"w": weight}, "out")
    half, warnings = half_from_float(proto)
    stored = numpy_helper.to_array(half.graph.initializer[0])
    assert stored.dtype == np.float16
    assert np.isfinite(stored).all()
    assert stored.max() == 65504
    assert warnings == (
        "4 of 16 weights are beyond fp16's range and were saturated to ±65504",
        "2 of 16 weights are too small for fp16 and became zero",
        "2 of 16 weights became fp16 subnormals and lost digits",
    )


def test_operators_that_need_fp32_stay_between_casts() -> None:
    nodes = [
        helper.make_node("Resize", ["image", "", "scales"], ["big"], name="resize", mode="nearest"),
        helper.make_node("Relu", ["big"], ["out"], name="relu"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 2, 2])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 1, 4, 4])],
        [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    half, warnings = half_from_float(proto)
    onnx.checker.check_model(half, full_check=True)
    assert half.graph.initializer[0].data_type == TensorProto.FLOAT
    assert warnings == ()
    feed = {"image": np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)}
    assert np.array_equal(ReferenceEvaluator(half).run(None, feed)[0], ReferenceEvaluator(proto).run(None, feed)[0])


def test_constants_and_casts_inside_the_graph_follow() -> None:
    nodes = [
        helper.make_node("Constant", [], ["half"], name="constant", value_float=0.5),
        helper.make_node("Mul", ["input", "half"], ["scaled"], name="scale"),
        helper.make_node("Cast", ["scaled"], ["whole"], name="whole", to=TensorProto.INT64),
        helper.make_node("Cast", ["whole"], ["out"], name="back", to=TensorProto.FLOAT),
    ]
    half, _ = half_from_float(model_of(nodes, {}, "out"))
    onnx.checker.check_model(half, full_check=True)
    feed = {"input": np.array([[2.0, 4.0, 5.0, -3.0]], np.float32)}
    assert ReferenceEvaluator(half).run(None, feed)[0].tolist() == [[1.0, 2.0, 2.0, -1.0]]


def test_control_flow_is_refused_by_name() -> None:
    body = helper.make_graph([], "body", [], [])
    proto = model_of(
        [helper.make_node("If", ["input"], ["out"], name="branch", then_branch=body, else_branch=body)], {}, "out"
    )
    with pytest.raises(ArtifactError, match=r"branch \(If\)"):
        half_from_float(proto)
