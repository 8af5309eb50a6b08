"""In which precision is a graph from elsewhere?

The precision of a network is what its convolutions and matrix products compute in, not what its weights are stored in:
fp32 weights behind casts to fp16 make an fp16 network. Quantised weights and activations make it int8 or fp8, and then
the type that the pairs give back is what the rest computes in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.errors import UsageError
from benchbox.export.opsets import structure_of
from benchbox.schema.model import Precision

if TYPE_CHECKING:
    import onnx

MATRIX_OPS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "Attention", "LSTM", "GRU", "RNN"})
# Operators on eight-bit numbers: of ONNX, and of ONNX Runtime's own domain.
INTEGER_OPS = frozenset(
    {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "QGemm", "QAttention",
     "DynamicQuantizeMatMul", "MatMulIntegerToFloat"}
)  # fmt: skip
# Products whose weights alone are stored in few bits: they compute in the type of their other input.
_WEIGHTS_ONLY = frozenset({"MatMulNBits", "MatMulBnb4", "MatMulFpQ4"})
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
        proto = onnx.load(str(path), load_external_data=False)
    except Exception:  # protobuf's errors share no base class
        return Precision.FP32
    return contents_of(proto).precision


def contents_of(proto: onnx.ModelProto) -> Contents:
    """What a graph computes in: most of its operations where they differ, which is a warning.

    Raises:
        UsageError: fp64, or quantised to a type that benchbox does not support.
    """
    types = _types_by_tensor(proto)
    eight_bit = _quantised_precision(proto, types)
    counts = _float_operations(proto, types)
    rest = counts.most_common(1)[0][0] if counts else Precision.FP32
    if eight_bit is not None:
        return Contents(precision=eight_bit, rest=rest)
    warnings: tuple[str, ...] = ()
    if len(counts) > 1:
        words = ", ".join(f"{count} in {kind}" for kind, count in counts.most_common())
        warnings = (f"mixed precision, counted as {rest}: of the convolutions and matrix products {words}",)
    return Contents(precision=rest, rest=rest, warnings=warnings)


def _types_by_tensor(proto: onnx.ModelProto) -> dict[str, int]:
    """ONNX's number of every tensor's element type, where it can be inferred."""
    import onnx

    light = structure_of(proto)
    try:
        inferred = onnx.shape_inference.infer_shapes(light).graph
    except Exception:  # a graph that does not fit together is named by the checker
        inferred = light.graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    found = {value.name: value.type.tensor_type.elem_type for value in values if value.type.HasField("tensor_type")}
    return found | {tensor.name: tensor.data_type for tensor in proto.graph.initializer}


def _quantised_precision(proto: onnx.ModelProto, types: Mapping[str, int]) -> Precision | None:
    """int8 or fp8 where the graph has quantised tensors or operators on them, None where it has none."""
    import onnx
    from onnx import TensorProto

    known: dict[int, Precision | None] = {
        TensorProto.INT8: Precision.INT8,
        TensorProto.UINT8: Precision.INT8,
        TensorProto.INT32: None,  # a bias: what it is added to decides
        TensorProto.FLOAT8E4M3FN: Precision.FP8,
        TensorProto.FLOAT8E5M2: Precision.FP8,
        TensorProto.UNDEFINED: None,
    }
    found: set[Precision] = set()
    for node in proto.graph.node:
        if node.op_type in INTEGER_OPS:
            found.add(Precision.INT8)
        elif node.op_type in _LINEAR:
            short = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
            kind = types.get(short, TensorProto.UNDEFINED)
            if kind not in known:
                raise _no_precision(node, onnx.TensorProto.DataType.Name(kind).lower())
            found.update(precision for precision in [known[kind]] if precision is not None)
    if Precision.FP8 in found:
        return Precision.FP8
    return Precision.INT8 if found else None


def _no_precision(node: onnx.NodeProto, kind: str) -> UsageError:
    return UsageError(
        f"networks quantised to {kind} are not supported",
        values=f"node {node.name} ({node.op_type}); supported: {', '.join(Precision)}",
        remedy="give the fp32 file, and --precision int8 or fp8; or build its engine with trtexec, and run that with "
        "the fp32 file beside it: benchbox run net.plan",
    )


def _float_operations(proto: onnx.ModelProto, types: Mapping[str, int]) -> Counter[Precision]:
    """Convolutions and matrix products by the type they compute in; all operations where there are none."""
    products = [node for node in proto.graph.node if node.op_type in MATRIX_OPS | _WEIGHTS_ONLY]
    counts: Counter[Precision] = Counter()
    for node in products or proto.graph.node:
        counts.update(list(_float_types(node, types))[:1])
    return counts


def _float_types(node: onnx.NodeProto, types: Mapping[str, int]) -> Iterator[Precision]:
    """The floating-point types of what a node reads, then of what it makes."""
    from onnx import TensorProto

    kinds: dict[int, Precision] = {
        TensorProto.FLOAT: Precision.FP32,
        TensorProto.FLOAT16: Precision.FP16,
        TensorProto.BFLOAT16: Precision.BF16,
    }
    for value in (*node.input, *node.output):
        kind = types.get(value)
        if kind == TensorProto.DOUBLE and node.op_type in MATRIX_OPS:
            raise UsageError(
                "networks in fp64 are not supported",
                values=f"node {node.name} ({node.op_type}) reads or makes {value} in fp64",
                remedy="export it in fp32",
            )
        if kind in kinds:
            yield kinds[kind]
