"""What a file from elsewhere is in: by what it computes in, never fp32 by default where it is something else."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.export.precision.casting import cast_from_float
from benchbox.export.precision.contents import contents_of
from benchbox.export.precision.quantization import observed_tensors, quantized_from_float
from benchbox.schema.model import Precision

KINDS = {
    Precision.FP32: TensorProto.FLOAT,
    Precision.FP16: TensorProto.FLOAT16,
    Precision.BF16: TensorProto.BFLOAT16,
}
TYPES = {Precision.FP32: np.float32, Precision.FP16: np.float16, Precision.BF16: ml_dtypes.bfloat16}


def model(
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    *,
    kind: int = TensorProto.FLOAT,
    opset: int = 22,
    domain: str = "",
) -> onnx.ModelProto:
    border = [helper.make_tensor_value_info(name, kind, ["batch", 4]) for name in ("x", "y")]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "net", border[:1], border[1:], constants)
    imports = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def product(x: str = "x", w: str = "w", y: str = "y", name: str = "product") -> onnx.NodeProto:
    return helper.make_node("MatMul", [x, w], [y], name=name)


def weight(precision: Precision = Precision.FP32) -> np.ndarray:
    return np.eye(4).astype(TYPES[precision])


@pytest.mark.parametrize("precision", KINDS)
def test_types_at_the_border_and_within(precision: Precision) -> None:
    made = contents_of(model([product()], {"w": weight(precision)}, kind=KINDS[precision]))
    assert (made.precision, made.rest, made.warnings) == (precision, precision, ())


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16])
def test_weights_in_constant_nodes_count(precision: Precision) -> None:
    constant = helper.make_node("Constant", [], ["w"], name="c", value=numpy_helper.from_array(weight(precision)))
    assert contents_of(model([constant, product()], {}, kind=KINDS[precision])).precision is precision


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16])
def test_fp32_weights_behind_casts_are_not_fp32(precision: Precision) -> None:
    """What an automatic mixed precision export writes."""
    nodes = [
        helper.make_node("Cast", ["x"], ["xs"], name="a", to=KINDS[precision]),
        helper.make_node("Cast", ["w"], ["ws"], name="b", to=KINDS[precision]),
        product("xs", "ws", "ys"),
        helper.make_node("Cast", ["ys"], ["y"], name="c", to=TensorProto.FLOAT),
    ]
    assert contents_of(model(nodes, {"w": weight()})).precision is precision


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16])
def test_what_our_own_passes_write_is_recognised(precision: Precision) -> None:
    proto = model([product()], {"w": weight()})
    assert contents_of(cast_from_float(proto, precision)[0]).precision is precision
    for eight_bit in (Precision.INT8, Precision.FP8):
        ranges = dict.fromkeys(observed_tensors(proto, precision=eight_bit), 1.0)
        made = quantized_from_float(proto, ranges, precision=eight_bit, scale_type=np.float16).proto
        assert contents_of(made).rest is Precision.FP32
        mixed = contents_of(cast_from_float(made, precision)[0])
        assert (mixed.precision, mixed.rest) == (eight_bit, precision)


def test_a_mixed_graph_is_told() -> None:
    nodes = [product("x", "w", "a", "one"), product("a", "w", "b", "two"), product("b", "w", "y", "three")]
    proto, _ = cast_from_float(model(nodes, {"w": weight()}), Precision.FP16, exclude=["two"])
    made = contents_of(proto)
    assert made.precision is Precision.FP16
    assert "2 in fp16, 1 in fp32" in made.warnings[0]


def test_dynamic_quantisation_is_int8() -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], name="q"),
        helper.make_node("MatMulInteger", ["q", "w", "z"], ["i"], name="i"),
        helper.make_node("Cast", ["i"], ["f"], name="f", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "s"], ["y"], name="m"),
    ]
    assert contents_of(model(nodes, {"w": np.eye(4, dtype=np.int8)})).precision is Precision.INT8
    own = helper.make_node("QGemm", ["x", "w"], ["y"], name="g", domain="com.microsoft")
    assert contents_of(model([own], {"w": weight()}, domain="com.microsoft")).precision is Precision.INT8


def test_a_graph_without_products_is_in_the_type_of_its_values() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"], name="r")]
    assert contents_of(model(nodes, {}, kind=TensorProto.FLOAT16)).precision is Precision.FP16
    assert contents_of(model(nodes, {})).precision is Precision.FP32


def quantised_to(kind: int) -> onnx.ModelProto:
    packed = helper.make_tensor("w", kind, [4, 4], vals=[1] * 16)
    nodes = [helper.make_node("DequantizeLinear", ["w", "s"], ["f"], name="dq"), product("x", "f")]
    proto = model(nodes, {"s": np.array(1, np.float32)})
    proto.graph.initializer.append(packed)
    return proto


def test_a_file_may_be_in_fp64() -> None:
    found = contents_of(model([product()], {"w": np.eye(4)}, kind=TensorProto.DOUBLE))
    assert (found.precision, found.warnings) == (Precision.FP64, ())


@pytest.mark.parametrize("kind", ["INT4", "UINT4", "INT8", "INT16", "FLOAT8E4M3FN"])
def test_weights_alone_that_are_stored_in_few_bits_compute_in_what_is_made_of_them(kind: str) -> None:
    found = contents_of(quantised_to(getattr(TensorProto, kind)))
    assert (found.precision, found.rest) == (Precision.FP32, Precision.FP32)
    assert f"weights are stored in {kind.lower()} (1)" in found.warnings[0]


def test_activations_in_16_bits_are_computed_in_fp32() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["f"]),
        product("f"),
    ]
    zero = {"s": np.array(1, np.float32), "z": np.array(0, np.int16), "w": weight()}
    found = contents_of(model(nodes, zero))
    assert found.precision is Precision.FP32
    assert "activations are stored in int16" in found.warnings[0]


def test_what_is_inside_functions_and_bodies_counts() -> None:
    inner = [
        helper.make_node("DynamicQuantizeLinear", ["a"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "b", "z"], ["i"]),
        helper.make_node("Cast", ["i"], ["c"], to=TensorProto.FLOAT),
    ]
    imports = [helper.make_opsetid("", 22), helper.make_opsetid("mine", 1)]
    proto = model([helper.make_node("Quick", ["x", "w"], ["y"], domain="mine")], {"w": np.eye(4, dtype=np.int8)})
    proto.functions.append(helper.make_function("mine", "Quick", ["a", "b"], ["c"], inner, imports[:1]))
    proto.opset_import.append(imports[1])
    assert contents_of(proto).precision is Precision.INT8
    for node in inner:
        node.input[0] = "x" if node.input[0] == "a" else node.input[0]
    inner[1].input[1] = "w"
    branch = helper.make_graph(inner, "branch", [], [helper.make_tensor_value_info("c", 1, ["batch", 4])])
    choice = helper.make_node("If", ["on"], ["y"], then_branch=branch, else_branch=branch)
    proto = model([choice], {"w": np.eye(4, dtype=np.int8), "on": np.array(True)})
    assert contents_of(proto).precision is Precision.INT8


def test_weights_of_four_bits_leave_the_precision_to_the_other_input() -> None:
    product = helper.make_node("MatMulNBits", ["x", "w"], ["y"], name="n", domain="com.microsoft")
    assert contents_of(model([product], {"w": weight()}, domain="com.microsoft")).precision is Precision.FP32
