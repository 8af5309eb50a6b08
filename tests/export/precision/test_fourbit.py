"""Weights of four bits: which can be stored so, turned round first, counted without data, made by ModelOpt alone."""

from __future__ import annotations

import copy
import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from benchbox.errors import ArtifactError, UsageError
from benchbox.export.exporting import artifact_from_source
from benchbox.export.precision.fourbit import PRODUCTS, four_bit_structure, require_converter, storable, with_rows_first
from benchbox.export.precision.weightless import structure_in_precision
from benchbox.graph.border import Sizes
from benchbox.graph.graph import graph_from_proto
from benchbox.models.sources import resolve
from benchbox.schema.derivation import USUAL, CalibrationMethod, Converter, Derivation
from benchbox.schema.model import Precision


def present() -> bool:
    try:
        importlib.metadata.version("nvidia-modelopt")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


needed = pytest.mark.skipif(not present(), reason="runs where NVIDIA ModelOpt is installed (extra modelopt)")


def network(*, rows: int = 64, hidden: int = 96) -> onnx.ModelProto:
    """A product, a Gemm with transposed weights, a product of two activations, and a small head."""
    seeded = np.random.default_rng(1)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array((seeded.standard_normal(shape) / 8).astype(np.float32), name)

    nodes = [
        helper.make_node("MatMul", ["x", "first.w"], ["a"], name="first"),
        helper.make_node("Gemm", ["a", "second.w", "second.b"], ["b"], name="second", transB=1),
        helper.make_node("Transpose", ["b"], ["t"], name="turn"),
        helper.make_node("MatMul", ["b", "t"], ["s"], name="scores"),
        helper.make_node("MatMul", ["s", "b"], ["m"], name="mix"),
        helper.make_node("MatMul", ["m", "head.w"], ["y"], name="head"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [8, rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [8, 5])],
        [weight("first.w", rows, hidden), weight("second.w", 30, hidden), weight("second.b", 30),
         weight("head.w", 30, 5)],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def outputs(proto: onnx.ModelProto) -> np.ndarray:
    feed = np.random.default_rng(2).standard_normal((8, 64)).astype(np.float32)
    return np.asarray(ReferenceEvaluator(proto).run(None, {"x": feed})[0])


@pytest.mark.parametrize("shared", [False, True])
def test_weights_are_turned_round_and_nothing_else_changes(shared: bool) -> None:
    proto = network()
    if shared:  # another reads the same weights as they lie
        proto.graph.node.insert(0, helper.make_node("ReduceSum", ["second.w"], ["sum"], name="sum", keepdims=0))
        proto.graph.node.append(helper.make_node("Add", ["y", "sum"], ["z"], name="last"))
        proto.graph.output[0].name = "z"
    expected = outputs(proto)
    made = with_rows_first(copy.deepcopy(proto))
    onnx.checker.check_model(made, full_check=True)
    np.testing.assert_array_equal(outputs(made), expected)
    weights = {tensor.name: list(tensor.dims) for tensor in made.graph.initializer}
    (second,) = [node for node in made.graph.node if node.name == "second"]
    assert weights[second.input[1]] == [96, 30]
    assert (second.input[1] != "second.w") == shared
    assert not any(entry.i for entry in second.attribute if entry.name == "transB")


def test_the_longest_block_that_fits_most() -> None:
    found = storable(with_rows_first(network()))
    assert found.nodes == ("first", "second"), "the head's 30 rows are no whole blocks; two have no constant weights"
    assert found.weights == ("first.w", "second.w")
    assert found.block == 32, "it divides 64 and 96; 64 divides one of them"
    assert storable(with_rows_first(network()), exclude=("sec*",)).block == 64
    narrow = storable(with_rows_first(network(rows=2048, hidden=48)))
    assert (narrow.block, narrow.nodes) == (128, ("first",)), "2048*48 of the elements, beside 48*30 in blocks of 16"


def test_nothing_to_store_says_what_there_is() -> None:
    with pytest.raises(ArtifactError, match="nothing to store in int4") as error:
        storable(with_rows_first(network()), exclude=("first", "second"))
    assert error.value.values == (
        "4 MatMul, 1 Gemm; of 1 with constant weights of two axes that are not excluded, rows are no multiple of 16"
    )
    convolution = helper.make_node("Conv", ["x", "w"], ["y"], name="c")
    weight = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w")
    shape = [1, 1, 4, 4]
    border = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    proto = helper.make_model(helper.make_graph([convolution], "g", border[:1], border[1:], [weight]))
    with pytest.raises(ArtifactError, match="it is for weights of MatMul and Gemm") as error:
        storable(with_rows_first(proto))
    assert error.value.values == "1 Conv; none has constant weights of two axes that are not excluded"


@pytest.mark.parametrize(("fallback", "wide"), [(Precision.FP32, 4), (Precision.FP16, 2)])
def test_bytes_are_half_one_a_weight_and_its_scales(fallback: Precision, wide: int) -> None:
    """By hand: 64*96 and 96*30 weights of half a byte, a scale for each 32 rows, head and bias as wide as ever."""
    proto = network()
    before = proto.SerializeToString(deterministic=True)
    made = structure_in_precision(proto, Precision.INT4, Derivation(fallback=fallback))
    assert proto.SerializeToString(deterministic=True) == before
    graph = graph_from_proto(made, Path("net.onnx"), Sizes())
    packed = 64 * 96 // 2 + 96 * 30 // 2
    scales = (2 * 96 + 3 * 30) * wide
    assert sum(tensor.size_bytes for tensor in graph.weights.values()) == packed + scales + (30 + 150) * wide


def test_its_structure_runs() -> None:
    proto = network()
    for tensor in proto.graph.initializer:  # whole numbers within four bits: nothing is lost with scales of 1
        whole = np.clip(np.rint(8 * numpy_helper.to_array(tensor)), -8, 7).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(whole, tensor.name))
    expected = outputs(proto)
    whole_weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    whole_weights["second.w"] = whole_weights["second.w"].T
    made = four_bit_structure(proto)
    made.opset_import[0].version = 21
    for tensor in made.graph.initializer:
        if tensor.data_type == TensorProto.INT4:
            values = whole_weights[tensor.name.removesuffix(".int4")]
            tensor.CopyFrom(helper.make_tensor(tensor.name, TensorProto.INT4, values.shape, values.astype(int).ravel()))
    onnx.checker.check_model(made, full_check=True)
    np.testing.assert_allclose(outputs(made), expected, rtol=1e-6)


