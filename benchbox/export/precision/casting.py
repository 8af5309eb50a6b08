"""How does an fp32 graph become an fp16 or a bf16 one?

Precision is a property of the graph: every weight is converted once, every activation follows, and inputs and outputs
keep their types behind casts at the border, so that all precisions of a network are called alike. Names and metadata
stay, so that one cost table serves all precisions. Operators whose schema or range does not allow the format stay in
fp32 between casts, and so does arithmetic on sizes (``graph/propagation.py``); what one of them hands to another stays
in fp32 too, so that it cannot overflow on the way. What is inside of branches and loops stays in fp32 as well, with
what they read from outside cast for them.
"""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from benchbox.errors import ArtifactError
from benchbox.export.opsets import opset_of, structure_at_opset
from benchbox.export.precision.contents import PRODUCT_OPS
from benchbox.export.precision.request import kept_inside_in_words, nodes_with_bodies, require_plain
from benchbox.export.precision.sixteenbit_formats import FORMATS, Rounding, SixteenBit
from benchbox.graph.bodies import bodies_of, captured_by, has_bodies, nodes_inside, passed_on
from benchbox.graph.propagation import size_arithmetic
from benchbox.schema.model import Precision

if TYPE_CHECKING:
    import onnx

# Operators that stay in fp32 although their schemas would allow less: their sums grow, or what they make is fp32 by
# default. Those that do not take the format at all are found by their schemas.
KEPT_OPS = frozenset(
    {"Resize", "Upsample", "RoiAlign", "NonMaxSuppression", "Range", "CumSum", "DynamicQuantizeLinear",
     "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "LSTM", "GRU", "RNN",
     "HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix"}
)  # fmt: skip

# Where bodies read sequences from outside, these hold fp32, as what reads them does.
_SEQUENCE_OPS = frozenset(
    {"ConcatFromSequence", "Optional", "OptionalGetElement", "SequenceAt", "SequenceConstruct", "SequenceEmpty",
     "SequenceErase", "SequenceInsert", "SplitToSequence"}
)  # fmt: skip

# TensorRT's ONNX parser takes these in fp32 and fp16, not in bf16.
KEPT_IN_BF16 = frozenset({"HardSwish", "Mish", "LpPool"})


def rounded_weight(tensor: onnx.TensorProto, rounding: Rounding) -> onnx.TensorProto:
    """A weight in a 16-bit format, under its own name."""
    from onnx import numpy_helper

    return numpy_helper.from_array(rounding.rounded(numpy_helper.to_array(tensor)), tensor.name)


