"""How does an fp32 graph become an fp16 one?

Precision is a property of the graph: every weight is converted once, every activation follows, and inputs and outputs
keep their types behind casts at the border, so that all precisions of a network are called alike. Names and metadata
stay, so that one cost table serves all precisions. Operators whose schema or range does not allow fp16 stay in fp32
between casts.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from benchbox.errors import ArtifactError

if TYPE_CHECKING:
    import onnx

FP16_MAX = 65504.0
FP16_SMALLEST_NORMAL = 2.0**-14

# Operators that stay in fp32: their schema wants float for some input or has no fp16 form, or sums grow beyond range.
KEPT_OPS = frozenset(
    {"Resize", "Upsample", "RoiAlign", "NonMaxSuppression", "Range", "CumSum", "DynamicQuantizeLinear",
     "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "LSTM", "GRU",
     "RNN"}
)  # fmt: skip


def half_from_float(proto: onnx.ModelProto, *, exclude: Sequence[str] = ()) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """An fp16 copy of an fp32 model, and warnings about weights that fp16 cannot hold.

    Args:
        proto: with all data inside; not changed.
        exclude: patterns of node names (``layer4.*``) that stay in fp32.

    Raises:
        ArtifactError: the graph has control flow or local functions, or no fp32 tensor at all.
    """
    import onnx

    _require_plain(proto)
    half = onnx.ModelProto()
    half.CopyFrom(proto)
    pass_ = _CastPass(half.graph, tuple(exclude))
    pass_.run(_float_values(proto) if pass_.kept else frozenset())
    return half, pass_.loss.warnings()


def _require_plain(proto: onnx.ModelProto) -> None:
    for node in proto.graph.node:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ArtifactError(
                "a network with control flow cannot be cast to fp16",
                values=f"node {node.name} ({node.op_type}) has a subgraph",
                remedy="export it without data-dependent branches, or run it in fp32",
            )
    if proto.functions:
        raise ArtifactError(
            "a network with local functions cannot be cast to fp16",
            values=f"function {proto.functions[0].name}",
            remedy="inline the functions first (onnx.inliner)",
        )


def _float_values(proto: onnx.ModelProto) -> frozenset[str]:
    """Names of all tensors between nodes that hold fp32 values."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(proto).graph
    return frozenset(
        value.name
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    )


@dataclass
class _Loss:
    """What the conversion of weights did to them."""

    weights: int = 0
    saturated: int = 0
    zeroed: int = 0
    subnormal: int = 0

    def warnings(self) -> tuple[str, ...]:
        """One sentence per kind of loss; none if nothing was lost."""
        kinds = (
            (self.saturated, "are beyond fp16's range and were saturated to ±65504"),
            (self.zeroed, "are too small for fp16 and became zero"),
            (self.subnormal, "became fp16 subnormals and lost digits"),
        )
        return tuple(f"{count} of {self.weights} weights {what}" for count, what in kinds if count)

    def half(self, array: np.ndarray) -> np.ndarray:
        """The array in fp16, saturated, with its losses counted."""
        size = np.abs(array)
        converted: np.ndarray = np.clip(array, -FP16_MAX, FP16_MAX).astype(np.float16)
        self.weights += array.size
        self.saturated += int(np.count_nonzero(size > FP16_MAX))
        zeroed = int(np.count_nonzero((converted == 0) & (size > 0)))
        self.zeroed += zeroed
        self.subnormal += int(np.count_nonzero((size < FP16_SMALLEST_NORMAL) & (size > 0))) - zeroed
        return converted


