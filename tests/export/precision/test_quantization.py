"""Q/DQ graphs: onnx's evaluator and ONNX Runtime's own quantisation as oracles, names, and what is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from branching import CAPTURED, branching, looping_alone, outputs_of, sample_of_branching
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from benchbox.backends.base import BACKENDS, OpenRequest
from benchbox.errors import ArtifactError
from benchbox.export.precision.quantization import QUANTIZABLE, observed_tensors, quantized_from_float
from benchbox.schema.artifact import OnnxArtifact, TensorSpec
from benchbox.schema.model import Precision

DRAW = np.random.default_rng(0)


def constant(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array(DRAW.standard_normal(shape).astype(np.float32), name)


def network(
    nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], shape: list[int | str], rank: int
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [f"size{axis}" for axis in range(rank)])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def conv_relu_gemm() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["input", "conv.weight", "conv.bias"], ["conv"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"], name="relu"),
        helper.make_node("GlobalAveragePool", ["relu"], ["pool"], name="pool"),
        helper.make_node("Flatten", ["pool"], ["flatten"], name="flatten"),
        helper.make_node("Gemm", ["flatten", "fc.weight", "fc.bias"], ["output"], name="fc", transB=1),
    ]
    constants = [constant("conv.weight", 8, 3, 3, 3), constant("conv.bias", 8), constant("fc.weight", 5, 8)]
    return network(nodes, [*constants, constant("fc.bias", 5)], ["batch", 3, 8, 8], 2)


def transposed() -> onnx.ModelProto:
    nodes = [helper.make_node("ConvTranspose", ["input", "up.weight"], ["output"], name="up", strides=[2, 2])]
    return network(nodes, [constant("up.weight", 3, 4, 2, 2)], ["batch", 3, 8, 8], 4)


def products() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["input", "fc.weight"], ["fc"], name="fc"),
        helper.make_node("Transpose", ["fc"], ["turned"], name="turned", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["fc", "turned"], ["output"], name="attention"),
    ]
    return network(nodes, [constant("fc.weight", 6, 4)], ["batch", 5, 6], 3)


GRAPHS = {
    "conv": (conv_relu_gemm, (2, 3, 8, 8)),
    "transposed": (transposed, (2, 3, 8, 8)),
    "matmul": (products, (2, 5, 6)),
}


def evaluated(proto: onnx.ModelProto, feed: np.ndarray, names: list[str] | None = None) -> list[np.ndarray]:
    if names:
        watched = onnx.ModelProto()
        watched.CopyFrom(proto)
        del watched.graph.output[:]
        watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
        proto = watched
    return ReferenceEvaluator(proto).run(None, {"input": feed})


def ranges_of(proto: onnx.ModelProto, feed: np.ndarray, precision: Precision) -> dict[str, float]:
    tensors = [name for name in observed_tensors(proto, precision=precision) if name != "input"]
    made = evaluated(proto, feed, tensors) if tensors else []
    return {"input": float(np.abs(feed).max())} | {
        name: float(np.abs(array).max()) for name, array in zip(tensors, made, strict=True)
    }


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.FP8])
@pytest.mark.parametrize("name", GRAPHS)
def test_onnx_evaluator_agrees_with_fp32(name: str, precision: Precision) -> None:
    build, shape = GRAPHS[name]
    proto, feed = build(), DRAW.standard_normal(shape).astype(np.float32)
    made = quantized_from_float(proto, ranges_of(proto, feed, precision), precision=precision)
    onnx.checker.check_model(made.proto, full_check=True)
    exact, rounded = evaluated(proto, feed)[0], evaluated(made.proto, feed)[0]
    error = np.linalg.norm(rounded - exact) / np.linalg.norm(exact)
    assert 1e-4 < error < (0.03 if precision is Precision.INT8 else 0.1)
    ops = [node.op_type for node in proto.graph.node]
    assert made.quantized == made.quantizable == sum(ops.count(op) for op in QUANTIZABLE)


def test_weights_are_rounded_per_channel_to_the_nearest_step() -> None:
    proto = conv_relu_gemm()
    made = quantized_from_float(
        proto, dict.fromkeys(("input", "conv", "relu", "flatten"), 1.0), precision=Precision.INT8
    )
    kept = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.proto.graph.initializer}
    weight = numpy_helper.to_array(proto.graph.initializer[0])
    assert kept["conv.weight.q"].dtype == np.int8
    assert np.abs(kept["conv.weight.q"]).reshape(8, -1).max(axis=1).tolist() == [127] * 8
    scale = kept["conv.weight.scale"]
    assert np.allclose(scale, np.abs(weight).reshape(8, -1).max(axis=1) / 127, rtol=1e-6)
    back = kept["conv.weight.q"] * scale.reshape(8, 1, 1, 1)
    assert (np.abs(back - weight) <= scale.reshape(8, 1, 1, 1) * 0.5001).all()
    assert "conv.weight" not in kept
    assert kept["conv.bias"].dtype == np.float32


def test_what_tensorrt_refuses_is_not_made() -> None:
    """No int32 bias, no zero point but 0, in any of the graphs."""
    for build, _ in GRAPHS.values():
        proto = build()
        ranges = dict.fromkeys(observed_tensors(proto, precision=Precision.INT8), 3.0)
        graph = quantized_from_float(proto, ranges, precision=Precision.INT8).proto.graph
        constants = {tensor.name: tensor for tensor in graph.initializer}
        assert not [name for name, tensor in constants.items() if tensor.data_type == TensorProto.INT32]
        for node in graph.node:
            if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
                assert not numpy_helper.to_array(constants[node.input[2]]).any()


def test_a_pair_before_a_relu_costs_nothing() -> None:
    """With the ReLU's own range, rounding before and after it gives the same values."""
    proto, feed = conv_relu_gemm(), DRAW.standard_normal((2, 3, 8, 8)).astype(np.float32)
    ranges = ranges_of(proto, feed, Precision.INT8)
    assert "conv" not in ranges
    assert "relu" in ranges
    made = quantized_from_float(proto, ranges, precision=Precision.INT8).proto
    kept = {
        tensor.name: float(numpy_helper.to_array(tensor))
        for tensor in made.graph.initializer
        if not tensor.dims and ".scale" in tensor.name
    }
    assert kept["conv.scale"] == pytest.approx(ranges["relu"] / 127)
    step = np.float32(kept["conv.scale"])
    before, after = evaluated(made, feed, ["conv", "relu"])
    rounded = np.clip(np.rint(np.maximum(before, 0) / step), -128, 127) * step
    assert np.allclose(after, rounded, atol=1e-6)


