"""Which operators does ONNX's shape inference leave open or get wrong, and what has the same shapes?

For inference alone such a node is replaced by one that ONNX infers correctly and whose output has the same shape and
type (``with_stand_ins``); where no operator has, the shape is computed here (``own_shapes``). The graph that is counted
keeps its own nodes.

* GroupNormalization and MeanVarianceNormalization: the inference of their function bodies fails.
* Loop: what is carried from turn to turn may change its shape; here it keeps it, which ``graph.py`` checks.
* STFT: the inference takes ``onesided`` for 0 where it is left out; its default is 1.
* MaxUnpool with a size given: the inference leaves the shape open.
* com.microsoft operators that quantised and optimised files hold: ONNX does not know them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from benchbox.graph.opset import STANDARD_DOMAINS

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]
_MICROSOFT = "com.microsoft"
_TRUE = "benchbox.true"
_SAME = frozenset(
    {
        *("GroupNormalization", "MeanVarianceNormalization"),
        *("BiasGelu", "FastGelu", "Gelu", "QuickGelu", "QLinearLeakyRelu", "QLinearSigmoid", "QLinearSoftmax"),
        *("BiasSplitGelu", "SimplifiedLayerNormalization", "SkipLayerNormalization"),
        *("SkipSimplifiedLayerNormalization", "RotaryEmbedding", "LayerNormalization"),
    }
)
_STANDARD_SAME = frozenset({"GroupNormalization", "MeanVarianceNormalization"})
# Of the operators whose shapes are computed here, those that write float32 whatever they read.
_FLOAT = frozenset({"DynamicQuantizeMatMul", "MatMulIntegerToFloat"})
_FUSED = {"FusedConv": "Conv", "FusedGemm": "Gemm"}
_FUSED_ATTRIBUTES = frozenset({"activation", "activation_params", "activation_alpha", "activation_beta"})


def with_stand_ins(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model for shape inference; the same object where nothing is to be replaced."""
    import onnx

    places = {place: made for place, node in enumerate(proto.graph.node) if (made := _stand_ins(node))}
    if not places:
        return proto
    scratch = copy.deepcopy(proto)
    kept = list(copy.deepcopy(proto).graph.node)
    del scratch.graph.node[:]
    scratch.graph.node.extend(made for place, node in enumerate(kept) for made in places.get(place, [node]))
    if any(_TRUE in node.input for made in places.values() for node in made):
        scratch.graph.initializer.append(onnx.helper.make_tensor(_TRUE, onnx.TensorProto.BOOL, [], [True]))
    return scratch


