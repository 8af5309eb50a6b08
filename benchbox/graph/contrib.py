"""Which shapes do the com.microsoft operators make that ONNX Runtime's optimiser, quantiser and converters write?

ONNX knows none of them (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md). A rule sees the
shapes of a node's inputs and says those of its outputs, as far as they follow, and of which type they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]
# Numbers of ONNX's element types (onnx.TensorProto), which is not imported for them.
FLOAT, UINT8, INT32 = 1, 2, 6


@dataclass(frozen=True, kw_only=True)
class Made:
    """The shape of an output; its type is that of the input at ``like``, or ``kind`` where that is no 0."""

    shape: Shape
    like: int = 0
    kind: int = 0


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a rule sees of a node: shapes of inputs and small constants among them, None where not known."""

    shapes: Sequence[Shape | None]
    values: Sequence[tuple[float, ...] | None]
    attributes: Mapping[str, tuple[float, ...] | int | bytes]

    def shape(self, place: int, rank: int | None = None) -> Shape | None:
        """The shape of an input; None where it is left out, not known, or of another rank."""
        found = self.shapes[place] if place < len(self.shapes) else None
        return found if found is None or rank in (None, len(found)) else None

    def integer(self, name: str, default: int = 0) -> int:
        """A whole number among the attributes."""
        found = self.attributes.get(name, default)
        return found if isinstance(found, int) else default

    def integers(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers among the attributes, empty where there is none."""
        found = self.attributes.get(name, ())
        return tuple(map(int, found)) if isinstance(found, tuple) else ()


Outputs = tuple[Made | None, ...]
Rule = Callable[[Given], Outputs]


def _same(given: Given) -> Outputs:
    shape = given.shape(0)
    return (Made(shape=shape),) if shape is not None else ()


def _typed_by(place: int) -> Rule:
    def rule(given: Given) -> Outputs:
        shape = given.shape(0)
        kind = UINT8 if place >= len(given.shapes) else 0
        return (Made(shape=shape, like=place, kind=kind),) if shape is not None else ()

    return rule


def _halved(given: Given) -> Outputs:
    shape = given.shape(0)
    return (Made(shape=(*shape[:-1], shape[-1] // 2)),) if shape else ()


def _normalised_sum(given: Given) -> Outputs:
    """SkipGroupNorm: the normalised sum, and the sum."""
    shape = given.shape(0)
    return (Made(shape=shape), Made(shape=shape)) if shape is not None else ()


def _skipped(given: Given) -> Outputs:
    """SkipLayerNormalization: the normalised sum, mean and inverse deviation, the sum."""
    shape = given.shape(0)
    if shape is None:
        return ()
    sums = Made(shape=(*shape[:-1], 1), kind=FLOAT)
    return Made(shape=shape), sums, sums, Made(shape=shape)


def _embedded(given: Given, *, like: int) -> Outputs:
    """EmbedLayerNormalization: ids (batch, length), tables of words, positions and segments; types are the weights'."""
    ids, table = given.shape(0, 2), given.shape(2, 2)
    if ids is None or table is None:
        return ()
    whole = Made(shape=(*ids, table[1]), like=like)
    return whole, Made(shape=ids[:1], kind=INT32), whole


def _attention(given: Given, *, past: int, like: int) -> Outputs:
    """Attention, QAttention: the input (batch, length, width), and the weights of Q, K and V side by side."""
    data, weight, heads = given.shape(0, 3), given.shape(1, 2), given.integer("num_heads")
    if data is None or weight is None or heads < 1:
        return ()
    sizes = given.integers("qkv_hidden_sizes")
    width = sizes[2] if len(sizes) == 3 else weight[1] // 3
    before = given.shape(past, 5)
    length = data[1] + (before[3] if before is not None else 0)
    return (
        Made(shape=(*data[:2], width), like=like),
        Made(shape=(2, data[0], heads, length, width // heads), like=like),
    )


def _many_headed(given: Given) -> Outputs:
    """MultiHeadAttention: Q (batch, length, width) with K and V alike or split by heads, or all of them packed."""
    query, key, value, heads = given.shape(0), given.shape(1), given.shape(2), given.integer("num_heads")
    if query is None or heads < 1 or len(query) not in (3, 5):
        return ()
    past = given.shape(6, 4)
    if len(query) == 5:  # (batch, length, heads, 3, size)
        length, size, value_size = query[1], query[4], query[4]
    elif key is None:
        return ()
    elif len(key) == 5:  # (batch, length, heads, 2, size)
        length, size, value_size = key[1], key[4], key[4]
    elif len(key) == 4:  # (batch, heads, length, size), with all that came before
        length, size = key[2], key[3]
        value_size = value[3] if value is not None and len(value) == 4 else size
    elif len(key) != 3:
        return ()
    else:
        length, size = key[1], key[2] // heads
        value_size = value[2] // heads if value is not None and len(value) == 3 else size
    total = length + (past[2] if past is not None else 0)
    return (
        Made(shape=(*query[:2], heads * value_size)),
        Made(shape=(query[0], heads, total, size)),
        Made(shape=(query[0], heads, total, value_size)),
    )


def _grouped_queries(given: Given) -> Outputs:
    """GroupQueryAttention: fewer heads of K and V than of Q, which may all be packed in one input."""
    query, key, past = given.shape(0, 3), given.shape(1, 3), given.shape(3, 4)
    heads, kept = given.integer("num_heads"), given.integer("kv_num_heads")
    if query is None or heads < 1 or kept < 1:
        return ()
    size = query[2] // (heads if key is not None else heads + 2 * kept)
    length = query[1] + (past[2] if past is not None else 0)
    said = given.values[6] if len(given.values) > 6 else None
    if said and past is not None:  # a cache that is allocated for the longest sequence
        length = max(past[2], int(said[0]))
    cache = Made(shape=(query[0], kept, length, size))
    return Made(shape=(*query[:2], heads * size)), cache, cache


def _matrix_product(given: Given) -> Outputs:
    a, b = given.shape(0), given.shape(1)
    if a is None or b is None or len(a) < 2 or len(b) < 2:
        return ()
    a, b = _oriented(a, given, "A"), _oriented(b, given, "B")
    wide, other = (a[:-2], b[:-2]) if len(a) >= len(b) else (b[:-2], a[:-2])
    other = (1,) * (len(wide) - len(other)) + other
    batches = (one if two == 1 else two for one, two in zip(wide, other, strict=True))
    return (Made(shape=(*batches, a[-2], b[-1])),)


def _oriented(shape: Shape, given: Given, side: str) -> Shape:
    """A factor's shape as it is multiplied: the first of its axes may be moved to the place before the last."""
    if given.integer(f"transBatch{side}") and len(shape) > 2:
        shape = (*shape[1:-1], shape[0], shape[-1])
    return (*shape[:-2], shape[-1], shape[-2]) if given.integer(f"trans{side}") else shape


def _float_product(given: Given) -> Outputs:
    return tuple(made and Made(shape=made.shape, kind=FLOAT) for made in _matrix_product(given))


def _quantised_product(given: Given) -> Outputs:
    """QGemm: A with scale and zero point, then B; fp32 where the output has no scale of its own."""
    a, b = given.shape(0, 2), given.shape(3, 2)
    if a is None or b is None:
        return ()
    shape = (a[1] if given.integer("transA") else a[0], b[0] if given.integer("transB") else b[1])
    return (Made(shape=shape, kind=0 if given.shape(7) is not None else FLOAT),)


def _few_bits(given: Given) -> Outputs:
    """MatMulNBits and its like: the weights are packed, and their sizes K and N are attributes."""
    data, columns = given.shape(0), given.integer("N")
    return (Made(shape=(*data[:-1], columns)),) if data and columns > 0 else ()


def _gathered_blocks(given: Given) -> Outputs:
    """GatherBlockQuantized: rows of a table of 4 or 8 bits a number, two of 4 in a byte of uint8."""
    table, places = given.shape(0), given.shape(1)
    axis = given.integer("gather_axis")
    if not table or places is None or not -len(table) <= axis < len(table):
        return ()
    axis %= len(table)
    scales = given.shape(2, len(table))
    blocks = given.integer("block_size", 128)
    last = table[-1]
    if scales is not None and scales[-1] > math.ceil(last / blocks):  # packed: fewer bytes than numbers
        last *= 8 // max(1, given.integer("bits", 4))
    rows = (*table[:-1], last)
    return (Made(shape=(*rows[:axis], *places, *rows[axis + 1 :]), like=2),)


def _pooled_globally(given: Given) -> Outputs:
    source = given.shape(0)
    if source is None or len(source) < 3:
        return ()
    if given.integer("channels_last"):
        return (Made(shape=(source[0], *(1 for _ in source[1:-1]), source[-1])),)
    return (Made(shape=(*source[:2], *(1 for _ in source[2:]))),)


def _pooled(given: Given, *, last: bool | None = None) -> Outputs:
    return _slid(given, given.integers("kernel_shape"), None, last=last)


def _convolved(given: Given) -> Outputs:
    """QLinearConv of either layout: the weights are (C_out, C_in/groups, *kernel) in both."""
    weight = given.shape(3)
    made = _slid(given, weight[2:], weight[0]) if weight else ()
    return tuple(one and Made(shape=one.shape, like=7) for one in made)


def _slid(given: Given, kernel: Shape, channels: int | None, *, last: bool | None = None) -> Outputs:
    """The shape that a window leaves which slides over an image (ONNX, Conv and MaxPool: output_spatial_shape)."""
    source = given.shape(0, len(kernel) + 2) if kernel else None
    if source is None:
        return ()
    last = bool(given.integer("channels_last")) if last is None else last
    sides = source[1:-1] if last else source[2:]
    rank = len(kernel)
    strides, dilations = given.integers("strides") or (1,) * rank, given.integers("dilations") or (1,) * rank
    pads = given.integers("pads") or (0,) * (2 * rank)
    if (len(strides), len(dilations), len(pads)) != (rank, rank, 2 * rank) or min(strides) < 1:
        return ()
    padding = given.attributes.get("auto_pad", b"NOTSET")
    if padding in (b"SAME_UPPER", b"SAME_LOWER"):
        found = [-(-side // stride) for side, stride in zip(sides, strides, strict=True)]
    else:
        found = []
        for axis, side in enumerate(sides):
            free = side - (kernel[axis] - 1) * dilations[axis] - 1
            free += 0 if padding == b"VALID" else pads[axis] + pads[rank + axis]
            found.append((-(-free // strides[axis]) if given.integer("ceil_mode") else free // strides[axis]) + 1)
    width = channels if channels is not None else source[-1 if last else 1]
    return (Made(shape=(source[0], *found, width) if last else (source[0], width, *found)),)


def _reduced(given: Given) -> Outputs:
    source = given.shape(0)
    if source is None:
        return ()
    axes = {axis % len(source) for axis in given.integers("axes")} if source else set()
    axes = axes or set(range(len(source)))
    if given.integer("keepdims", 1):
        return (Made(shape=tuple(1 if axis in axes else size for axis, size in enumerate(source))),)
    return (Made(shape=tuple(size for axis, size in enumerate(source) if axis not in axes)),)


def _concatenated(given: Given) -> Outputs:
    """QLinearConcat: the output's scale and zero point, then each part with its own."""
    parts, axis = given.shapes[2::3], given.integer("axis")
    first = parts[0] if parts else None
    if not first or not -len(first) <= axis < len(first):
        return ()
    axis %= len(first)
    sizes = [part[axis] for part in parts if part is not None and len(part) == len(first)]
    if len(sizes) < len(parts):
        return ()
    return (Made(shape=(*first[:axis], sum(sizes), *first[axis + 1 :]), like=2),)


def _chosen(given: Given) -> Outputs:
    """QLinearWhere: a condition, then two quantised tensors; all broadcast."""
    shapes = [given.shape(place) for place in (0, 1, 4)]
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes):
        return ()
    rank = max(map(len, known))
    aligned = [(1,) * (rank - len(shape)) + shape for shape in known]
    return (Made(shape=tuple(0 if 0 in sizes else max(sizes) for sizes in zip(*aligned, strict=True)), like=1),)


def _recurrent(given: Given) -> Outputs:
    """DynamicQuantizeLSTM: X (length, batch, width); W and R are (directions, width, 4·hidden)."""
    data, state = given.shape(0, 3), given.shape(2, 3)
    if data is None or state is None:
        return ()
    directions, hidden = state[0], state[1]
    last = Made(shape=(directions, data[1], hidden))
    return Made(shape=(data[0], directions, data[1], hidden)), last, last


def _sampled(given: Given) -> Outputs:
    """GridSample: the channels of the image at the places of the grid."""
    image, grid = given.shape(0, 4), given.shape(1, 4)
    return (Made(shape=(*image[:2], *grid[1:3])),) if image is not None and grid is not None else ()


def _relative_positions(given: Given) -> Outputs:
    """RelativePositionBias: of each head, for each query and key."""
    table, sizes = given.shape(0, 2), [given.values[place] if place < len(given.values) else None for place in (1, 2)]
    if table is None or not sizes[0] or not sizes[1]:
        return ()
    return (Made(shape=(1, table[1], int(sizes[0][0]), int(sizes[1][0]))),)


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(
        (
            *("BiasAdd", "BiasDropout", "BiasGelu", "BiasSoftmax", "FastGelu", "Gelu", "GroupNorm", "Inverse"),
            *("LayerNormalization", "QLinearLeakyRelu", "QLinearSigmoid", "QLinearSoftmax", "QuickGelu"),
            *("RotaryEmbedding", "SimplifiedLayerNormalization", "Trilu"),
        ),
        _same,
    ),
    "Attention": lambda given: _attention(given, past=4, like=0),
    "BiasSplitGelu": _halved,
    "DequantizeLinear": _typed_by(1),
    "DynamicQuantizeLSTM": _recurrent,
    "DynamicQuantizeMatMul": _float_product,
    "EmbedLayerNormalization": lambda given: _embedded(given, like=5),
    "FusedMatMul": _matrix_product,
    "FusedMatMulActivation": _matrix_product,
    "GatherBlockQuantized": _gathered_blocks,
    "GemmFastGelu": _matrix_product,
    "GridSample": _sampled,
    "GroupQueryAttention": _grouped_queries,
    "MatMulBnb4": _few_bits,
    "MatMulIntegerToFloat": _float_product,
    "MatMulNBits": _few_bits,
    "MultiHeadAttention": _many_headed,
    "NhwcMaxPool": lambda given: _pooled(given, last=True),
    "QAttention": lambda given: _attention(given, past=8, like=3),
    "QEmbedLayerNormalization": lambda given: _embedded(given, like=8),
    "QGemm": _quantised_product,
    "QLinearAveragePool": _pooled,
    "QLinearConcat": _concatenated,
    "QLinearConv": _convolved,
    "QLinearGlobalAveragePool": _pooled_globally,
    "QLinearReduceMean": _reduced,
    "QLinearWhere": _chosen,
    "QuantizeLinear": _typed_by(2),
    "RelativePositionBias": _relative_positions,
    "SkipGroupNorm": _normalised_sum,
    "SkipLayerNormalization": _skipped,
    "SkipSimplifiedLayerNormalization": _skipped,
    "TransposeMatMul": _matrix_product,
}