def test_names_and_notes_stay(resnet: OnnxArtifact, export_root: Path) -> None:
    proto = onnx.load(str(export_root / resnet.path))
    ranges = dict.fromkeys(observed_tensors(proto, precision=Precision.INT8), 4.0)
    first, second = (quantized_from_float(proto, ranges, precision=Precision.INT8).proto for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
    added = [node for node in first.graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    others = [node for node in first.graph.node if node.op_type not in {"QuantizeLinear", "DequantizeLinear"}]
    assert [node.name for node in others] == [node.name for node in proto.graph.node]
    assert [list(node.output) for node in others] == [list(node.output) for node in proto.graph.node]
    assert [node.metadata_props for node in others] == [node.metadata_props for node in proto.graph.node]
    names = [node.name for node in first.graph.node]
    assert len(set(names)) == len(names)
    assert len(added) > 60


def shared_readers() -> onnx.ModelProto:
    """A squeeze with two expansions behind it, and a residual addition: tensors that several nodes read."""
    nodes = [
        helper.make_node("Conv", ["input", "one.weight", "one.bias"], ["one"], name="one"),
        helper.make_node("Relu", ["one"], ["relu"], name="relu"),
        helper.make_node("Conv", ["relu", "two.weight", "two.bias"], ["two"], name="two", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["relu", "three.weight", "three.bias"], ["three"], name="three"),
        helper.make_node("Add", ["relu", "two"], ["add"], name="add"),
        helper.make_node("Concat", ["add", "three"], ["concat"], name="concat", axis=1),
        helper.make_node("Conv", ["concat", "four.weight", "four.bias"], ["four"], name="four"),
        helper.make_node("Relu", ["four"], ["output"], name="last"),
    ]
    constants = [constant("one.weight", 16, 16, 1, 1), constant("two.weight", 16, 16, 3, 3)]
    constants += [constant("three.weight", 16, 16, 1, 1), constant("four.weight", 16, 32, 1, 1)]
    constants += [constant(f"{name}.bias", 16) for name in ("one", "two", "three", "four")]
    return network(nodes, constants, ["batch", 16, 8, 8], 4)


def test_each_reader_has_a_pair_of_its_own_for_int8() -> None:
    proto = shared_readers()
    for precision, pairs in ((Precision.INT8, 3), (Precision.FP8, 1)):
        ranges = dict.fromkeys(observed_tensors(proto, precision=precision), 4.0)
        made = quantized_from_float(proto, ranges, precision=precision, exclude=[]).proto
        readers = [node for node in made.graph.node if "relu" in node.input]
        assert [node.op_type for node in readers] == ["QuantizeLinear"] * pairs
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
        assert len({constants[node.input[1]].tobytes() for node in readers}) == 1, "all with one scale"
        assert len({name for node in readers for name in node.input[1:]}) == 2 * pairs, "in constants of their own"
        onnx.checker.check_model(made, full_check=True)
    left_out = quantized_from_float(
        proto, dict.fromkeys(observed_tensors(proto, precision=Precision.INT8, exclude=["three"]), 4.0),
        precision=Precision.INT8, exclude=["three"],
    ).proto  # fmt: skip
    assert sorted(node.op_type for node in left_out.graph.node if "relu" in node.input) == [
        "Conv", "QuantizeLinear", "QuantizeLinear",
    ]  # fmt: skip


def test_onnx_runtime_computes_every_convolution_in_eight_bits(tmp_path: Path) -> None:
    """What readers of one tensor share keeps all of them in fp32 there: the oracle is the runtime's own profile."""
    import onnxruntime

    proto = shared_readers()
    feed = DRAW.standard_normal((1, 16, 8, 8)).astype(np.float32)
    path = tmp_path / "int8.onnx"
    onnx.save(quantized_from_float(proto, ranges_of(proto, feed, Precision.INT8), precision=Precision.INT8).proto, path)
    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    session.run(None, {"input": feed})
    events = json.loads(Path(session.end_profiling()).read_text())
    ops = [event["args"]["op_name"] for event in events if event["cat"] == "Node" and "op_name" in event["args"]]
    assert ops.count("QLinearConv") == 4
    assert not [op for op in ops if op in {"Conv", "FusedConv", "NhwcFusedConv"}]


def test_onnx_runtime_does_not_saturate(tmp_path: Path) -> None:
    """Largest values times largest weights: two such products are beyond 16 bits, where CPUs without VNNI add them."""
    proto = network(
        [helper.make_node("Conv", ["input", "conv.weight"], ["conv"], name="conv"),
         helper.make_node("Relu", ["conv"], ["output"], name="relu")],
        [numpy_helper.from_array(np.ones((16, 64, 1, 1), dtype=np.float32), "conv.weight")],
        ["batch", 64, 8, 8], 4,
    )  # fmt: skip
    made = quantized_from_float(proto, {"input": 1.0, "conv": 64.0}, precision=Precision.INT8).proto
    path = tmp_path / "int8.onnx"
    onnx.save(made, path)
    feed = np.ones((1, 64, 8, 8), dtype=np.float32)
    request = OpenRequest(
        precision=Precision.INT8,
        threads=1,
        inputs=(TensorSpec(name="input", dtype="float32", shape=(1, 64, 8, 8)),),
        outputs=(TensorSpec(name="output", dtype="float32", shape=(1, 16, 8, 8)),),
        onnx_path=path,
        inspect=True,
    )
    session = BACKENDS.get("onnxruntime").open(request)
    session.upload(0, {"input": feed})
    session.enqueue(0)
    given = session.download(0)["output"]
    assert session.evidence().executed == {"int8": 1}
    session.close()
    (wanted,) = evaluated(made, feed, ["output"])
    assert np.allclose(given, wanted, rtol=1e-2), (given.flat[0], wanted.flat[0])


def test_excluded_nodes_read_what_fp32_reads() -> None:
    proto = conv_relu_gemm()
    ranges = dict.fromkeys(observed_tensors(proto, precision=Precision.INT8, exclude=["f?"]), 4.0)
    assert "flatten" not in ranges
    made = quantized_from_float(proto, ranges, precision=Precision.INT8, exclude=["f?", "layer9.*"])
    assert (made.quantized, made.quantizable) == (1, 2)
    assert made.warnings == ("--exclude 'layer9.*' matches no node",)
    last = next(node for node in made.proto.graph.node if node.name == "fc")
    assert list(last.input) == ["flatten", "fc.weight", "fc.bias"]


def test_onnx_runtimes_own_quantisation_has_the_same_scales(
    lenet: OnnxArtifact, export_root: Path, tmp_path: Path
) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    feeds = [DRAW.standard_normal((1, 1, 28, 28)).astype(np.float32) for _ in range(4)]

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(feeds)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(({"input": feed} for feed in self.left), None)

    path = export_root / lenet.path
    options = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False, "AddQDQPairToWeight": False}
    quantize_static(path, tmp_path / "theirs.onnx", Reader(), quant_format=QuantFormat.QDQ,
                    activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, per_channel=True,
                    op_types_to_quantize=["Conv", "Gemm"], extra_options=options)  # fmt: skip
    theirs = {t.name: numpy_helper.to_array(t) for t in onnx.load(str(tmp_path / "theirs.onnx")).graph.initializer}
    proto = onnx.load(str(path))
    made = quantized_from_float(
        proto, ranges_of(proto, np.concatenate(feeds), Precision.INT8), precision=Precision.INT8
    )
    ours = {t.name: numpy_helper.to_array(t) for t in made.proto.graph.initializer}
    weights = [f"{name}.weight" for name in ("conv1", "conv2", "fc1", "fc2")]
    activations = ["input", "conv1", "pool1", "conv2", "flatten", "relu3"]

    def same(name: str) -> bool:
        """Theirs spreads -127..127, or -128..127 for activations: 127.5 steps."""
        mine, other = ours[f"{name}.scale"], theirs[f"{name}_scale"]
        return np.allclose(mine, other, rtol=1e-5) or np.allclose(mine, other * 127.5 / 127, rtol=1e-5)

    # What feeds a max pool has the pool's range here.
    assert {name for name in (*weights, *activations) if not same(name)} <= {"conv1", "conv2"}
    assert (ours["conv1.scale"], ours["conv2.scale"]) == (ours["pool1.scale"], ours["flatten.scale"])
    for name in weights[:3]:
        assert np.abs(theirs[f"{name}_quantized"].astype(int) - ours[f"{name}.q"]).max() <= 1


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda proto: proto.graph.node.pop(0) and proto.graph.node.pop(-1), "nothing to quantise"),
        (lambda proto: setattr(proto.opset_import[0], "version", 17), "opset 17"),
        (lambda proto: proto.functions.add(name="f", domain="d"), "local functions"),
    ],
)
def test_what_cannot_be_quantised_is_refused(break_it: object, message: str) -> None:
    proto = conv_relu_gemm()
    break_it(proto)  # type: ignore[operator]
    with pytest.raises(ArtifactError, match=message):
        observed_tensors(proto, precision=Precision.INT8)


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.FP8])
def test_what_is_outside_of_branches_and_loops_is_quantised(precision: Precision) -> None:
    """What they read from outside is rounded as for any other reader, so that a convolution may write integers."""
    proto, feed = branching(), sample_of_branching()
    names = observed_tensors(proto, precision=precision)
    watched = copy.deepcopy(proto)
    watched.graph.output.extend(helper.make_tensor_value_info(name, 1, None) for name in names if name != "input")
    outputs = [value.name for value in watched.graph.output]
    seen = dict(zip(outputs, outputs_of(watched, feed), strict=True)) | feed
    ranges = {name: float(np.abs(seen[name]).max()) for name in names}
    made = quantized_from_float(proto, ranges, precision=precision)
    onnx.checker.check_model(made.proto, full_check=True)
    assert (made.quantized, made.quantizable) == (4, 6)
    assert "what is inside of branches and loops stays in fp32: branch (If), loop (Loop)" in made.warnings
    assert [tensor.name for tensor in made.proto.graph.initializer if tensor.name in CAPTURED] == ["w2", "wf"]
    bodies = {entry.name: entry.g for node in made.proto.graph.node for entry in node.attribute if entry.HasField("g")}
    conv = bodies["else_branch"].node[0]
    rounded = precision is Precision.INT8  # fp8 rounds what is read, and no product reads it outside
    assert list(conv.input) == ["feat.dq_1" if rounded else "feat", "w2"]
    assert bodies["then_branch"].node[0].input[0] == conv.input[0]
    if rounded:
        for ours, theirs in zip(outputs_of(made.proto, feed), (seen["y"], seen["z"]), strict=True):
            assert np.linalg.norm(ours - theirs) <= 0.1 * np.linalg.norm(theirs)


