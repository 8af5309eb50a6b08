"""A product of signed bytes with signed weights, as quantize_static writes it, has a kernel only as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchbox.backends.once import evaluate_graph
from benchbox.graph.zero_points import lacks_zero_points
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.model import Precision

# Beyond 64 two products may saturate 16 bits, and the runtime makes such weights unsigned where it is to be precise.
_WEIGHT = 127 * np.eye(4, dtype=np.int8)


def test_signed_activations_and_weights_are_multiplied(tmp_path: Path) -> None:
    scales = {"xs": np.float32(0.5), "ws": np.float32(0.5 / 127), "ys": np.float32(0.5)}
    zeros = {name: np.int8(0) for name in ("xz", "wz", "yz")}
    weights = {"w": _WEIGHT, **scales, **zeros}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"]),
        helper.make_node("QLinearMatMul", ["q", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["p"], name="product"),
        helper.make_node("DequantizeLinear", ["p", "ys", "yz"], ["y"]),
    ]
    assert _run(nodes, weights, "y", tmp_path) == [[0.5, 1.0, 1.5, -2.0]]


def _run(nodes: Sequence[onnx.NodeProto], weights: Mapping[str, Any], output: str, folder: Path) -> Any:
    """The output for [1, 2, 3, -4]."""
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    path = folder / "net.onnx"
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    (made,) = evaluate_graph(
        path,
        [{"x": np.array([[1, 2, 3, -4]], np.float32)}],
        inputs=[TensorSpec(name="x", dtype="float32", shape=(1, 4))],
        outputs=[TensorSpec(name=output, dtype="float32", shape=(1, 4))],
        precision=Precision.FP32,
    )
    return made[output].tolist()


def test_signed_layers_that_onnx_runtime_wrote_load(tmp_path: Path) -> None:
    """QGemm is what quantize_static makes of a Gemm in its own operators."""
    zeros = {name: np.int8(0) for name in ("xz", "wz", "yz")}
    scales = {"xs": np.float32(0.5), "ws": np.float32(0.5 / 127), "ys": np.float32(0.5)}
    weights = {"w": _WEIGHT, "c": np.zeros(4, np.int32), **scales, **zeros}
    given = ["q", "xs", "xz", "w", "ws", "wz", "c", "ys", "yz"]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"], name="round"),
        helper.make_node("QGemm", given, ["p"], name="product", domain="com.microsoft", transB=1),
        helper.make_node("DequantizeLinear", ["p", "ys", "yz"], ["y"], name="back"),
    ]
    assert _run(nodes, weights, "y", tmp_path) == [[0.5, 1.0, 1.5, -2.0]]


def test_scales_of_channels_without_zero_points_run(tmp_path: Path) -> None:
    """As many exporters write weights: asked to be exact on a CPU without VNNI, the runtime fails on them."""
    weights = {"w": _WEIGHT, "s": np.full(4, 1 / 127, np.float32)}
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["f"], axis=1),
        helper.make_node("MatMul", ["x", "f"], ["y"]),
    ]
    assert np.allclose(_run(nodes, weights, "y", tmp_path), [[1, 2, 3, -4]])
    assert lacks_zero_points(tmp_path / "net.onnx")
    _run(nodes, {**weights, "s": np.array(1 / 127, np.float32)}, "y", tmp_path)
    assert not lacks_zero_points(tmp_path / "net.onnx")
    assert not lacks_zero_points(tmp_path / "none.onnx")


def test_an_output_that_is_an_input_is_what_was_given(tmp_path: Path) -> None:
    """The runtime does not copy what goes straight through into memory that is bound."""
    assert _run([helper.make_node("Relu", ["x"], ["unread"])], {}, "x", tmp_path) == [[1.0, 2.0, 3.0, -4.0]]
