"""In which precision is a graph from elsewhere?

The precision of a network is what its convolutions and matrix products compute in, not what its weights are stored in:
fp32 weights behind casts to fp16 make an fp16 network. Quantised weights and activations make it int8 or fp8, and then
the type that the pairs give back is what the rest computes in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.export.opsets import structure_of
from benchbox.graph.bodies import nodes_inside
from benchbox.graph.skimming import structure_bytes
from benchbox.graph.stored import constants_of, stored_tensors
from benchbox.graph.structure import with_functions_in_place
from benchbox.schema.model import Precision

if TYPE_CHECKING:
    import onnx

MATRIX_OPS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "Attention", "LSTM", "GRU", "RNN"})
# The same fused, in ONNX Runtime's own domain.
_FUSED_OPS = frozenset({"FusedConv", "FusedGemm", "FusedMatMul", "GroupQueryAttention", "MultiHeadAttention"})
# Operators on eight-bit numbers: of ONNX, and of ONNX Runtime's own domain.
INTEGER_OPS = frozenset(
    {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "QGemm", "QAttention",
     "DynamicQuantizeMatMul", "MatMulIntegerToFloat"}
)  # fmt: skip
# Products whose weights alone are stored in few bits: they compute in the type of their other input.
_WEIGHTS_ONLY = frozenset({"MatMulNBits", "MatMulBnb4", "MatMulFpQ4"})
PRODUCT_OPS = MATRIX_OPS | _FUSED_OPS | _WEIGHTS_ONLY
_LINEAR = frozenset({"QuantizeLinear", "DequantizeLinear"})


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The precision of a graph, what its unquantised part computes in, and warnings about it."""

    precision: Precision
    rest: Precision
    warnings: tuple[str, ...] = ()


def precision_from_file(path: Path) -> Precision:
    """The precision of an ONNX file, without its external data; fp32 for one that cannot be read.

    Loading reports what is wrong with such a file.
    """
    import onnx

    try:
        proto = onnx.ModelProto.FromString(structure_bytes(path))
    except Exception:  # protobuf's errors share no base class
        return Precision.FP32
    return contents_of(proto).precision


def contents_of(proto: onnx.ModelProto) -> Contents:
    """What a graph computes in: most of its operations where they differ, which is a warning."""
    light = with_functions_in_place(structure_of(proto))
    types = _types_by_tensor(light.graph, _inferred(light))
    eight_bit, others = _quantised_precision(light.graph, types, {tensor.name for tensor in proto.graph.initializer})
    counts = _float_operations(light.graph, types)
    rest = counts.most_common(1)[0][0] if counts else Precision.FP32
    if eight_bit is not None:
        return Contents(precision=eight_bit, rest=rest)
    warnings: tuple[str, ...] = ()
    if others:
        told = f"counted as {rest}, which its products compute in: {'; '.join(others)}"
        return Contents(precision=rest, rest=rest, warnings=(told,))
    if len(counts) > 1:
        words = ", ".join(f"{count} in {kind}" for kind, count in counts.most_common())
        warnings = (f"mixed precision, counted as {rest}: of the convolutions and matrix products {words}",)
    return Contents(precision=rest, rest=rest, warnings=warnings)


def _inferred(light: onnx.ModelProto) -> onnx.GraphProto:
    import onnx

    try:
        return onnx.shape_inference.infer_shapes(light).graph
    except Exception:  # a graph that does not fit together is named by the checker
        return light.graph


def _types_by_tensor(graph: onnx.GraphProto, inferred: onnx.GraphProto) -> dict[str, int]:
    """ONNX's number of every tensor's element type, where it can be inferred; those of bodies as far as they say."""
    bodies = [entry.g for node in nodes_inside(graph) for entry in node.attribute if entry.HasField("g")]
    found: dict[str, int] = {}
    for each in (*bodies, inferred):
        values = (*each.input, *each.value_info, *each.output)
        found |= {
            value.name: value.type.tensor_type.elem_type for value in values if value.type.HasField("tensor_type")
        }
        found |= {tensor.name: tensor.data_type for tensor in each.initializer}
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _quantised_precision(
    graph: onnx.GraphProto, types: Mapping[str, int], initialisers: Collection[str]
) -> tuple[Precision | None, tuple[str, ...]]:
    """int8 or fp8 where the graph has quantised activations or operators on them; and what else is stored in few bits.

    Weights alone that are stored so compute in what is made of them, and so do activations in 16 bits.
    """
    from onnx import TensorProto

    known: dict[int, Precision | None] = {
        TensorProto.INT8: Precision.INT8,
        TensorProto.UINT8: Precision.INT8,
        TensorProto.FLOAT8E4M3FN: Precision.FP8,
        TensorProto.FLOAT8E5M2: Precision.FP8,
    }
    undecided = {TensorProto.INT32, TensorProto.UNDEFINED}  # a bias: what it is added to decides
    weights = set(constants_of(graph, dict.fromkeys([*initialisers, *stored_tensors(graph)])))
    bodies = (entry.g for node in nodes_inside(graph) for entry in node.attribute if entry.HasField("g"))
    weights.update(name for body in bodies for name in stored_tensors(body))
    found: set[Precision] = set()
    others: Counter[str] = Counter()
    for node in nodes_inside(graph):
        if node.op_type in INTEGER_OPS:
            found.add(Precision.INT8)
        elif node.op_type in _LINEAR:
            made = node.op_type == "QuantizeLinear"
            if made and node.input[0] in weights:
                continue
            kind = types.get(node.output[0] if made else node.input[0], TensorProto.UNDEFINED)
            is_weight = not made and node.input[0] in weights
            precision = known.get(kind)
            if precision is not None and not is_weight:
                found.add(precision)
            elif kind not in undecided:
                name = TensorProto.DataType.Name(kind).lower()
                others[f"{'weights' if is_weight else 'activations'} are stored in {name}"] += 1
    if Precision.FP8 in found:
        return Precision.FP8, ()
    return (Precision.INT8 if found else None), tuple(f"{what} ({count})" for what, count in others.items())


def _float_operations(graph: onnx.GraphProto, types: Mapping[str, int]) -> Counter[Precision]:
    """Convolutions and matrix products by the type they compute in; all operations where there are none."""
    nodes = list(nodes_inside(graph))
    counts: Counter[Precision] = Counter()
    for node in [node for node in nodes if node.op_type in PRODUCT_OPS] or nodes:
        counts.update(list(_float_types(node, types))[:1])
    return counts


def _float_types(node: onnx.NodeProto, types: Mapping[str, int]) -> Iterator[Precision]:
    """The floating-point types of what a node reads, then of what it makes."""
    from onnx import TensorProto

    kinds: dict[int, Precision] = {
        TensorProto.DOUBLE: Precision.FP64,
        TensorProto.FLOAT: Precision.FP32,
        TensorProto.FLOAT16: Precision.FP16,
        TensorProto.BFLOAT16: Precision.BF16,
    }
    for value in (*node.input, *node.output):
        kind = types.get(value, TensorProto.UNDEFINED)
        if kind in kinds:
            yield kinds[kind]