def cast_from_float(
    proto: onnx.ModelProto,
    precision: Precision,
    *,
    exclude: Sequence[str] = (),
    round_weight: Callable[[onnx.TensorProto, Rounding], onnx.TensorProto] = rounded_weight,
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """An fp16 or bf16 copy of an fp32 model, and warnings: values that it cannot hold, patterns without a match.

    Args:
        proto: with all data inside; not changed.
        precision: fp16 or bf16.
        exclude: patterns of node names (``layer4.*``) that stay in fp32.
        round_weight: converts one weight; another one for a graph whose weights have no data.

    Raises:
        ArtifactError: all convolutions and matrix products are inside of branches and loops, the graph has local
            functions, or it cannot be brought to the opset that the format needs.
    """
    made, weights = _at_needed_opset(proto, precision)
    pass_ = _CastPass(made, FORMATS[precision], tuple(exclude), weights, round_weight)
    pass_.run()
    kept = kept_inside_in_words(proto.graph)
    unmatched = [
        f"--exclude '{pattern}' matches no node"
        for pattern in exclude
        if not any(fnmatch.fnmatchcase(node.name, pattern) for node in proto.graph.node)
    ]
    return made, (*pass_.rounding.warnings(), *([kept] if kept else []), *unmatched)


def _require_something_outside(graph: onnx.GraphProto, precision: Precision) -> None:
    """Raises ArtifactError where all that computes is inside of branches and loops: nothing of it would be cast."""
    if any(node.op_type in PRODUCT_OPS for node in graph.node):
        return
    for node in nodes_with_bodies(graph):
        inside = [inner for body in bodies_of(node) for inner in nodes_inside(body) if inner.op_type in PRODUCT_OPS]
        if inside:
            raise ArtifactError(
                f"nothing of the network would be cast to {precision}",
                values=f"all convolutions and matrix products are inside of branches and loops, as {inside[0].op_type} "
                f"{inside[0].name or inside[0].output[0]} of node {node.name} ({node.op_type})",
                remedy="export it without data-dependent branches and loops, or run it in fp32",
            )


def _at_needed_opset(
    proto: onnx.ModelProto, precision: Precision
) -> tuple[onnx.ModelProto, Sequence[onnx.TensorProto]]:
    """A copy without large weights in an opset that knows the format, and all the weights.

    Raises:
        ArtifactError: the graph has nothing to cast, local functions, or cannot be brought to that opset.
    """
    import onnx

    require_plain(proto, f"cast to {precision}")
    _require_something_outside(proto.graph, precision)
    made = structure_at_opset(proto, FORMATS[precision].opset)
    needed = onnx.helper.find_min_ir_version_for(list(made.opset_import), ignore_unknown=True)
    made.ir_version = max(made.ir_version, needed)
    small = {tensor.name for tensor in made.graph.initializer}
    # Large weights stay where they are until they are converted: one copy of a network in memory is enough.
    weights = [
        *map(copy.deepcopy, made.graph.initializer),
        *(tensor for tensor in proto.graph.initializer if tensor.name not in small),
    ]
    return made, weights


def refused_by_schema(node: onnx.NodeProto, opset: int, form: SixteenBit) -> bool:
    """Whether an input or output of the node may be fp32 but not the 16-bit format.

    An operator of another domain has no schema here and is assumed to take it.
    """
    from onnx import defs

    try:
        schema = defs.get_schema(node.op_type, opset, node.domain)
    except defs.SchemaError:
        return False
    for formal, actual in ((schema.inputs, node.input), (schema.outputs, node.output)):
        for position, value in enumerate(actual):
            if not value or not formal:
                continue
            types = formal[min(position, len(formal) - 1)].types
            if "tensor(float)" in types and form.onnx_name not in types:
                return True
    return False


@dataclass
class _CastPass:
    """One pass over one graph, in place.

    A value has the type of the node that makes it, under its own name: 16 bits, or fp32 where a kept node or an input
    makes it. Outputs of the graph and what bodies read from outside are fp32 under their own names. The other type of a
    value is made by a cast behind it, if anyone reads it.
    """

    model: onnx.ModelProto
    form: SixteenBit
    exclude: tuple[str, ...]
    weights: Sequence[onnx.TensorProto]
    round_weight: Callable[[onnx.TensorProto, Rounding], onnx.TensorProto]
    rounding: Rounding = field(init=False)

    def __post_init__(self) -> None:
        self.rounding = Rounding(self.form)
        self.graph = self.model.graph
        self.weight_names = {tensor.name for tensor in self.weights}
        opset = opset_of(self.model)
        sizes = size_arithmetic(self.graph, self.weight_names)
        kept_ops = KEPT_OPS | (KEPT_IN_BF16 if self.form.precision is Precision.BF16 else frozenset())
        kept_ops |= _SEQUENCE_OPS if nodes_with_bodies(self.graph) else frozenset()
        self.kept = {
            index
            for index, node in enumerate(self.graph.node)
            if node.op_type in kept_ops
            or index in sizes
            or bodies_of(node)
            or any(fnmatch.fnmatchcase(node.name, pattern) for pattern in self.exclude)
            or refused_by_schema(node, opset, self.form)
        }
        self.floats = self._float_values() if self.kept else _border(self.graph)
        self.inputs = [value.name for value in self.graph.input if value.name in self.floats - self.weight_names]
        captured = {name for node in self.graph.node for name in captured_by(node)}
        self.named_wide = (captured | {value.name for value in self.graph.output}) & self.floats
        self.wide = set(self.inputs)
        self.read_wide: set[str] = set(self.named_wide)
        self.read_narrow: set[str] = set()
        for index, node in enumerate(self.graph.node):
            if index in self.kept:
                self.wide.update(value for value in node.output if value in self.floats)
            (self.read_wide if index in self.kept else self.read_narrow).update(node.input)

    def run(self) -> None:
        """Converts weights, attributes and the types between nodes."""
        nodes: list[onnx.NodeProto] = [cast for value in self.inputs for cast in self._casts(value)]
        for index, node in enumerate(self.graph.node):
            is_kept = index in self.kept
            if not is_kept:
                self._convert_attributes(node)
            for position, value in enumerate(node.input):
                node.input[position] = self._name(value, wide=is_kept)
            made = list(node.output)
            for position, value in enumerate(made):
                node.output[position] = self._name(value, wide=value in self.wide)
            nodes.append(node)
            nodes += (cast for value in made for cast in self._casts(value))
        everything = [copy.deepcopy(node) for node in nodes]  # clearing the graph would clear them
        del self.graph.node[:]
        self.graph.node.extend(everything)
        del self.graph.value_info[:]
        self._convert_weights()

    def _name(self, value: str, *, wide: bool) -> str:
        """What a value is called in fp32 or in 16 bits."""
        if value in self.weight_names:
            shared = value in self.read_narrow and value in self.read_wide and value in self.floats
            if value in self.named_wide:
                # A weight that is an output too, or that a body reads by its name, keeps its name and its type there.
                return f"{value}.{self.form.precision}" if shared and not wide else value
            return f"{value}.fp32" if wide and shared else value
        if value not in self.floats:
            return value
        own_is_wide = value in self.wide or value in self.named_wide
        if wide:
            return value if own_is_wide else f"{value}.fp32"
        return f"{value}.{self.form.precision}" if own_is_wide else value

    def _casts(self, value: str) -> Iterator[onnx.NodeProto]:
        """The cast behind a value, if its other type is read."""
        import onnx

        if value not in self.floats:
            return
        made_wide = value in self.wide
        if value in (self.read_narrow if made_wide else self.read_wide):
            target = self._name(value, wide=not made_wide)
            kind = self.form.onnx_type if made_wide else onnx.TensorProto.FLOAT
            source = self._name(value, wide=made_wide)
            yield onnx.helper.make_node("Cast", [source], [target], name=f"{target}.cast", to=kind)

    def _float_values(self) -> set[str]:
        """Names of all tensors that hold fp32 values, weights included."""
        import onnx

        inferred = onnx.shape_inference.infer_shapes(self.model).graph
        found = {
            value.name
            for value in (*inferred.input, *inferred.value_info, *inferred.output)
            if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        }
        found |= {name for node in self.graph.node if has_bodies(node) for name in _floats_behind(node)}
        return found | {tensor.name for tensor in self.weights if tensor.data_type == onnx.TensorProto.FLOAT}

    def _convert_weights(self) -> None:
        del self.graph.initializer[:]
        for tensor in self.weights:
            is_float, narrow = tensor.data_type == tensor.FLOAT, tensor.name in self.read_narrow
            if is_float and narrow:
                rounded = self.round_weight(tensor, self.rounding)
                rounded.name = self._name(tensor.name, wide=False)
                self.graph.initializer.append(rounded)
            if not is_float or not narrow or tensor.name in self.read_wide:
                # Read on both sides of a border: the kept nodes go on reading the fp32 original.
                kept = self.graph.initializer.add()
                kept.CopyFrom(tensor)
                kept.name = self._name(tensor.name, wide=True)
        inputs = [value for value in self.graph.input if value.name not in self.weight_names]
        del self.graph.input[:]
        self.graph.input.extend(inputs)

    def _convert_attributes(self, node: onnx.NodeProto) -> None:
        from onnx import TensorProto, helper, numpy_helper

        if node.op_type == "ConstantOfShape" and not node.attribute:
            zero = numpy_helper.from_array(np.zeros(1, dtype=np.float32))  # the default, and it is fp32
            node.attribute.append(helper.make_attribute("value", zero))
        for attribute in node.attribute:
            if attribute.name in {"to", "dtype"} and attribute.i == TensorProto.FLOAT:
                attribute.i = self.form.onnx_type
            elif attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT:
                converted = self.rounding.rounded(numpy_helper.to_array(attribute.t))
                attribute.t.CopyFrom(numpy_helper.from_array(converted, attribute.t.name))
            elif node.op_type == "Constant" and attribute.name in {"value_float", "value_floats"}:
                numbers = attribute.f if attribute.name == "value_float" else list(attribute.floats)
                rounded = self.rounding.rounded(np.array(numbers, dtype=np.float32))
                attribute.Clear()
                attribute.name, attribute.type = "value", attribute.TENSOR
                attribute.t.CopyFrom(numpy_helper.from_array(rounded))


def _floats_behind(node: onnx.NodeProto) -> Iterator[str]:
    """The fp32 outputs of a branch or loop as its bodies declare them, where shape inference may give up."""
    import onnx

    for body in bodies_of(node):
        floats = {value.name for value in body.output if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
        yield from (outer for inner, outer in passed_on(node, body) if inner in floats and outer in node.output)


def _border(graph: onnx.GraphProto) -> set[str]:
    """Inputs and outputs of the graph that hold fp32 values: all that counts where no node is kept."""
    import onnx

    values: Iterable[onnx.ValueInfoProto] = (*graph.input, *graph.output)
    return {value.name for value in values if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
