"""Some 150 usual forms of operators at the opsets that files in use have, as models with fixed sizes.

A form is an operator with its attributes, what it is fed and what it reads as a constant. Files below opset 9 list
their constants among the inputs, as exporters of that time wrote them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Form:
    """One node, or a few in a row, at an opset; ``outputs`` of the last."""

    name: str
    opset: int
    nodes: tuple[onnx.NodeProto, ...]
    feeds: Arrays
    constants: Arrays = field(default_factory=dict)

    @property
    def model(self) -> onnx.ModelProto:
        """Checked by nobody; the types and shapes of its outputs are inferred as far as onnx can."""
        inputs = [_declared(name, array) for name, array in self.feeds.items()]
        stored = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        if self.opset < 9:
            inputs += [_declared(name, array) for name, array in self.constants.items()]
        outputs = [onnx.ValueInfoProto(name=name) for name in self.nodes[-1].output]
        graph = helper.make_graph(list(self.nodes), "form", inputs, outputs, stored)
        opsets = [helper.make_opsetid("", self.opset)]
        ir_version = 3 if self.opset < 9 else 8 if self.opset < 19 else 9
        return onnx.shape_inference.infer_shapes(
            helper.make_model(graph, opset_imports=opsets, ir_version=ir_version), strict_mode=False
        )


def _declared(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


_RNG = np.random.default_rng(5)
PICTURE = _RNG.standard_normal((2, 4, 12, 12)).astype(np.float32)
LINE = _RNG.standard_normal((2, 5, 16)).astype(np.float32)


def _w(*shape: int) -> np.ndarray:
    return (_RNG.standard_normal(shape) * 0.2).astype(np.float32)


def _i(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def _f(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def _form(
    operator: str,
    opset: int,
    feeds: Arrays | np.ndarray,
    constants: Sequence[np.ndarray | None] = (),
    outputs: int = 1,
    title: str = "",
    **attributes: object,
) -> Form:
    """One node: it reads the feeds, then the constants; None is an input left out."""
    fed = feeds if isinstance(feeds, dict) else {"x": feeds}
    names = ["" if array is None else f"c{place}" for place, array in enumerate(constants)]
    node = helper.make_node(operator, [*fed, *names], [f"y{place}" for place in range(outputs)], **attributes)
    stored = {name: array for name, array in zip(names, constants, strict=True) if array is not None}
    name = f"{operator}-{opset}" + (f"-{title}" if title else "")
    return Form(name=name, opset=opset, nodes=(node,), feeds=fed, constants=stored)


def forms() -> Iterator[Form]:
    """All forms."""
    yield from _normalisations()
    yield from _resizing()
    yield from _shapes()
    yield from _windows()
    yield from _elementwise()
    yield from _recurrent()
    yield from _indexing()
    yield from _eight_bit()
    yield from _rest()


def _normalisations() -> Iterator[Form]:
    four = [_f(1, 2, 1, 1), _f(0, 1, 0, 0), _f(0.1, 0.2, 0.3, 0.4), _f(1, 2, 1, 0.5)]
    for opset in (7, 9, 13, 14, 15):
        yield _form("BatchNormalization", opset, PICTURE, four)
    for opset in (7, 13, 18):
        yield _form("LRN", opset, PICTURE, size=5, alpha=0.1)
        yield _form("LRN", opset, PICTURE, title="size-3", size=3, alpha=0.1)
    for opset in (7, 11, 13):
        yield _form("Softmax", opset, LINE, axis=1)
        yield _form("LogSoftmax", opset, LINE, axis=1)
    yield _form("InstanceNormalization", 7, PICTURE, four[:2])
    yield _form("GroupNormalization", 21, PICTURE, four[:2], num_groups=2)
    yield _form("LayerNormalization", 17, LINE, [_w(16)])
    yield _form("LpNormalization", 7, PICTURE, axis=1, p=2)
    yield _form("MeanVarianceNormalization", 13, PICTURE)
    yield _form("Hardmax", 7, LINE, title="rows", axis=2)
    yield _form("Hardmax", 11, LINE)


def _resizing() -> Iterator[Form]:
    scales = _f(1, 1, 2, 2)
    yield _form("Upsample", 7, PICTURE, mode="nearest", scales=[1.0, 1.0, 2.0, 2.0])
    yield _form("Upsample", 9, PICTURE, [scales], mode="nearest")
    yield _form("Upsample", 9, PICTURE, [scales], title="linear", mode="linear")
    yield _form("Upsample", 7, PICTURE, title="linear", mode="linear", scales=[1.0, 1.0, 2.0, 2.0])
    yield _form("Upsample", 9, PICTURE, [_f(1, 1, 1.7, 1.7)], title="uneven", mode="nearest")
    yield _form("Resize", 10, PICTURE, [scales], mode="nearest")
    for title, factor in (("larger", 1.7), ("smaller", 0.6)):
        for mode in ("nearest", "linear"):
            yield _form("Resize", 10, PICTURE, [_f(1, 1, factor, factor)], title=f"{mode}-{title}", mode=mode)
    kinds = (
        ("nearest", "asymmetric", "floor"),
        ("linear", "half_pixel", "round_prefer_floor"),
        ("linear", "align_corners", "floor"),
        ("linear", "pytorch_half_pixel", "floor"),
        ("cubic", "half_pixel", "floor"),
    )
    for opset in (11, 13, 18):
        for mode, where, rounding in kinds:
            yield _form(
                "Resize",
                opset,
                PICTURE,
                [_f(), scales],
                title=f"{mode}-{where}",
                mode=mode,
                coordinate_transformation_mode=where,
                nearest_mode=rounding,
            )
    grid = {"x": PICTURE, "grid": _RNG.uniform(-1, 1, (2, 5, 5, 2)).astype(np.float32)}
    for mode in ("bilinear", "nearest", "bicubic"):
        yield _form("GridSample", 16, grid, title=mode, mode=mode)
    yield _form("GridSample", 20, grid, mode="linear")
    for opset in (10, 16):
        regions = {"x": PICTURE, "rois": _f(0, 0, 6, 6, 2, 2, 9, 9).reshape(2, 4), "batch": _i(0, 1)}
        sizes = {"output_height": 3, "output_width": 3, "sampling_ratio": 2, "spatial_scale": 1.0}
        yield _form("RoiAlign", opset, regions, **sizes)


def _shapes() -> Iterator[Form]:
    yield _form("Pad", 7, PICTURE, pads=[0, 0, 1, 1, 0, 0, 1, 1], mode="reflect")
    for opset in (11, 13, 18):
        yield _form("Pad", opset, PICTURE, [_i(0, 0, 1, 1, 0, 0, 1, 1)], mode="reflect")
    yield _form("Slice", 7, PICTURE, axes=[2], starts=[1], ends=[5])
    for opset in (10, 13):
        yield _form("Slice", opset, PICTURE, [_i(0), _i(9999999), _i(2), _i(2)], title="step")
    for mode in ("DCR", "CRD"):
        yield _form("DepthToSpace", 13, PICTURE, title=mode, blocksize=2, mode=mode)
    yield _form("SpaceToDepth", 13, PICTURE, blocksize=2)
    yield _form("Flatten", 7, PICTURE, axis=2)
    yield _form("Split", 7, PICTURE, outputs=2, axis=1, split=[1, 3])
    yield _form("Split", 13, PICTURE, outputs=2, title="halves", axis=1)
    yield _form("Squeeze", 7, PICTURE[:, :1], axes=[1])
    yield _form("Unsqueeze", 7, PICTURE, axes=[1])
    yield _form("Trilu", 14, LINE)
    yield _form("Col2Im", 18, _w(1, 5, 5), [_i(5, 5), _i(1, 5)])


def _windows() -> Iterator[Form]:
    square = {"kernel_shape": [3, 3], "strides": [2, 2]}
    for opset in (7, 11, 13):
        yield _form("AveragePool", opset, PICTURE, title="pad", pads=[1, 1, 1, 1], **square)
    for opset in (10, 13, 19):
        yield _form("AveragePool", opset, PICTURE, title="ceil", ceil_mode=1, **square)
    yield _form("MaxPool", 8, PICTURE, pads=[1, 1, 1, 1], **square)
    for opset in (10, 12):
        yield _form("MaxPool", opset, PICTURE, title="ceil", pads=[1, 1, 1, 1], ceil_mode=1, **square)
    yield _form("MaxPool", 12, PICTURE, title="same", auto_pad="SAME_UPPER", **square)
    yield _form("GlobalLpPool", 7, PICTURE)
    for opset in (7, 11):
        yield _form("Conv", opset, PICTURE, [_w(4, 1, 3, 3)], title="group", group=4, auto_pad="SAME_UPPER")
        yield _form("Conv", opset, PICTURE, [_w(6, 4, 3, 3)], title="dilated", dilations=[2, 2], pads=[2, 2, 2, 2])
        spread = {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}
        yield _form("ConvTranspose", opset, PICTURE, [_w(4, 6, 3, 3)], **spread)
    yield _form("Conv", 11, LINE, [_w(6, 5, 3)], title="1d", pads=[1, 1])
    yield _form("ConvTranspose", 11, PICTURE, [_w(4, 3, 2, 2)], title="group", strides=[2, 2], group=2)
    pool = helper.make_node("MaxPool", ["x"], ["p", "i"], kernel_shape=[2, 2], strides=[2, 2])
    back = helper.make_node("MaxUnpool", ["p", "i"], ["y0"], kernel_shape=[2, 2], strides=[2, 2])
    yield Form(name="MaxUnpool-11", opset=11, nodes=(pool, back), feeds={"x": PICTURE})


def _elementwise() -> Iterator[Form]:
    yield _form("Clip", 7, PICTURE, min=0.0, max=6.0)
    for opset in (11, 13):
        yield _form("Clip", opset, PICTURE, [np.array(0, np.float32), np.array(6, np.float32)])
    for opset in (7, 10, 12, 13):
        yield _form("Dropout", opset, PICTURE)
    for opset in (7, 16):
        yield _form("PRelu", opset, PICTURE, [_w(4, 1, 1)])
    newest = {
        **dict.fromkeys(("HardSigmoid", "Elu", "LeakyRelu", "Selu", "Softplus", "Softsign"), 7),
        "Erf": 9,
        "Sign": 9,
        "ThresholdedRelu": 10,
        "Round": 11,
        "Celu": 12,
        "HardSwish": 14,
        "Mish": 18,
        "Gelu": 20,
    }
    for operator, opset in newest.items():
        yield _form(operator, opset, PICTURE)
    for opset in (7, 11, 13):
        yield _form("ReduceMean", opset, LINE, axes=[1])
        yield _form("Gemm", opset, LINE[:, 0], [_w(7, 16), _w(7)], transB=1, alpha=0.5, beta=2.0)
    yield _form("ReduceL2", 13, LINE, axes=[1])
    yield _form("ReduceLogSumExp", 13, LINE, axes=[1])
    yield _form("Einsum", 12, LINE, [_w(16, 3)], equation="bij,jk->bik")
    yield _form("CumSum", 14, LINE, [np.array(1, np.int64)])


def _recurrent() -> Iterator[Form]:
    for direction in ("forward", "reverse", "bidirectional"):
        ways = 2 if direction == "bidirectional" else 1
        kind = {"hidden_size": 6, "direction": direction, "title": direction}

        def weights(gates: int, ways: int = ways) -> list[np.ndarray]:
            return [_w(ways, gates * 6, 16), _w(ways, gates * 6, 6), _w(ways, 2 * gates * 6)]

        yield _form("LSTM", 14, LINE, weights(4), 3, **kind)
        yield _form("GRU", 14, LINE, weights(3), 2, **kind)
        yield _form("RNN", 14, LINE, weights(1), 2, **kind)
        kind["title"] = f"{direction}-before-reset"
        yield _form("GRU", 14, LINE, weights(3), 2, linear_before_reset=1, **kind)


def _indexing() -> Iterator[Form]:
    for rows in (10, 40, 100):
        feeds = {"x": _w(2, rows, 4), "i": _RNG.integers(0, rows, (2, 8, 4))}
        yield _form("GatherElements", 13, feeds, title=str(rows), axis=1)
    for rows in (10, 100):
        feeds = {"x": _w(2, rows), "i": _RNG.integers(0, rows, (2, rows))}
        yield _form("GatherElements", 13, feeds, title=f"whole-{rows}", axis=1)
    yield _form("GatherND", 13, {"x": LINE, "i": _RNG.integers(0, 5, (2, 3, 1))}, batch_dims=1)
    yield _form("ScatterND", 16, {"x": LINE, "i": _i(0, 1).reshape(2, 1), "u": _w(2, 5, 16)})
    updates = {"x": LINE, "i": _RNG.integers(0, 5, (2, 3, 16)), "u": _w(2, 3, 16)}
    yield _form("ScatterElements", 18, updates, title="add", axis=1, reduction="add")
    for opset in (10, 11):
        yield _form("TopK", opset, LINE, [_i(3)], 2, axis=1)
    yield _form("OneHot", 11, {"i": _RNG.integers(0, 5, (2, 3))}, [np.array(5, np.int64), _f(0, 1)])
    corners = np.sort(_RNG.uniform(0, 1, (1, 20, 4)).astype(np.float32), axis=-1)
    boxes = {"boxes": corners, "scores": _RNG.uniform(0, 1, (1, 3, 20)).astype(np.float32)}
    yield _form("NonMaxSuppression", 11, boxes, [_i(5), _f(0.5), _f(0.3)])


def _eight_bit() -> Iterator[Form]:
    bytes_ = {"x": _RNG.integers(0, 255, (2, 4, 8, 8)).astype(np.uint8)}
    weights = _RNG.integers(-100, 100, (6, 4, 3, 3)).astype(np.int8)
    x = [np.array(0.02, np.float32), np.array(128, np.uint8)]
    w = [weights, np.array(0.01, np.float32), np.array(0, np.int8)]
    yield _form("QLinearConv", 10, bytes_, [*x, *w, np.array(0.1, np.float32), np.array(120, np.uint8)])
    yield _form("ConvInteger", 10, bytes_, [(weights.astype(np.int16) + 120).astype(np.uint8)])
    rows = {"x": _RNG.integers(0, 255, (2, 8)).astype(np.uint8)}
    yield _form("MatMulInteger", 10, rows, [_RNG.integers(-100, 100, (8, 6)).astype(np.int8)])
    yield _form("DynamicQuantizeLinear", 11, LINE, outputs=3)
    per_axis = [_f(0.01, 0.02, 0.03, 0.04), np.zeros(4, np.int8)]
    for opset, pair in ((10, x), (13, per_axis)):
        nodes = tuple(
            helper.make_node(operator, [given, "s", "z"], [made])
            for operator, given, made in (("QuantizeLinear", "x", "q"), ("DequantizeLinear", "q", "y0"))
        )
        constants = {"s": pair[0], "z": pair[1]}
        yield Form(name=f"QuantizeLinear-{opset}", opset=opset, nodes=nodes, feeds={"x": PICTURE}, constants=constants)


def _rest() -> Iterator[Form]:
    yield _form("DFT", 17, LINE[..., None], axis=1)
    yield _form("STFT", 17, _w(1, 64, 1), [np.array(8, np.int64), None, np.array(16, np.int64)])
    yield _form("MatMul", 13, LINE, [_w(16, 3)])
    yield _form("Concat", 13, {"x": LINE, "z": LINE + 1}, axis=1)
    yield _form("Expand", 13, LINE[:, :1], [_i(2, 5, 16)])
    yield _form("Where", 16, {"x": LINE > 0, "a": LINE, "b": -LINE})
    yield _form("Mod", 13, {"x": LINE}, [np.array(0.7, np.float32)], fmod=1)
