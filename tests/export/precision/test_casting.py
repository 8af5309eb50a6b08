"""The cast pass: types fit, names stay, numbers stay near, losses are told."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from branching import CAPTURED, branching, looping_alone
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from operators import OPERATORS, model_of_operator, sample

from benchbox.errors import ArtifactError
from benchbox.export.opsets import opset_of
from benchbox.export.precision.casting import KEPT_IN_BF16, KEPT_OPS, cast_from_float
from benchbox.schema.model import Precision

UNARY = ["Relu", "Sigmoid", "Tanh", "Neg", "Abs", "Identity"]
BINARY = ["Add", "Sub", "Mul", "MatMul"]
IMAGE_STEPS = [
    "Conv", "MaxPool", "AveragePool", "BatchNorm", "Join", "Add", "HardSwish", "Clip", "Resize", "Sigmoid"
]  # fmt: skip
TYPES = {Precision.FP16: TensorProto.FLOAT16, Precision.BF16: TensorProto.BFLOAT16}
ROUNDOFF = {Precision.FP16: 2.0**-11, Precision.BF16: 2.0**-8}
both = pytest.mark.parametrize("precision", TYPES)


def model_of(
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    output: str,
    *,
    shape: tuple[int | str, ...] = ("batch", 4),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@st.composite
def dense_models(draw: st.DrawFn) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Chains of small operators with shared weights, residual inputs, and some nodes kept in fp32."""
    values = ["input"]
    nodes: list[onnx.NodeProto] = []
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    weights = {f"w{index}": rng.normal(0, 0.4, (4, 4)).astype(np.float32) for index in range(2)}
    for index in range(draw(st.integers(1, 8))):
        op = draw(st.sampled_from(UNARY + BINARY))
        inputs = [draw(st.sampled_from(values))]
        if op == "MatMul":
            inputs.append(draw(st.sampled_from(sorted(weights))))
        elif op in BINARY:
            inputs.append(draw(st.sampled_from(values)))
        nodes.append(helper.make_node(op, inputs, [f"v{index}"], name=f"node{index}"))
        values.append(f"v{index}")
    kept = tuple(node.name for node in nodes if draw(st.booleans()) and draw(st.booleans()))
    return model_of(nodes, weights, values[-1]), kept


@st.composite
def image_models(draw: st.DrawFn) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Convolutions, poolings, batch norms, joins and operators that stay in fp32, in any order."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    weights = {
        "wide": rng.normal(0, 0.1, (4, 8, 3, 3)).astype(np.float32),
        "same": rng.normal(0, 0.15, (4, 4, 3, 3)).astype(np.float32),
        "ones": np.ones(4, np.float32),
        "zeros": np.zeros(4, np.float32),
        "six": np.array(6, np.float32),
        "none": np.array(0, np.float32),
        "unscaled": np.ones(4, np.float32),
    }
    window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    values, nodes = ["input"], []

    def add(op: str, inputs: list[str], name: str, **attributes: object) -> str:
        nodes.append(helper.make_node(op, inputs, [f"{name}.out"], name=name, **attributes))
        return f"{name}.out"

    for index in range(draw(st.integers(1, 7))):
        op = draw(st.sampled_from(IMAGE_STEPS))
        value, name = draw(st.sampled_from(values)), f"node{index}"
        if op == "Conv":
            made = add("Conv", [value, "same"], name, pads=[1, 1, 1, 1])
        elif op in {"MaxPool", "AveragePool"}:
            made = add(op, [value], name, **window)
        elif op == "BatchNorm":
            made = add("BatchNormalization", [value, "ones", "zeros", "zeros", "ones"], name)
        elif op == "Join":
            joined = add("Concat", [value, draw(st.sampled_from(values))], f"{name}.join", axis=1)
            made = add("Conv", [joined, "wide"], name, pads=[1, 1, 1, 1])
        elif op == "Add":
            made = add("Add", [value, draw(st.sampled_from(values))], name)
        elif op == "Clip":
            made = add("Clip", [value, "none", "six"], name)
        elif op == "Resize":
            made = add("Resize", [value, "", "unscaled"], name, mode="nearest")
        else:
            made = add(op, [value], name)
        values.append(made)
    kept = tuple(node.name for node in nodes if draw(st.integers(0, 3)) == 0)
    return model_of(nodes, weights, values[-1], shape=("batch", 4, 5, 5)), kept


