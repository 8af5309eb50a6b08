"""Shapes that ONNX's own inference leaves open or gets wrong, against what ONNX Runtime computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from graphs import cost_from_onnx, model_of, saved
from onnx import TensorProto, helper, numpy_helper

from benchbox.graph.graph import graph_from_file

node = helper.make_node
ORT_NEWEST_IR = 10


def floats(*shape: int) -> np.ndarray:
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def quantised() -> dict[str, np.ndarray]:
    return {"s": np.array(0.1, np.float32), "z": np.array(3, np.uint8)}


def case(name: str) -> tuple[onnx.ModelProto, tuple[int, ...], int, int]:
    """A model, the shape of its input, its MACs, and its FLOPs."""
    if name == "group norm":
        nodes = [
            node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
            node("GroupNormalization", ["c", "s", "b"], ["n"], num_groups=2),
            node("Conv", ["n", "w2"], ["y"]),
        ]
        weights = {"w": floats(8, 3, 3, 3), "s": floats(8), "b": floats(8), "w2": floats(2, 8, 1, 1)}
        return model_of(nodes, inputs={"x": ["N", 3, 8, 8]}, weights=weights, opset=21), (1, 3, 8, 8), 14_848, 33_280
    if name == "stft":  # 15 frames of 9 bins
        nodes = [node("STFT", ["x", "step", "window"], ["y"])]
        weights = {"step": np.array(8), "window": np.hanning(16).astype(np.float32)}
        return model_of(nodes, inputs={"x": ["N", 128, 1]}, weights=weights, opset=17), (1, 128, 1), 0, 5_040
    if name == "mean variance":
        nodes = [node("Conv", ["x", "w"], ["c"]), node("MeanVarianceNormalization", ["c"], ["y"])]
        model = model_of(nodes, inputs={"x": ["N", 3, 8, 8]}, weights={"w": floats(4, 3, 3, 3)}, opset=13)
        return model, (1, 3, 8, 8), 3_888, 7_776 + 7 * 144
    if name.startswith("unpool"):
        given = name == "unpool to a size"
        nodes = [
            node("MaxPool", ["x"], ["p", "i"], kernel_shape=[2, 2], strides=[2, 2]),
            node("MaxUnpool", ["p", "i", "size"][: 3 if given else 2], ["u"], kernel_shape=[2, 2], strides=[2, 2]),
            node("Conv", ["u", "w"], ["y"]),
        ]
        weights = {"size": integers(1, 3, 8, 8), "w": floats(2, 3, 1, 1)}
        return model_of(nodes, inputs={"x": [1, 3, 8, 8]}, weights=weights, opset=17), (1, 3, 8, 8), 384, 960
    if name == "positions by NonZero":  # how PyTorch wrote arange before opset 11
        one = numpy_helper.from_array(integers(1))
        nodes = [
            node("Shape", ["x"], ["shape"]),
            node("Gather", ["shape", "one"], ["length"]),
            node("Unsqueeze", ["length"], ["lengths"], axes=[0]),
            node("ConstantOfShape", ["lengths"], ["ones"], value=one),
            node("NonZero", ["ones"], ["places"]),
            node("Transpose", ["places"], ["column"], perm=[1, 0]),
            node("Squeeze", ["column"], ["positions"], axes=[1]),
            node("Gather", ["table", "positions"], ["embedded"]),
            node("Add", ["x", "embedded"], ["sum"]),
            node("MatMul", ["sum", "w"], ["y"]),
        ]
        weights = {"one": np.array(1), "table": floats(32, 8), "w": floats(8, 4)}
        return model_of(nodes, inputs={"x": ["N", 6, 8]}, weights=weights, opset=9), (1, 6, 8), 192, 384 + 48
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("QLinearConv", ["q", "s", "z", "w", "s", "zw", "s", "z"], ["c"]),
        node("QLinearAdd", ["c", "s", "z", "c", "s", "z", "s", "z"], ["a"], domain="com.microsoft"),
        node("QLinearGlobalAveragePool", ["a", "s", "z", "s", "z"], ["p"], domain="com.microsoft", channels_last=0),
        node("Flatten", ["p"], ["f"]),
        node("QGemm", ["f", "s", "z", "v", "s", "zw", "", "s", "z"], ["g"], domain="com.microsoft", transB=1),
        node("DequantizeLinear", ["g", "s", "z"], ["y"]),
    ]
    weights = {**quantised(), "zw": np.array(0, np.int8), "w": np.ones((4, 3, 3, 3), np.int8)}
    weights["v"] = np.ones((5, 4), np.int8)
    macs = 4 * 36 * 27 + 20
    elementwise = 2 * 192 + 144 + 144 + 2 * 5
    return model_of(nodes, inputs={"x": [1, 3, 8, 8]}, weights=weights), (1, 3, 8, 8), macs, 2 * macs + elementwise


CASES = (
    "group norm", "stft", "mean variance", "unpool to a size", "unpool", "positions by NonZero", "quantised operators"
)  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_shapes_are_those_of_a_run(name: str, tmp_path: Path) -> None:
    model, shape, macs, flops = case(name)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.ir_version = min(model.ir_version, ORT_NEWEST_IR)
    path = saved(tmp_path / "net.onnx", model)
    graph = graph_from_file(path)
    shapes = {tensor.name: tensor.shape for view in graph.nodes for tensor in view.outputs}
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=value) for value in shapes)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    arrays = session.run(None, {"x": floats(*shape)})
    ran = {output.name: array.shape for output, array in zip(session.get_outputs(), arrays, strict=True)}
    assert shapes == ran
    cost = cost_from_onnx(path)
    assert (cost.macs, cost.flops) == (macs, flops)


@pytest.mark.parametrize("opset", [7, 9, 10, 12, 13])
def test_outputs_that_nobody_reads_need_no_shape(opset: int, tmp_path: Path) -> None:
    nodes = [
        node("Gemm", ["x", "w", "b"], ["g"]),
        node("Relu", ["g"], ["r"]),
        node("Dropout", ["r"], ["d", "mask"]),
        node("Gemm", ["d", "w2", "b2"], ["y"]),
    ]
    weights = {"w": floats(12, 20), "b": floats(20), "w2": floats(20, 5), "b2": floats(5)}
    model = model_of(nodes, inputs={"x": ["N", 12]}, weights=weights, opset=opset)
    cost = cost_from_onnx(saved(tmp_path / "net.onnx", model))
    assert (cost.macs, cost.params) == (340, 365)


def test_statistics_of_a_batch_norm_that_nobody_reads(tmp_path: Path) -> None:
    inputs = ["x", "s", "b", "m", "v"]
    model = model_of(
        [node("BatchNormalization", inputs, ["y", "m1", "v1", "m2", "v2"])],
        inputs={"x": ["N", 3, 8, 8]},
        outputs=["y"],
        weights={name: floats(3) for name in inputs[1:]},
        opset=9,
    )
    assert cost_from_onnx(saved(tmp_path / "net.onnx", model)).flops == 2 * 192


def test_minus_one_is_a_free_size(tmp_path: Path) -> None:
    model = model_of(
        [node("Conv", ["x", "w"], ["y"])], inputs={"x": [-1, 3, -1, -1]}, weights={"w": floats(4, 3, 3, 3)}
    )
    path = saved(tmp_path / "net.onnx", model)
    assert cost_from_onnx(path, input_shape=(3, 16, 16)).macs == 21_168
    assert cost_from_onnx(path, batch=2, input_shape=(3, 16, 16)).macs == 2 * 21_168


def test_zero_is_a_size(tmp_path: Path) -> None:
    """A key-value cache that is empty."""
    nodes = [
        node("Concat", ["past", "k"], ["keys"], axis=2),
        node("Transpose", ["keys"], ["t"], perm=[0, 1, 3, 2]),
        node("MatMul", ["q", "t"], ["scores"]),
        node("MatMul", ["scores", "keys"], ["y"]),
    ]
    inputs = {"q": ["N", 4, "L", 8], "k": ["N", 4, "L", 8], "past": ["N", 4, "P", 8]}
    path = saved(tmp_path / "net.onnx", model_of(nodes, inputs=inputs))
    assert cost_from_onnx(path, named={"L": (3,), "P": (0,)}).macs == 2 * 4 * 3 * 3 * 8
    assert cost_from_onnx(path, named={"L": (3,), "P": (5,)}).macs == 2 * 4 * 3 * 8 * 8


def sized(opset: int) -> onnx.ModelProto:
    """A recurrent state of zeros whose batch is read off the input, in the operators of an opset."""
    axes = opset < 13
    constants = {"one": np.array(1), "first": integers(1), "last": integers(7), "zero": integers(0)}
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "one"], ["batch"]),
        node("Unsqueeze", ["batch"], ["sizes"], axes=[0]) if axes else node("Unsqueeze", ["batch", "zero"], ["sizes"]),
        node("Concat", ["first", "sizes", "last"], ["state_shape"], axis=0),
        node("ConstantOfShape", ["state_shape"], ["state"]),
        node("LSTM", ["x", "w", "r", "b", "", "state", "state"], ["hidden"], hidden_size=7),
        node("Squeeze", ["hidden"], ["y"], axes=[1]) if axes else node("Squeeze", ["hidden", "first"], ["y"]),
    ]
    weights = {**constants, "w": floats(1, 28, 5), "r": floats(1, 28, 7), "b": floats(1, 56)}
    return model_of(nodes, inputs={"x": [11, "N", 5]}, weights=weights, opset=opset)


@pytest.mark.parametrize("opset", [9, 10, 11, 12, 13, 17])
def test_sizes_are_computed_by_the_operators_of_the_opset(opset: int, tmp_path: Path) -> None:
    cost = cost_from_onnx(saved(tmp_path / "net.onnx", sized(opset)), named={"N": (1,)})
    assert (cost.macs, cost.params) == (11 * 28 * (5 + 7), 392)


def test_types_of_the_stand_ins_are_kept(tmp_path: Path) -> None:
    nodes = [node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=1)]
    model = model_of(nodes, inputs={"x": [1, 2, 4]}, weights={"s": floats(2), "b": floats(2)}, opset=21)
    for value in (*model.graph.input, *model.graph.initializer):
        if isinstance(value, onnx.TensorProto):
            value.CopyFrom(numpy_helper.from_array(floats(2).astype(np.float16), value.name))
        else:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    assert cost_from_onnx(saved(tmp_path / "net.onnx", model)).activation_bytes == 16


@pytest.mark.parametrize("how", ["Upsample-7", "Upsample-9", "Resize-10", "Resize-13", "axes", "computed"])
@pytest.mark.parametrize(("size", "wanted"), [(30, 77), (7, 13), (49, 38), (10, 20)])
def test_factors_are_rounded_as_a_runtime_does(how: str, size: int, wanted: int, tmp_path: Path) -> None:
    """A size divided by a size and multiplied by it again is that size in fp32, and often a little less exactly."""
    factor = np.float32(wanted) / np.float32(size)
    if how.startswith("Upsample") and factor < 1:
        pytest.skip("ONNX Runtime's Upsample makes nothing smaller")
    scales = np.array([1, 1, factor, factor], np.float32)
    node, opset = helper.make_node, {"Upsample-7": 7, "Upsample-9": 9, "Resize-10": 10, "axes": 18}.get(how, 13)
    weights = {"s": scales}
    nodes = [node("Resize", ["r", "", "s"], ["u"], "up", mode="nearest")]
    if how == "Upsample-7":
        nodes, weights = [node("Upsample", ["r"], ["u"], "up", mode="nearest", scales=scales.tolist())], {}
    elif how in ("Upsample-9", "Resize-10"):
        nodes = [node(how.partition("-")[0], ["r", "s"], ["u"], "up", mode="nearest")]
    elif how == "axes":
        nodes, weights = [node("Resize", ["r", "", "s"], ["u"], "up", mode="nearest", axes=[2, 3])], {"s": scales[2:]}
    elif how == "computed":
        weights = {"want": np.array([1, 2, wanted, wanted], np.float32)}
        nodes = [
            node("Shape", ["r"], ["shape"]),
            node("Cast", ["shape"], ["sizes"], to=1),
            node("Div", ["want", "sizes"], ["s"]),
            *nodes,
        ]
    nodes = [node("Relu", ["x"], ["r"], "relu"), *nodes, node("Relu", ["u"], ["y"], "behind")]
    model = model_of(nodes, inputs={"x": [1, 2, size, size]}, weights=weights, opset=opset)
    model.ir_version = 8
    graph = graph_from_file(saved(tmp_path / "net.onnx", model))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {"x": np.zeros((1, 2, size, size), np.float32)})
    assert graph.nodes[-1].outputs[0].shape == made.shape
    assert made.shape[2] == wanted
