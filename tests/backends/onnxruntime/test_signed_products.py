"""A product of signed bytes with signed weights, as quantize_static writes it, has a kernel only as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchbox.backends.once import evaluate_graph
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.model import Precision


def test_signed_activations_and_weights_are_multiplied(tmp_path: Path) -> None:
    scales = {name: np.float32(0.5) for name in ("xs", "ws", "ys")}
    zeros = {name: np.int8(0) for name in ("xz", "wz", "yz")}
    weights = {"w": np.eye(4, dtype=np.int8), **scales, **zeros}
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"]),
            helper.make_node("QLinearMatMul", ["q", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["p"], name="product"),
            helper.make_node("DequantizeLinear", ["p", "ys", "yz"], ["y"]),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    spec = TensorSpec(name="x", dtype="float32", shape=(1, 4))
    (made,) = evaluate_graph(
        path,
        [{"x": np.array([[1, 2, 3, -4]], np.float32)}],
        inputs=[spec],
        outputs=[TensorSpec(name="y", dtype="float32", shape=(1, 4))],
        precision=Precision.FP32,
    )
    assert made["y"].tolist() == [[0.5, 1.0, 1.5, -2.0]]
