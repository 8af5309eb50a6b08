"""Which operators does ONNX's shape inference leave open or get wrong, and what has the same shapes?

For inference alone such a node is replaced by one that ONNX infers correctly and whose output has the same shape and
type (``with_stand_ins``); where no operator has, the shape is computed here (``own_shapes``). The graph that is counted
keeps its own nodes.

* GroupNormalization and MeanVarianceNormalization: the inference of their function bodies fails.
* SimplifiedLayerNormalization: ONNX Runtime's optimiser writes it as if it were one of ONNX's own.
* Loop: what is carried from turn to turn may change its shape; here it keeps it, which ``graph.py`` checks.
* STFT: the inference takes ``onesided`` for 0 where it is left out; its default is 1.
* MaxUnpool with a size given: the inference leaves the shape open.
* Resize and Upsample by a factor that no small fraction is: the inference multiplies exactly, runtimes in fp32, where
  30 · (77/30) is 77 and not a little less.
* com.microsoft operators that quantised and optimised files hold: ONNX does not know them (``contrib.py``).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from benchbox.graph import contrib
from benchbox.graph.contrib import FLOAT, Given, Made, Outputs, Rule, Shape
from benchbox.graph.opset import STANDARD_DOMAINS, standard_opset
from benchbox.graph.stored import holds_numbers, stored_tensors

if TYPE_CHECKING:
    import onnx

_MICROSOFT = "com.microsoft"
_TRUE, _OPEN = "benchbox.true", "benchbox.open"
_SAME = frozenset(
    {
        *("BiasAdd", "BiasGelu", "FastGelu", "Gelu", "GroupNorm", "LayerNormalization", "QLinearLeakyRelu"),
        *("QLinearSigmoid", "QLinearSoftmax", "QuickGelu", "RotaryEmbedding", "SimplifiedLayerNormalization"),
    }
)
# The normalised sum of two inputs comes first, the sum itself last, where it is asked for.
_SUMS = {"SkipLayerNormalization": 3, "SkipSimplifiedLayerNormalization": 3, "SkipGroupNorm": 1}
_STANDARD_SAME = frozenset({"GroupNormalization", "MeanVarianceNormalization", "SimplifiedLayerNormalization"})
_FUSED = {"FusedConv": "Conv", "FusedGemm": "Gemm"}
_FUSED_ATTRIBUTES = frozenset({"activation", "activation_params", "activation_alpha", "activation_beta"})
_ORIENTATIONS = ("transA", "transB", "transBatchA", "transBatchB")
_CAST_LIKE = 15  # ONNX has it since this opset
_RESIZES = frozenset({"Resize", "Upsample"})
_SCALES = 2  # the place of a Resize's factors among its inputs since opset 11; before, and of Upsample, it is 1
# Multiples of this have the same products with sizes exactly and in fp32.
_FINEST = 1024


def with_stand_ins(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model for shape inference; the same object where nothing is to be replaced."""
    import onnx

    opset = standard_opset(proto)
    sizes = _Sizes(proto.graph)
    places = {place: made for place, node in enumerate(proto.graph.node) if (made := _stand_ins(node, opset, sizes))}
    places |= _resizing(proto.graph)
    if not places:
        return proto
    scratch = copy.deepcopy(proto)
    kept = list(copy.deepcopy(proto).graph.node)
    del scratch.graph.node[:]
    scratch.graph.node.extend(made for place, node in enumerate(kept) for made in places.get(place, [node]))
    if any(_TRUE in node.input for made in places.values() for node in made):
        scratch.graph.initializer.append(onnx.helper.make_tensor(_TRUE, onnx.TensorProto.BOOL, [], [True]))
    if any(_OPEN in node.input for made in places.values() for node in made):
        scratch.graph.input.append(onnx.helper.make_tensor_value_info(_OPEN, onnx.TensorProto.INT64, [None]))
    return scratch


def _resizing(graph: onnx.GraphProto) -> dict[int, list[onnx.NodeProto]]:
    """By the place of a node that resizes by a factor of which products may be rounded: one of the same type alone."""
    from onnx import helper, numpy_helper

    found: dict[int, list[onnx.NodeProto]] = {}
    places = [
        place
        for place, node in enumerate(graph.node)
        if node.op_type in _RESIZES and node.input and len(node.output) == 1
    ]
    stored = stored_tensors(graph) if places else {}
    for place in places:
        node = graph.node[place]
        attributes = {entry.name: entry for entry in node.attribute}
        if node.domain not in STANDARD_DOMAINS or "tf_crop" in str(attributes.get("coordinate_transformation_mode")):
            continue
        factors = list(attributes["scales"].floats) if "scales" in attributes else []
        name = _factors_of(node)
        if name in stored and holds_numbers(stored[name]):
            factors = numpy_helper.to_array(stored[name]).ravel().tolist()
        computed = bool(name) and name not in stored
        if computed or any(factor * _FINEST != int(factor * _FINEST) for factor in factors):
            found[place] = [helper.make_node("Reshape", [node.input[0], _OPEN], [node.output[0]], node.name)]
    return found


