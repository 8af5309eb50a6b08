"""Shapes of com.microsoft operators against what ONNX Runtime computes, and their costs by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from graphs import cost_from_onnx
from onnx import helper, numpy_helper

from benchbox.graph.contrib import FLOAT, RULES, Given, Made
from benchbox.graph.graph import graph_from_file

Arrays = Mapping[str, np.ndarray]
_RNG = np.random.default_rng(5)


def floats(*shape: int) -> np.ndarray:
    return _RNG.standard_normal(shape).astype(np.float32)


def bytes_of(kind: type, *shape: int) -> np.ndarray:
    return _RNG.integers(0, 100, shape).astype(kind)


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: object) -> onnx.NodeProto:
    name = f"{operator}.{outputs[0]}"
    return helper.make_node(operator, list(inputs), list(outputs), name=name, domain="com.microsoft", **attributes)


def written(path: Path, nodes: Sequence[onnx.NodeProto], fed: Arrays, weights: Arrays) -> Path:
    made = [name for each in nodes for name in each.output if name]
    graph = helper.make_graph(
        list(nodes),
        "net",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in fed.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in made],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString())
    return path


def scale(name: str) -> dict[str, np.ndarray]:
    return {f"{name}s": np.array(0.1, np.float32), f"{name}z": np.array(3, np.uint8)}


def self_attention() -> tuple[list[onnx.NodeProto], Arrays, Arrays]:
    nodes = [node("Attention", ["x", "w", "b", "", "past"], ["y", "present"], num_heads=3)]
    return nodes, {"x": floats(2, 5, 12), "past": floats(2, 2, 3, 4, 4)}, {"w": floats(12, 36), "b": floats(36)}


def wide_values() -> tuple[list[onnx.NodeProto], Arrays, Arrays]:
    """Values that are wider than keys, and a product behind them."""
    nodes = [
        node("Attention", ["x", "w", "b"], ["a"], num_heads=2, qkv_hidden_sizes=[8, 8, 12]),
        helper.make_node("MatMul", ["a", "v"], ["y"], name="product"),
    ]
    return nodes, {"x": floats(2, 5, 6)}, {"w": floats(6, 28), "b": floats(28), "v": floats(12, 3)}


def cross_attention() -> tuple[list[onnx.NodeProto], Arrays, Arrays]:
    fed = {"q": floats(2, 5, 12), "k": floats(2, 7, 12), "v": floats(2, 7, 12)}
    return [node("MultiHeadAttention", ["q", "k", "v", "b"], ["y"], num_heads=3)], fed, {"b": floats(36)}


def with_cache() -> tuple[list[onnx.NodeProto], Arrays, Arrays]:
    inputs = ["q", "q", "q", "", "", "", "pk", "pv"]
    fed = {"q": floats(2, 1, 12), "pk": floats(2, 3, 6, 4), "pv": floats(2, 3, 6, 4)}
    return [node("MultiHeadAttention", inputs, ["y", "nk", "nv"], num_heads=3)], fed, {}


def grouped_queries() -> tuple[list[onnx.NodeProto], Arrays, Arrays]:
    inputs = ["q", "k", "v", "pk", "pv", "seqlens", "total", "cos", "sin"]
    fed = {
        "q": floats(1, 3, 64),
        "k": floats(1, 3, 32),
        "v": floats(1, 3, 32),
        "pk": floats(1, 2, 6, 16),
        "pv": floats(1, 2, 6, 16),
    }
    weights = {"cos": floats(16, 8), "sin": floats(16, 8), "seqlens": np.array([8], np.int32)}
    attributes = {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1}
    nodes = [node("GroupQueryAttention", inputs, ["y", "nk", "nv"], **attributes)]
    return nodes, fed, {**weights, "total": np.array(9, np.int32)}


def packed_queries() -> tuple[list[onnx.NodeProto], Arrays, Arrays]:
    inputs = ["q", "", "", "", "", "seqlens", "total"]
    weights = {"seqlens": np.array([2], np.int32), "total": np.array(3, np.int32)}
    attributes = {"num_heads": 4, "kv_num_heads": 2}
    return [node("GroupQueryAttention", inputs, ["y", "nk", "nv"], **attributes)], {"q": floats(1, 3, 64)}, weights


def embedding() -> tuple[list[onnx.NodeProto], Arrays, Arrays]:
    """Embedding, then twice a skip whose sum goes on."""
    nodes = [
        node("EmbedLayerNormalization", ["ids", "kinds", "w", "p", "s", "g", "b"], ["e", "mask"]),
        node("SkipLayerNormalization", ["e", "e", "g", "b", "b"], ["n", "", "", "sum"]),
        node("SkipSimplifiedLayerNormalization", ["n", "sum", "g"], ["r", "", "", "sum2"]),
        helper.make_node("SimplifiedLayerNormalization", ["sum2", "g"], ["y"], name="rms"),
    ]
    fed = {"ids": bytes_of(np.int32, 2, 5) % 30, "kinds": bytes_of(np.int32, 2, 5) % 2}
    weights = {"w": floats(30, 8), "p": floats(10, 8), "s": floats(2, 8), "g": floats(8), "b": floats(8)}
    return nodes, fed, weights


def fused_products() -> tuple[list[onnx.NodeProto], Arrays, Arrays]:
    nodes = [
        node("FusedMatMul", ["a", "b"], ["c"], transA=1, alpha=0.5),  # (2, 3, 5)ᵀ times (2, 3, 7)
        node("FusedMatMul", ["c", "d"], ["e"], transB=1),  # (2, 5, 7) times (4, 7)ᵀ
        node("FusedMatMul", ["f", "h"], ["i"], transBatchA=1),  # (3, 2, 5) as (2, 3, 5), times (2, 5, 6)
        node("BiasGelu", ["e", "bias"], ["j"]),
        node("FastGelu", ["j", "bias"], ["k"]),
        node("QuickGelu", ["k"], ["y"]),
    ]
    fed = {"a": floats(2, 3, 5), "b": floats(2, 3, 7), "f": floats(3, 2, 5), "h": floats(2, 5, 6)}
    return nodes, fed, {"d": floats(4, 7), "bias": floats(4)}


def few_bits() -> tuple[list[onnx.NodeProto], Arrays, Arrays]:
    nodes = [
        node("MatMulNBits", ["x", "q", "s"], ["h"], K=64, N=48, bits=4, block_size=32),
        node("DynamicQuantizeMatMul", ["h", "w", "ws", "wz"], ["d"]),
        helper.make_node("DynamicQuantizeLinear", ["d"], ["b", "bs", "bz"], name="quantise"),
        node("MatMulIntegerToFloat", ["b", "v", "bs", "ws", "bz", "wz"], ["y"]),
    ]
    weights = {"q": bytes_of(np.uint8, 48, 2, 16), "s": floats(96), "w": bytes_of(np.uint8, 48, 10)}
    weights |= {"v": bytes_of(np.uint8, 10, 6), "ws": np.array(0.01, np.float32), "wz": np.array(50, np.uint8)}
    return nodes, {"x": floats(3, 5, 64)}, weights


def quantised() -> tuple[list[onnx.NodeProto], Arrays, Arrays]:
    """Channels last, as the optimiser writes eight-bit convolutions."""
    nodes = [
        node("QuantizeLinear", ["x", "as", "az"], ["q"]),
        node(
            "QLinearConv", ["q", "as", "az", "w", "as", "wz", "as", "az"], ["c"],
            channels_last=1, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],
        ),
        node("QLinearAdd", ["c", "as", "az", "c", "as", "az", "as", "az"], ["a"]),
        node("QLinearLeakyRelu", ["a", "as", "az", "as", "az"], ["l"], alpha=0.1),
        node("QLinearSigmoid", ["l", "as", "az", "as", "az"], ["g"]),
        node("QLinearAveragePool", ["g", "as", "az", "as", "az"], ["p"], kernel_shape=[2, 2], channels_last=1),
        node("NhwcMaxPool", ["g"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        node("QLinearConcat", ["as", "az", "m", "as", "az", "m", "as", "az"], ["k"], axis=1),
        node("QLinearGlobalAveragePool", ["k", "as", "az", "as", "az"], ["n"], channels_last=1),
        node("DequantizeLinear", ["n", "as", "az"], ["y"]),
    ]  # fmt: skip
    weights = {**scale("a"), "w": bytes_of(np.uint8, 4, 3, 3, 3), "wz": np.array(50, np.uint8)}
    return nodes, {"x": floats(1, 8, 8, 3)}, weights


def quantised_attention() -> tuple[list[onnx.NodeProto], Arrays, Arrays]:
    nodes = [node("QAttention", ["x", "w", "b", "as", "as", "", "az", "az"], ["y"], num_heads=3)]
    return nodes, {"x": bytes_of(np.uint8, 2, 5, 12)}, {"w": bytes_of(np.uint8, 12, 36), "b": floats(36), **scale("a")}


def lstm() -> tuple[list[onnx.NodeProto], Arrays, Arrays]:
    inputs = ["x", "w", "r", "b", "", "", "", "", "ws", "wz", "ws", "wz"]
    weights = {"w": bytes_of(np.uint8, 1, 5, 16), "r": bytes_of(np.uint8, 1, 4, 16), "b": floats(1, 32)}
    weights |= {"ws": np.array([0.01], np.float32), "wz": np.array([50], np.uint8)}
    return [node("DynamicQuantizeLSTM", inputs, ["y", "h", "c"], hidden_size=4)], {"x": floats(7, 2, 5)}, weights


def looked_up() -> tuple[list[onnx.NodeProto], Arrays, Arrays]:
    nodes = [
        node("RotaryEmbedding", ["x", "places", "cos", "sin"], ["r"]),
        node("Trilu", ["r"], ["t"]),
        node("GridSample", ["image", "grid"], ["y"]),
    ]
    fed = {"x": floats(2, 3, 5, 4), "image": floats(1, 3, 6, 6), "grid": floats(1, 4, 5, 2)}
    weights = {"places": np.arange(10, dtype=np.int64).reshape(2, 5) % 5, "cos": floats(8, 2), "sin": floats(8, 2)}
    return nodes, fed, weights


CASES: Mapping[Callable, tuple[int, int]] = {
    self_attention: (2 * 5 * 12 * 36 + 270 * 8, 6 * 270),  # 2 samples, 3 heads, 5 queries, 9 keys
    wide_values: (2 * 5 * 6 * 28 + 100 * (4 + 6) + 2 * 5 * 12 * 3, 6 * 100),
    cross_attention: (210 * 8, 6 * 210 + 2 * (5 * 12 + 7 * 24)),
    with_cache: (42 * 8, 6 * 42),
    grouped_queries: (108 * 32, 6 * 108 + 3 * 3 * 96),
    packed_queries: (36 * 16, 6 * 36),
    embedding: (0, 80 * (9 + 9 + 5 + 4)),
    fused_products: (2 * 5 * 7 * 3 + 2 * 5 * 4 * 7 + 2 * 3 * 6 * 5, 40 * (6 + 9 + 6)),
    few_bits: (15 * (64 * 48 + 48 * 10 + 10 * 6), 4 * 150),
    quantised: (64 * 27, 2 * 192 + 64 * (1 + 2 + 4) + 36 * 4 + 16 * 4 + 32 + 2 * 4),
    quantised_attention: (2 * 5 * 12 * 36 + 150 * 8, 6 * 150),
    lstm: (14 * (80 + 64), 14 * 4 * 22),
    looked_up: (0, 3 * 120 + 9 * 60),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_shapes_are_those_of_a_run_and_costs_those_by_hand(case: Callable, tmp_path: Path) -> None:
    nodes, fed, weights = case()
    path = written(tmp_path / "net.onnx", nodes, fed, weights)
    graph = graph_from_file(path)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    arrays = session.run(None, dict(fed))
    ran = {output.name: array.shape for output, array in zip(session.get_outputs(), arrays, strict=True)}
    assert {tensor.name: tensor.shape for view in graph.nodes for tensor in view.outputs} == ran
    cost = cost_from_onnx(path)
    assert (cost.macs, cost.flops - 2 * cost.macs) == CASES[case]


def test_packed_weights_count_one_parameter_a_number(tmp_path: Path) -> None:
    nodes, fed, weights = few_bits()
    cost = cost_from_onnx(written(tmp_path / "net.onnx", nodes[:1], fed, {name: weights[name] for name in "qs"}))
    assert cost.params == 64 * 48


def test_a_cache_and_rotations_are_no_parameters(tmp_path: Path) -> None:
    nodes, fed, weights = grouped_queries()
    assert cost_from_onnx(written(tmp_path / "net.onnx", nodes, fed, weights)).params == 0
    nodes, fed, weights = cross_attention()
    assert cost_from_onnx(written(tmp_path / "net.onnx", nodes, fed, weights)).params == 36


@pytest.mark.parametrize(
    ("operator", "shapes", "attributes", "made"),
    [
        ("BiasSplitGelu", [(2, 5, 8), (8,)], {}, (Made(shape=(2, 5, 4)),)),
        ("SkipGroupNorm", [(1, 4, 4, 8)], {}, (Made(shape=(1, 4, 4, 8)),) * 2),
        ("MultiHeadAttention", [(2, 5, 3, 3, 4)], {"num_heads": 3},
         (Made(shape=(2, 5, 12)), Made(shape=(2, 3, 5, 4)), Made(shape=(2, 3, 5, 4)))),
        ("MultiHeadAttention", [(2, 5, 12), (2, 3, 7, 4), (2, 3, 7, 6)], {"num_heads": 3},
         (Made(shape=(2, 5, 18)), Made(shape=(2, 3, 7, 4)), Made(shape=(2, 3, 7, 6)))),
        ("QLinearWhere", [(5, 1), (2, 1, 7), None, None, ()], {}, (Made(shape=(2, 5, 7), like=1),)),
        ("QLinearReduceMean", [(2, 3, 4)], {"axes": (-1,), "keepdims": 0}, (Made(shape=(2, 3)),)),
        ("QLinearAveragePool", [(1, 3, 8, 9)], {"kernel_shape": (3, 3), "strides": (2, 2), "ceil_mode": 1},
         (Made(shape=(1, 3, 4, 4)),)),
        ("QLinearAveragePool", [(1, 3, 8, 9)], {"kernel_shape": (3, 3), "strides": (2, 2), "auto_pad": b"SAME_UPPER"},
         (Made(shape=(1, 3, 4, 5)),)),
        ("GatherBlockQuantized", [(30, 16), (2, 5), (30, 1)], {"bits": 4, "block_size": 32},
         (Made(shape=(2, 5, 16), like=2),)),
        ("GatherBlockQuantized", [(30, 32), (2, 5), (30, 2)], {"bits": 4, "block_size": 32},
         (Made(shape=(2, 5, 64), like=2),)),
        ("QGemm", [(3, 4), (), (), (6, 4)], {"transB": 1}, (Made(shape=(3, 6), kind=FLOAT),)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_no_cpu_runs_follows_from_its_description(
    operator: str, shapes: list[tuple[int, ...] | None], attributes: dict[str, object], made: tuple[Made, ...]
) -> None:
    given = Given(shapes=shapes, values=[None] * len(shapes), attributes=attributes)  # type: ignore[arg-type]
    assert RULES[operator](given) == made


@pytest.mark.parametrize("operator", sorted(RULES))
def test_what_does_not_fit_has_no_shape(operator: str) -> None:
    for shapes in ([], [()], [None] * 9, [(3,)] * 9):
        given = Given(shapes=shapes, values=[None] * len(shapes), attributes={})
        assert all(one is None or min(one.shape, default=0) >= 0 for one in RULES[operator](given))