def test_no_conversion_of_our_own() -> None:
    require_converter("net.onnx", Precision.INT4, Derivation(converter=Converter.MODELOPT))
    require_converter("net.onnx", Precision.INT8, USUAL)
    with pytest.raises(UsageError, match="int4 is made by NVIDIA ModelOpt") as error:
        require_converter("net.onnx", Precision.INT4, USUAL)
    assert error.value.remedy == (
        "benchbox run net.onnx --precision int4 --converter modelopt (pip install 'benchbox[modelopt]')"
    )


@needed
@pytest.mark.parametrize("fallback", [Precision.FP32, Precision.FP16])
def test_modelopt_stores_what_can_be(fallback: Precision, tmp_path: Path) -> None:
    """Its own answer to transposed weights is a file that nothing runs; ours passes the checker and the comparison."""
    path = tmp_path / "net.onnx"
    onnx.save(network(), path)
    source = resolve(str(path), input_shape=None, weights=None)
    choice = Derivation(converter=Converter.MODELOPT, fallback=fallback)
    made = artifact_from_source(source, precision=Precision.INT4, root=tmp_path, derivation=choice)
    proto = onnx.load(str(tmp_path / made.path))
    onnx.checker.check_model(proto, full_check=True)
    assert made.hops[-1].passed
    assert made.hops[-1].rel_l2_error > 0.01, "four bits lose something"
    assert made.quantization is not None
    assert (made.quantization.quantized, made.quantization.quantizable) == (2, 5)
    assert made.quantization.method is CalibrationMethod.AWQ_CLIP
    kinds = {tensor.name: tensor.data_type for tensor in proto.graph.initializer}
    assert sorted(kinds.values()).count(TensorProto.INT4) == 2
    onpaper = structure_in_precision(onnx.load(str(path)), Precision.INT4, choice)
    graphs = [graph_from_proto(each, path, Sizes()) for each in (proto, onpaper)]
    wide = 2 if fallback is Precision.FP16 else 4
    sizes = [sum(tensor.size_bytes for tensor in each.weights.values()) for each in graphs]
    assert sizes[0] == sizes[1], wide


@needed
def test_modelopt_leaves_out_what_is_excluded(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(network(), path)
    source = resolve(str(path), input_shape=None, weights=None)
    choice = Derivation(converter=Converter.MODELOPT, exclude=("sec*",))
    made = artifact_from_source(source, precision=Precision.INT4, root=tmp_path, derivation=choice)
    assert made.quantization is not None
    assert made.quantization.quantized == 1
    reads = {
        node.name: node.input[1] for node in onnx.load(str(tmp_path / made.path)).graph.node if node.op_type in PRODUCTS
    }
    assert reads["second"] == "second.w"


@pytest.mark.parametrize(
    ("flags", "status", "words"),
    [
        (("export", "lenet5", "--precision", "fp16,int4"), 2, "lenet5 --precision int4 --converter modelopt"),
        (("run", "lenet5", "--precision", "int4", "--backend", "onnxruntime"), 2, "--converter modelopt"),
        (("bisect", "lenet5", "--precision", "int4"), 2, "int4 cannot be bisected"),
        (
            ("run", "lenet5", "--precision", "int4", "--converter", "modelopt", "--backend", "pytorch"),
            2,
            "in a way of its own",
        ),
    ],
)
def test_where_it_cannot_be(flags: tuple[str, ...], status: int, words: str, benchbox: Callable) -> None:
    ran = benchbox(*flags)
    assert ran.status == status, ran.err
    assert words in " ".join(ran.err.split())