def assert_sound(proto: onnx.ModelProto, kept: tuple[str, ...], precision: Precision, feed: np.ndarray) -> None:
    before = proto.SerializeToString()
    made, warnings = cast_from_float(proto, precision, exclude=kept)
    assert proto.SerializeToString() == before, "the original is not touched"
    assert not any("beyond" in warning for warning in warnings)
    onnx.checker.check_model(made, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(made, strict_mode=True, check_type=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    assert made.graph.input == proto.graph.input
    assert made.graph.output == proto.graph.output
    originals = {node.name: node for node in proto.graph.node}
    assert originals.keys() <= {node.name for node in made.graph.node}
    stays = KEPT_OPS | (KEPT_IN_BF16 if precision is Precision.BF16 else set())
    for node in made.graph.node:
        if node.name in originals:
            wide = node.name in kept or node.op_type in stays
            wanted = TensorProto.FLOAT if wide else TYPES[precision]
            assert all(types.get(value, wanted) == wanted for value in node.output)
    exact = ReferenceEvaluator(proto)
    steps = exact.run([value for node in proto.graph.node for value in node.output], {"input": feed})
    near = ReferenceEvaluator(made).run(None, {"input": feed})[0]
    assert near.dtype == np.float32
    # Sums and products of up to eight steps: errors grow with the largest value on the way.
    largest = max(1.0, *(float(np.abs(value).max()) for value in steps))
    assert np.abs(steps[-1] - near).max() <= 100 * ROUNDOFF[precision] * largest


@both
@given(case=dense_models())
def test_random_dense_graphs(precision: Precision, case: tuple[onnx.ModelProto, tuple[str, ...]]) -> None:
    assert_sound(*case, precision, np.random.default_rng(1).normal(0, 1, (3, 4)).astype(np.float32))


@both
@settings(max_examples=40)
@given(case=image_models())
def test_random_image_graphs(precision: Precision, case: tuple[onnx.ModelProto, tuple[str, ...]]) -> None:
    assert_sound(*case, precision, np.random.default_rng(1).normal(0, 1, (2, 4, 5, 5)).astype(np.float32))


@both
@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_against_the_reference(name: str, precision: Precision) -> None:
    proto = model_of_operator(name)
    made, warnings = cast_from_float(proto, precision)
    onnx.checker.check_model(made, full_check=True)
    assert not warnings
    assert opset_of(made) == (22 if precision is Precision.BF16 else 20)
    exact = ReferenceEvaluator(proto).run(["output"], sample())[0]
    near = ReferenceEvaluator(made).run(["output"], sample())[0]
    assert near.dtype == np.float32
    # One rounding of weights, one of the output; fp16 sums in the evaluator add some.
    assert np.abs(exact - near).max() <= 4 * ROUNDOFF[precision] * max(1.0, float(np.abs(exact).max()))


@pytest.mark.parametrize("name", ["Einsum", "TopK", "HardSwish", "Celu"])
def test_what_bf16_cannot_be_given_stays_in_fp32(name: str) -> None:
    made, _ = cast_from_float(model_of_operator(name), Precision.BF16)
    node = next(node for node in made.graph.node if node.name == "tested")
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in onnx.shape_inference.infer_shapes(made, strict_mode=True).graph.value_info
    }
    assert types[node.input[0]] == TensorProto.FLOAT
    assert types["middle"] == TensorProto.BFLOAT16


@both
def test_losses_of_weights_are_counted(precision: Precision) -> None:
    large, small, tiny = (1e6, 1e-6, 1e-9) if precision is Precision.FP16 else (3.4e38, 1e-39, 1e-45)
    weight = np.array([[large, tiny, small, 0.0], [1.0, -large, 2.0, 3.0]] * 2, dtype=np.float32)
    proto = model_of([helper.make_node("MatMul", ["input", "w"], ["out"], name="product")], {"w": weight}, "out")
    made, warnings = cast_from_float(proto, precision)
    stored = numpy_helper.to_array(made.graph.initializer[0])
    assert made.graph.initializer[0].data_type == TYPES[precision]
    assert np.isfinite(stored.astype(np.float64)).all()
    top = "65504" if precision is Precision.FP16 else "3.38953e+38"
    assert f"{float(stored.max()):.6g}" == top
    assert warnings == (
        f"4 of 16 weights are beyond {precision}'s range and were saturated to ±{top}",
        f"2 of 16 weights are too small for {precision} and became zero",
        f"2 of 16 weights became {precision} subnormals and lost digits",
    )


@both
def test_operators_that_need_fp32_stay_between_casts(precision: Precision) -> None:
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
    made, warnings = cast_from_float(proto, precision)
    onnx.checker.check_model(made, full_check=True)
    assert made.graph.initializer[0].data_type == TensorProto.FLOAT
    assert warnings == ()
    feed = {"image": np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)}
    assert np.array_equal(ReferenceEvaluator(made).run(None, feed)[0], ReferenceEvaluator(proto).run(None, feed)[0])