def _stand_ins(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    from onnx import helper

    if node.domain in STANDARD_DOMAINS and node.op_type == "Loop":
        carried = zip(node.input[2:], node.output, strict=False)
        return [helper.make_node("Identity", [given], [made]) for given, made in carried if given and made]
    alone = _stand_in(node)
    return [] if alone is None else [alone]


def _stand_in(node: onnx.NodeProto) -> onnx.NodeProto | None:
    from onnx import helper

    if node.domain in STANDARD_DOMAINS:
        if node.op_type in _STANDARD_SAME:
            return helper.make_node("Identity", [node.input[0]], [node.output[0]], node.name)
        if node.op_type == "STFT" and not any(entry.name == "onesided" for entry in node.attribute):
            explicit = copy.deepcopy(node)
            explicit.attribute.append(helper.make_attribute("onesided", 1))
            return explicit
        return None
    if node.domain != _MICROSOFT:
        return None
    if node.op_type in _SAME and node.output[0]:
        return helper.make_node("Identity", [node.input[0]], [node.output[0]], node.name)
    if node.op_type in ("QLinearAdd", "QLinearMul") and len(node.input) > 3:  # any type, and broadcast
        return helper.make_node("Where", [_TRUE, node.input[0], node.input[3]], [node.output[0]], node.name)
    if node.op_type in _FUSED:
        plain = copy.deepcopy(node)
        plain.op_type, plain.domain = _FUSED[node.op_type], ""
        kept = [entry for entry in plain.attribute if entry.name not in _FUSED_ATTRIBUTES]
        del plain.attribute[:]
        plain.attribute.extend(kept)
        return plain
    return None


def with_own_shapes(proto: onnx.ModelProto, shapes: Mapping[str, Shape]) -> onnx.ModelProto:
    """A copy for shape inference in which these first outputs have these shapes."""
    import onnx
    from onnx import helper

    scratch = copy.deepcopy(proto)
    for node in scratch.graph.node:
        if not node.output or node.output[0] not in shapes:
            continue
        size = f"{node.output[0]}/benchbox.shape"
        sizes = list(shapes[node.output[0]])
        scratch.graph.initializer.append(helper.make_tensor(size, onnx.TensorProto.INT64, [len(sizes)], sizes))
        made = (
            helper.make_node("ConstantOfShape", [size], [node.output[0]], node.name)
            if node.op_type in _FLOAT
            else helper.make_node("Reshape", [node.input[0], size], [node.output[0]], node.name)
        )
        node.CopyFrom(made)
    return scratch


def own_shapes(
    graph: onnx.GraphProto, shapes: Mapping[str, Shape], values: Mapping[str, tuple[float, ...]]
) -> dict[str, Shape]:
    """Shapes of first outputs that are not known yet and follow from shapes that are.

    Args:
        graph: as the file has it.
        shapes: of the tensors whose shapes are known.
        values: of small constants.
    """
    found = {}
    for node in graph.node:
        rule = _RULES.get(node.op_type)
        if rule is None or node.output[0] in shapes or node.domain not in (*STANDARD_DOMAINS, _MICROSOFT):
            continue
        inputs = [shapes.get(name) for name in node.input]
        attributes = {entry.name: tuple(entry.ints) or entry.i for entry in node.attribute}
        shape = rule(inputs, attributes, [values.get(name) for name in node.input])
        if shape is not None and min(shape, default=0) >= 0:
            found[node.output[0]] = shape
    return found


_Inputs = list[Shape | None]
_Attributes = Mapping[str, tuple[int, ...] | int]
_Values = list[tuple[float, ...] | None]


def _unpooled(inputs: _Inputs, attributes: _Attributes, values: _Values) -> Shape | None:
    """The size that is given, else the one that a MaxPool of these windows and strides had."""
    if len(values) > 2:
        return None if values[2] is None else tuple(int(size) for size in values[2])
    source, kernel = inputs[0], attributes.get("kernel_shape")
    if source is None or not isinstance(kernel, tuple) or len(source) != len(kernel) + 2:
        return None
    rank = len(kernel)
    strides, pads = attributes.get("strides", (1,) * rank), attributes.get("pads", (0,) * (2 * rank))
    if not isinstance(strides, tuple) or not isinstance(pads, tuple) or (len(strides), len(pads)) != (rank, 2 * rank):
        return None
    sides = (
        (size - 1) * strides[axis] + kernel[axis] - pads[axis] - pads[rank + axis]
        for axis, size in enumerate(source[2:])
    )
    return (*source[:2], *sides)


def _pooled(inputs: _Inputs, attributes: _Attributes, values: _Values) -> Shape | None:
    source = inputs[0]
    if source is None or len(source) < 3:
        return None
    if attributes.get("channels_last"):
        return (source[0], *(1 for _ in source[1:-1]), source[-1])
    return (*source[:2], *(1 for _ in source[2:]))


def _product(inputs: _Inputs, attributes: _Attributes, values: _Values) -> Shape | None:
    """QGemm: A, its scale and zero point, then B."""
    a, b = inputs[0], inputs[3] if len(inputs) > 3 else None
    if a is None or b is None or len(a) != 2 or len(b) != 2:
        return None
    return (a[1] if attributes.get("transA") else a[0], b[0] if attributes.get("transB") else b[1])


def _matrix_product(second: int) -> Callable[[_Inputs, _Attributes, _Values], Shape | None]:
    def shape(inputs: _Inputs, attributes: _Attributes, values: _Values) -> Shape | None:
        a, b = inputs[0], inputs[second] if len(inputs) > second else None
        if a is None or b is None or len(a) < 2 or len(b) < 2:
            return None
        a = (*a[:-2], a[-1], a[-2]) if attributes.get("transA") else a
        b = (*b[:-2], b[-1], b[-2]) if attributes.get("transB") else b
        wide, other = (a[:-2], b[:-2]) if len(a) >= len(b) else (b[:-2], a[:-2])
        other = (1,) * (len(wide) - len(other)) + other
        return (*(max(pair) for pair in zip(wide, other, strict=True)), a[-2], b[-1])

    return shape


def _concatenated(inputs: _Inputs, attributes: _Attributes, values: _Values) -> Shape | None:
    """QLinearConcat: the output's scale and zero point, then each part with its own."""
    parts = inputs[2::3]
    first, axis = parts[0] if parts else None, attributes.get("axis", 0)
    if first is None or not isinstance(axis, int) or not -len(first) <= axis < len(first):
        return None
    axis %= len(first)
    sizes = [part[axis] for part in parts if part is not None and len(part) == len(first)]
    return (*first[:axis], sum(sizes), *first[axis + 1 :]) if len(sizes) == len(parts) else None


_RULES: Mapping[str, Callable[[_Inputs, _Attributes, _Values], Shape | None]] = {
    "MaxUnpool": _unpooled,
    "QLinearGlobalAveragePool": _pooled,
    "QLinearConcat": _concatenated,
    "QGemm": _product,
    "FusedMatMul": _matrix_product(1),
    "MatMulIntegerToFloat": _matrix_product(1),
    "DynamicQuantizeMatMul": _matrix_product(1),
}
