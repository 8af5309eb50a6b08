"""Files of eight-bit products are judged by what they mean, whatever this processor does with sums of bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.backends.eight_bit import instruction_sets, saturates
from benchbox.export.exact_products import has_products, with_exact_products

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (2, 3, 6, 6)).astype(np.uint8)
W = RNG.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
A, B = RNG.integers(0, 256, (5, 64)).astype(np.uint8), RNG.integers(-127, 128, (64, 7)).astype(np.int8)
SCALES = {"xs": np.float32(0.02), "xz": np.uint8(128), "ws": np.float32(0.01), "wz": np.int8(0), "ys": np.float32(1.0),
          "yz": np.uint8(120)}  # fmt: skip
CHANNELS = {"ws": np.array([0.01, 0.02, 0.03, 0.04], np.float32), "wz": np.zeros(4, np.int8)}


def model(
    operator: str,
    names: list[str],
    weights: dict[str, np.ndarray],
    x: np.ndarray,
    kind: int,
    opset: int,
    **attributes: object,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node(operator, names, ["y"], name="product", **attributes)],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, x.shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


QUANTISED = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
CASES = {
    "conv": (model("QLinearConv", QUANTISED, {**SCALES, "w": W}, X, TensorProto.UINT8, 10), X),
    "conv-channels-bias": (
        model(
            "QLinearConv", [*QUANTISED, "b"], {**SCALES, **CHANNELS, "w": W, "b": np.array([5, -700, 80, 1], np.int32)},
            X, TensorProto.UINT8, 13, pads=[1, 1, 1, 1], strides=[2, 2],
        ),
        X,
    ),
    "matmul": (model("QLinearMatMul", QUANTISED, {**SCALES, "w": B}, A, TensorProto.UINT8, 13), A),
    "matmul-integer": (
        model("MatMulInteger", ["x", "w", "xz", "wz"], {**SCALES, "w": B}, A, TensorProto.INT32, 10), A,
    ),
    "conv-integer": (model("ConvInteger", ["x", "w", "xz"], {**SCALES, "w": W}, X, TensorProto.INT32, 10), X),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_written_as_what_they_mean_they_give_the_same(name: str) -> None:
    ort = pytest.importorskip("onnxruntime")
    evaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator
    proto, x = CASES[name]
    plain = with_exact_products(proto)
    assert plain is not None
    assert not has_products(plain.graph)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(plain.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": x})
    (expected,) = evaluator(proto).run(None, {"x": x})
    assert found.dtype == expected.dtype
    assert np.abs(found.astype(np.int64) - expected.astype(np.int64)).max() <= (1 if found.dtype == np.uint8 else 0)


def test_what_cannot_be_written_so_stays() -> None:
    old = model("QLinearConv", QUANTISED, {**SCALES, **CHANNELS, "w": W}, X, TensorProto.UINT8, 10)
    assert has_products(old.graph)
    assert with_exact_products(old) is None  # DequantizeLinear had no axis yet
    assert with_exact_products(model("Cast", ["x"], {}, X, TensorProto.FLOAT, 13, to=1)) is None


def test_which_processors_saturate(tmp_path: Path) -> None:
    assert saturates({"sse4_2", "avx2", "fma"})
    assert not saturates({"avx2", "avx_vnni"})
    assert not saturates({"avx512f", "avx512_vnni"})
    assert not saturates({"asimd", "sve"})
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor : 0\nflags : sse avx2\n\nprocessor : 1\nflags : sse\n")
    assert instruction_sets(tmp_path) == {"sse", "avx2"}
    assert instruction_sets(tmp_path / "gone") == frozenset()