@both
def test_constants_and_casts_inside_the_graph_follow(precision: Precision) -> None:
    nodes = [
        helper.make_node("Constant", [], ["half"], name="constant", value_float=0.5),
        helper.make_node("Mul", ["input", "half"], ["scaled"], name="scale"),
        helper.make_node("Cast", ["scaled"], ["whole"], name="whole", to=TensorProto.INT64),
        helper.make_node("Cast", ["whole"], ["back"], name="back", to=TensorProto.FLOAT),
        helper.make_node("Shape", ["back"], ["size"], name="size"),
        helper.make_node("ConstantOfShape", ["size"], ["nought"], name="nought"),
        helper.make_node("Add", ["back", "nought"], ["out"], name="sum"),
    ]
    made, _ = cast_from_float(model_of(nodes, {}, "out"), precision)
    onnx.checker.check_model(made, full_check=True)
    feed = {"input": np.array([[2.0, 4.0, 5.0, -3.0]], np.float32)}
    assert ReferenceEvaluator(made).run(None, feed)[0].tolist() == [[1.0, 2.0, 2.0, -1.0]]


def test_what_neighbours_in_fp32_hand_on_does_not_overflow_between_them() -> None:
    nodes = [
        helper.make_node("Relu", ["input"], ["a"], name="first"),
        helper.make_node("Mul", ["a", "up"], ["b"], name="rise"),
        helper.make_node("Mul", ["b", "down"], ["c"], name="fall"),
        helper.make_node("Relu", ["c"], ["out"], name="last"),
    ]
    weights = {"up": np.array(1e6, np.float32), "down": np.array(1e-6, np.float32)}
    proto, feed = model_of(nodes, weights, "out"), {"input": np.array([[1.0, 2.0, 3.0, 4.0]], np.float32)}
    lost, warnings = cast_from_float(proto, Precision.FP16)
    assert len(warnings) == 2
    assert np.isinf(ReferenceEvaluator(lost).run(None, feed)[0]).any()
    made, warnings = cast_from_float(proto, Precision.FP16, exclude=["rise", "fall"])
    assert warnings == ()
    assert ReferenceEvaluator(made).run(None, feed)[0].tolist() == [[1.0, 2.0, 3.0, 4.0]]
    casts = [node.input[0] for node in made.graph.node if node.op_type == "Cast"]
    assert "b" not in casts


@both
def test_a_weight_that_is_an_output_too_keeps_its_type_there(precision: Precision) -> None:
    weights = {"w": np.random.default_rng(0).normal(0, 0.4, (4, 4)).astype(np.float32)}
    model = model_of([helper.make_node("MatMul", ["input", "w"], ["y"], name="product")], weights, "y")
    model.graph.output.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 4]))
    made, _ = cast_from_float(model, precision)
    onnx.checker.check_model(made, full_check=True)
    kinds = {tensor.name: tensor.data_type for tensor in made.graph.initializer}
    assert kinds == {"w": TensorProto.FLOAT, f"w.{precision}": TYPES[precision]}
    feed = {"input": np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)}
    y, w = ReferenceEvaluator(made).run(None, feed)
    assert np.array_equal(w, weights["w"])
    assert np.allclose(y, feed["input"] @ weights["w"], atol=0.05)