def _factors_of(node: onnx.NodeProto) -> str:
    """The input with the factors of a Resize or an Upsample; "" where sizes or an attribute say how large."""
    place = 1 if len(node.input) == _SCALES else _SCALES
    return node.input[place] if len(node.input) > place else ""


class _Sizes:
    """Shapes of what a graph stores, looked up where an operator needs them."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._known: dict[str, Shape] | None = None

    def of(self, name: str) -> Shape:
        """The shape of a weight; () where it is not known."""
        if self._known is None:
            self._known = {tensor.name: tuple(tensor.dims) for tensor in self._graph.initializer}
            for value in self._graph.input:
                dims = value.type.tensor_type.shape.dim
                self._known.setdefault(value.name, tuple(dim.dim_value for dim in dims))
        return self._known.get(name, ())


def _stand_ins(node: onnx.NodeProto, opset: int, sizes: _Sizes) -> list[onnx.NodeProto]:
    from onnx import helper

    if node.domain in STANDARD_DOMAINS and node.op_type == "Loop":
        return list(_loop(node))
    if node.domain == _MICROSOFT and node.op_type in _SUMS:
        outputs = [name for place, name in enumerate(node.output) if place in (0, _SUMS[node.op_type]) and name]
        return [helper.make_node("Identity", [node.input[0]], [name], node.name) for name in outputs]
    if node.domain == _MICROSOFT and (product := list(_product(node, opset, sizes))):
        return product
    alone = _stand_in(node)
    return [] if alone is None else [alone]


def _loop(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """What is carried keeps its shape; what is gathered from turn to turn is left to the Loop itself."""
    from onnx import helper

    carried = len(node.input) - 2
    for given, made in zip(node.input[2:], node.output, strict=False):
        if given and made:
            yield helper.make_node("Identity", [given], [made])
    if any(node.output[carried:]):
        gathering = copy.deepcopy(node)
        for place, name in enumerate(node.output[:carried]):
            gathering.output[place] = f"{name}/benchbox.carried" if name else ""
        yield gathering


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


def _product(node: onnx.NodeProto, opset: int, sizes: _Sizes) -> Iterator[onnx.NodeProto]:
    """A matrix product of the same shape and type; nothing where ``own_shapes`` has to say it.

    An optimised transformer has tens of such nodes one behind the other, and what is not replaced here takes a pass of
    the inference each.
    """
    from onnx import helper

    numbers = {entry.name: entry.i for entry in node.attribute}
    output = node.output[0]
    if node.op_type == "FusedMatMul":
        if not any(numbers.get(name) for name in _ORIENTATIONS):
            yield helper.make_node("MatMul", node.input[:2], [output], node.name)
        elif len(sizes.of(node.input[1])) == 2 and not any(
            numbers.get(name) for name in _ORIENTATIONS if name[-1] == "A"
        ):
            yield helper.make_node("Transpose", [node.input[1]], [f"{output}/benchbox.turned"])
            yield helper.make_node("MatMul", [node.input[0], f"{output}/benchbox.turned"], [output], node.name)
    elif node.op_type in ("DynamicQuantizeMatMul", "MatMulIntegerToFloat"):
        wide = [f"{output}/benchbox.{place}" for place in (0, 1)]
        for given, name in zip(node.input, wide, strict=False):
            yield helper.make_node("Cast", [given], [name], to=FLOAT)
        yield helper.make_node("MatMul", wide, [output], node.name)
    elif node.op_type == "MatMulNBits" and opset >= _CAST_LIKE:
        yield from _multiplied(node, [numbers.get("K", 0), numbers.get("N", 0)])
    elif node.op_type == "Attention" and opset >= _CAST_LIKE and not any(node.output[1:]):
        wide_v = next((list(entry.ints)[2:] for entry in node.attribute if entry.name == "qkv_hidden_sizes"), [])
        weights = sizes.of(node.input[1])
        if len(weights) == 2:
            yield from _multiplied(node, [weights[0], wide_v[0] if wide_v else weights[1] // 3])


def _multiplied(node: onnx.NodeProto, sizes: list[int]) -> Iterator[onnx.NodeProto]:
    """The first input times a matrix of these sizes."""
    from onnx import TensorProto, helper

    output = node.output[0]
    value = helper.make_tensor("", TensorProto.INT64, [2], sizes)
    yield helper.make_node("Constant", [], [f"{output}/benchbox.sizes"], value=value)
    yield helper.make_node("ConstantOfShape", [f"{output}/benchbox.sizes"], [f"{output}/benchbox.ones"])
    yield helper.make_node("CastLike", [f"{output}/benchbox.ones", node.input[0]], [f"{output}/benchbox.weights"])
    yield helper.make_node("MatMul", [node.input[0], f"{output}/benchbox.weights"], [output], node.name)


def with_own_shapes(proto: onnx.ModelProto, shapes: Mapping[str, Made]) -> onnx.ModelProto:
    """A copy for shape inference in which these outputs have these shapes; a node that makes one makes no others."""
    import onnx
    from onnx import TensorProto, helper

    scratch = copy.deepcopy(proto)
    nodes = list(copy.deepcopy(proto).graph.node)
    del scratch.graph.node[:]
    # What no node makes any more (a Loop has stand-ins for what it carries only) is made at the start.
    lost = onnx.NodeProto(output=sorted(shapes.keys() - {name for node in nodes for name in node.output}))
    for node in (lost, *nodes):
        known = [name for name in node.output if name in shapes]
        scratch.graph.node.extend([] if known or node is lost else [node])
        for name in known:
            made = shapes[name]
            sizes = helper.make_tensor(f"{name}/benchbox.shape", TensorProto.INT64, [len(made.shape)], made.shape)
            scratch.graph.initializer.append(sizes)
            like = node.input[made.like] if not made.kind and made.like < len(node.input) else ""
            value = helper.make_tensor("", made.kind or FLOAT, [1], [0])
            scratch.graph.node.append(
                helper.make_node("Reshape", [like, sizes.name], [name], node.name)
                if like
                else helper.make_node("ConstantOfShape", [sizes.name], [name], node.name, value=value)
            )
    return scratch


def own_shapes(
    graph: onnx.GraphProto, shapes: Mapping[str, Shape], values: Mapping[str, tuple[float, ...]]
) -> dict[str, Made]:
    """Shapes of outputs that are not known yet and follow from shapes that are.

    Args:
        graph: as the file has it.
        shapes: of the tensors whose shapes are known.
        values: of small constants.
    """
    found: dict[str, Made] = {}
    for node in graph.node:
        rule = _rule_of(node)
        if rule is None:
            continue
        given = Given(
            shapes=[shapes.get(name) for name in node.input],
            values=[values.get(name) for name in node.input],
            attributes={
                entry.name: tuple(entry.ints) or tuple(entry.floats) or entry.s or entry.i for entry in node.attribute
            },
        )
        made = {
            name: output
            for name, output in zip(node.output, rule(given), strict=False)
            if name and output is not None and min(output.shape, default=0) >= 0
        }
        if not made.keys() <= shapes.keys():
            found.update(made)
    return found


def _rule_of(node: onnx.NodeProto) -> Rule | None:
    if node.domain in STANDARD_DOMAINS:
        return {"MaxUnpool": _unpooled, "Resize": _resized, "Upsample": _resized}.get(node.op_type)
    return contrib.RULES.get(node.op_type) if node.domain == _MICROSOFT else None


def _unpooled(given: Given) -> Outputs:
    """MaxUnpool: the size that is given, else the one that a MaxPool of these windows and strides had."""
    if len(given.values) > 2:
        said = given.values[2]
        return () if said is None else (Made(shape=tuple(int(size) for size in said)),)
    source, kernel = given.shape(0), given.integers("kernel_shape")
    if source is None or not kernel or len(source) != len(kernel) + 2:
        return ()
    rank = len(kernel)
    strides, pads = given.integers("strides") or (1,) * rank, given.integers("pads") or (0,) * (2 * rank)
    if (len(strides), len(pads)) != (rank, 2 * rank):
        return ()
    sides = (
        (size - 1) * strides[axis] + kernel[axis] - pads[axis] - pads[rank + axis]
        for axis, size in enumerate(source[2:])
    )
    return (Made(shape=(*source[:2], *sides)),)


def _resized(given: Given) -> Outputs:
    """Resize and Upsample by factors: every size times its factor in fp32, rounded down, as runtimes compute it."""
    import numpy as np

    source, place = given.shape(0), 1 if len(given.values) == _SCALES else _SCALES
    said = given.attributes.get("scales") or (given.values[place] if len(given.values) > place else None)
    if source is None or not isinstance(said, tuple) or not said:
        return ()
    axes = [axis % len(source) for axis in given.integers("axes")] or range(len(source))
    if len(axes) != len(said):
        return ()
    sides = list(source)
    for axis, factor in zip(axes, said, strict=True):
        sides[axis] = int(np.floor(np.float32(source[axis]) * np.float32(factor)))
    return (Made(shape=tuple(sides)),)