@dataclass
class _CastPass:
    """One pass over one graph, in place."""

    graph: onnx.GraphProto
    exclude: tuple[str, ...]
    loss: _Loss = field(default_factory=_Loss)

    def __post_init__(self) -> None:
        self.kept = {
            index
            for index, node in enumerate(self.graph.node)
            if node.op_type in KEPT_OPS or any(fnmatch.fnmatchcase(node.name, pattern) for pattern in self.exclude)
        }

    def run(self, float_values: frozenset[str]) -> None:
        """Converts weights, attributes, kept nodes and the border, in this order."""
        self._convert_weights()
        nodes: list[onnx.NodeProto] = []
        for index, node in enumerate(self.graph.node):
            if index in self.kept:
                nodes += self._between_casts(node, float_values)
            else:
                self._convert_attributes(node)
                nodes.append(node)
        border_in, renamed_in = self._cast_inputs()
        border_out, renamed_out = self._cast_outputs()
        self._rename(nodes, renamed_in, renamed_out)
        everything = [_copied(node) for node in (*border_in, *nodes, *border_out)]
        del self.graph.node[:]
        self.graph.node.extend(everything)
        del self.graph.value_info[:]

    def _convert_weights(self) -> None:
        from onnx import TensorProto, numpy_helper

        readers_kept: set[str] = set()
        readers_half: set[str] = set()
        for index, node in enumerate(self.graph.node):
            (readers_kept if index in self.kept else readers_half).update(node.input)
        for tensor in list(self.graph.initializer):
            if tensor.data_type != TensorProto.FLOAT or tensor.name not in readers_half:
                continue
            converted = numpy_helper.from_array(self.loss.half(numpy_helper.to_array(tensor)), tensor.name)
            if tensor.name in readers_kept:
                # Read on both sides of a border: the kept nodes go on reading the fp32 original.
                original = self.graph.initializer.add()
                original.CopyFrom(tensor)
                original.name = _kept_name(tensor.name)
            tensor.CopyFrom(converted)

    def _convert_attributes(self, node: onnx.NodeProto) -> None:
        from onnx import TensorProto, numpy_helper

        for attribute in node.attribute:
            if attribute.name in {"to", "dtype"} and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            elif attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT:
                converted = self.loss.half(numpy_helper.to_array(attribute.t))
                attribute.t.CopyFrom(numpy_helper.from_array(converted, attribute.t.name))
            elif node.op_type == "Constant" and attribute.name in {"value_float", "value_floats"}:
                numbers = [attribute.f] if attribute.name == "value_float" else list(attribute.floats)
                array = np.array(numbers, dtype=np.float32)
                tensor = numpy_helper.from_array(self.loss.half(array[0] if attribute.name == "value_float" else array))
                attribute.Clear()
                attribute.name, attribute.type = "value", attribute.TENSOR
                attribute.t.CopyFrom(tensor)

    def _between_casts(self, node: onnx.NodeProto, float_values: frozenset[str]) -> Iterable[onnx.NodeProto]:
        """A kept node with casts to fp32 before it and back to fp16 behind it."""
        originals = {tensor.name for tensor in self.graph.initializer}
        before, after = [], []
        for position, value in enumerate(node.input):
            if _kept_name(value) in originals:
                node.input[position] = _kept_name(value)
            elif value in float_values and value not in originals:
                node.input[position] = f"{node.name}.in{position}"
                before.append(_cast(value, node.input[position], to_half=False))
        for position, value in enumerate(node.output):
            if value in float_values:
                node.output[position] = f"{node.name}.out{position}"
                after.append(_cast(node.output[position], value, to_half=True))
                after[-1].name = f"{node.output[position]}.cast"  # the border's cast has the output's name
        return [*before, node, *after]

    def _cast_inputs(self) -> tuple[list[onnx.NodeProto], dict[str, str]]:
        from onnx import TensorProto

        floats = [value.name for value in self.graph.input if value.type.tensor_type.elem_type == TensorProto.FLOAT]
        renamed = {name: f"{name}.fp16" for name in floats}
        return [_cast(name, half, to_half=True) for name, half in renamed.items()], renamed

    def _cast_outputs(self) -> tuple[list[onnx.NodeProto], dict[str, str]]:
        from onnx import TensorProto

        floats = [value.name for value in self.graph.output if value.type.tensor_type.elem_type == TensorProto.FLOAT]
        renamed = {name: f"{name}.fp16" for name in floats}
        return [_cast(half, name, to_half=False) for name, half in renamed.items()], renamed

    @staticmethod
    def _rename(nodes: Iterable[onnx.NodeProto], inputs: dict[str, str], outputs: dict[str, str]) -> None:
        both = {**inputs, **outputs}
        for node in nodes:
            node.input[:] = [both.get(value, value) for value in node.input]
            node.output[:] = [outputs.get(value, value) for value in node.output]


def _cast(source: str, target: str, *, to_half: bool) -> onnx.NodeProto:
    import onnx

    kind = onnx.TensorProto.FLOAT16 if to_half else onnx.TensorProto.FLOAT
    return onnx.helper.make_node("Cast", [source], [target], name=f"{target}.cast", to=kind)


def _copied(node: onnx.NodeProto) -> onnx.NodeProto:
    import onnx

    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _kept_name(name: str) -> str:
    return f"{name}.fp32"