@both
def test_nodes_without_names_and_inputs_that_are_weights(precision: Precision) -> None:
    """As files from other exporters have them: opset 11, IR version 3."""
    weight = np.random.default_rng(0).normal(0, 1, (40, 40)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["input", "w"], ["a"]),
        helper.make_node("CumSum", ["a", "axis"], ["b"]),
        helper.make_node("CumSum", ["b", "axis"], ["out"]),
    ]
    proto = model_of(nodes, {"w": weight, "axis": np.array(1, np.int64)}, "out", shape=("batch", 40))
    proto.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, (40, 40)))
    proto.ir_version = 3
    proto.graph.input.append(helper.make_tensor_value_info("axis", TensorProto.INT64, ()))
    proto.opset_import[0].version = 11
    onnx.checker.check_model(proto)
    made, _ = cast_from_float(proto, precision)
    onnx.checker.check_model(made, full_check=True)
    assert [value.name for value in made.graph.input] == ["input"]
    feed = {"input": np.random.default_rng(1).normal(0, 1, (2, 40)).astype(np.float32)}
    exact, near = (ReferenceEvaluator(model).run(None, feed)[0] for model in (proto, made))
    assert np.abs(exact - near).max() <= 8 * ROUNDOFF[precision] * np.abs(exact).max()


@both
def test_an_operator_of_another_domain_is_believed_to_take_the_format(precision: Precision) -> None:
    nodes = [
        helper.make_node("Gelu", ["input"], ["a"], name="gelu", domain="com.microsoft"),
        helper.make_node("Relu", ["a"], ["out"], name="relu"),
    ]
    proto = model_of(nodes, {}, "out")
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    made, _ = cast_from_float(proto, precision)
    assert [node.op_type for node in made.graph.node] == ["Cast", "Gelu", "Relu", "Cast"]
    assert made.graph.node[0].attribute[0].i == TYPES[precision]


@both
@pytest.mark.parametrize("opset", [13, 20])
def test_what_is_outside_of_branches_and_loops_is_cast(precision: Precision, opset: int) -> None:
    """What they read from outside is fp32 under its own name: their bodies are as they were."""
    proto = branching(opset)
    made, warnings = cast_from_float(proto, precision)
    assert "what is inside of branches and loops stays in fp32: branch (If), loop (Loop)" in warnings
    onnx.checker.check_model(made, full_check=True)
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in onnx.shape_inference.infer_shapes(made).graph.value_info
    }
    types |= {weight.name: weight.data_type for weight in made.graph.initializer}
    by_name = {node.name: node for node in made.graph.node}
    for name in ("conv1", "conv2", "product", "head", "relu", "length"):
        assert {types[value] for value in by_name[name].input[:2]} == {TYPES[precision]}, name
    assert {types[value] for value in CAPTURED} == {TensorProto.FLOAT}
    for name, word in (("branch", "else_branch"), ("loop", "body")):
        assert body_nodes(by_name[name], word) == body_nodes({n.name: n for n in proto.graph.node}[name], word)


def body_nodes(node: onnx.NodeProto, word: str) -> list[tuple[str, list[str], list[str]]]:
    (body,) = [entry.g for entry in node.attribute if entry.name == word]
    return [(inner.op_type, list(inner.input), list(inner.output)) for inner in body.node]


@both
def test_sequences_that_a_branch_reads_stay_in_fp32(precision: Precision) -> None:
    node = helper.make_node
    branches = [
        helper.make_graph(
            [node("SequenceAt", ["both", place], [f"{name}_out"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, ["batch", 4])],
        )
        for name, place in (("then", "zero"), ("else", "one"))
    ]
    nodes = [
        node("MatMul", ["input", "w"], ["a"], name="product"),
        node("Relu", ["a"], ["b"], name="relu"),
        node("SequenceConstruct", ["a", "b"], ["both"], name="both"),
        node("If", ["yes"], ["chosen"], name="branch", then_branch=branches[0], else_branch=branches[1]),
        node("MatMul", ["chosen", "w"], ["out"], name="last"),
    ]
    weights = {"w": np.eye(4, dtype=np.float32), "yes": np.array(True)}
    weights |= {"zero": np.array(0, np.int64), "one": np.array(1, np.int64)}
    made, _ = cast_from_float(model_of(nodes, weights, "out"), precision)
    onnx.checker.check_model(made, full_check=True)
    feed = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert np.array_equal(ReferenceEvaluator(made).run(None, {"input": feed})[0], feed)


@both
def test_a_network_that_computes_in_a_loop_alone_is_refused_by_name(precision: Precision) -> None:
    with pytest.raises(ArtifactError, match=rf"cast to {precision}\n.*MatMul inner of node loop \(Loop\)"):
        cast_from_float(looping_alone(), precision)