def test_an_excluded_loop_reads_what_fp32_reads() -> None:
    proto = branching()
    names = observed_tensors(proto, precision=Precision.INT8, exclude=["loop", "branch"])
    made = quantized_from_float(proto, dict.fromkeys(names, 4.0), precision=Precision.INT8, exclude=["loop", "branch"])
    bodies = {entry.name: entry.g for node in made.proto.graph.node for entry in node.attribute if entry.HasField("g")}
    assert list(bodies["else_branch"].node[0].input) == ["feat", "w2"]
    assert list(bodies["body"].node[1].input) == ["p", "flat"]


def test_products_inside_of_a_loop_alone_are_refused_by_name() -> None:
    with pytest.raises(ArtifactError, match=r"nothing to quantise.*\n.*1 of them inside of node loop"):
        observed_tensors(looping_alone(), precision=Precision.INT8)


def test_everything_excluded_is_refused() -> None:
    with pytest.raises(ArtifactError, match="nothing to quantise"):
        observed_tensors(conv_relu_gemm(), precision=Precision.FP8, exclude=["*"])


@pytest.mark.parametrize("top", [float("nan"), float("inf")])
def test_a_range_that_is_not_finite_is_refused(top: float) -> None:
    proto = conv_relu_gemm()
    with pytest.raises(ArtifactError, match="range of input"):
        quantized_from_float(proto, {"input": top, "relu": 1.0, "flatten": 1.0}, precision=Precision.INT8)


def test_weights_that_are_not_finite_are_refused() -> None:
    proto = conv_relu_gemm()
    bad = np.full((8, 3, 3, 3), np.nan, dtype=np.float32)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(bad, "conv.weight"))
    with pytest.raises(ArtifactError, match=r"conv\.weight"):
        quantized_from_float(proto, dict.fromkeys(("input", "relu", "flatten"), 1.0), precision=Precision.INT8)
