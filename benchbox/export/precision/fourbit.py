"""Which weights can be stored in four bits, in blocks, and what does a graph look like in which they are?

ONNX stores a weight in blocks along the axis that a product sums over: a scale for so many rows of each column
(DequantizeLinear of opset 21 with ``block_size``). NVIDIA ModelOpt blocks the first axis of a weight whatever the
product, and what it makes of a Gemm with transposed weights is invalid: such weights are transposed before it sees
them. Runtimes read whole blocks only, so that a weight whose rows the block does not divide stays as it is.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchbox.errors import ArtifactError, UsageError
from benchbox.schema.derivation import Converter, Derivation
from benchbox.schema.model import Precision

if TYPE_CHECKING:
    import onnx

OPSET_NEEDED = 21
# From ModelOpt's default down to the shortest that ONNX Runtime keeps packed; a scale for each block.
BLOCKS = (128, 64, 32, 16)
_NEARLY_ALL = 0.9  # of the elements
PRODUCTS = frozenset({"Gemm", "MatMul"})


@dataclass(frozen=True, kw_only=True)
class Storable:
    """The products whose weights are stored in blocks of ``block`` rows, by node name; ``weights`` are those."""

    nodes: tuple[str, ...]
    weights: tuple[str, ...]
    block: int


def require_converter(model: str, precision: Precision, derivation: Derivation) -> None:
    """Raises UsageError for int4 by this package, which has no conversion to it.

    Args:
        model: what the user called the network, for the command that works.
        precision: that is asked for.
        derivation: how it is made.
    """
    if precision is Precision.INT4 and derivation.converter is not Converter.MODELOPT:
        raise UsageError(
            "int4 is made by NVIDIA ModelOpt, not by benchbox",
            values="weights of MatMul and Gemm are stored in blocks of four bits, and cut by what their products lose; "
            "a file that has such weights already is measured in what it computes in, without --precision",
            remedy=f"benchbox run {model} --precision int4 --converter modelopt (pip install 'benchbox[modelopt]')",
        )


def with_rows_first(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph, changed in place: weights of Gemm nodes transposed where they were to be read so.

    A weight that others read as well gets a transposed copy. Data may be missing: then only shapes change.
    """
    import onnx

    graph = proto.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    readers = Counter(value for node in graph.node for value in node.input)
    turned: set[str] = set()
    for node in graph.node:
        if node.op_type != "Gemm" or not _flag(node, "transB") or node.input[1] not in tensors:
            continue
        tensor = tensors[node.input[1]]
        if readers[tensor.name] > 1:
            copy = graph.initializer.add()
            copy.CopyFrom(tensor)
            copy.name = f"{tensor.name}.{node.name}.transposed"
            node.input[1], tensor = copy.name, copy
        _turn(tensor)
        turned.add(tensor.name)
        next(entry for entry in node.attribute if entry.name == "transB").i = 0
    known = [value for value in graph.value_info if value.name not in turned]
    del graph.value_info[:]
    graph.value_info.extend(known)
    for value in graph.input:  # files of old tools list their weights as inputs too
        if value.name in turned:
            shape = list(tensors[value.name].dims)
            value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, shape))
    return proto


def storable(proto: onnx.ModelProto, exclude: Sequence[str] = ()) -> Storable:
    """What can be stored in four bits; see ``with_rows_first``, which comes before it.

    The block is the longest of ``BLOCKS`` with which nearly all can be stored that any of them could: shorter ones take
    more scales, not worth it for a small layer.

    Args:
        proto: data of weights may be missing.
        exclude: patterns of node names to leave as they are.

    Raises:
        ArtifactError: nothing can.
    """
    from onnx import TensorProto

    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    floats = {TensorProto.FLOAT, TensorProto.FLOAT16}
    found: list[tuple[str, onnx.TensorProto]] = []
    for node in proto.graph.node:
        if node.op_type not in PRODUCTS or any(fnmatch.fnmatchcase(node.name, pattern) for pattern in exclude):
            continue
        weight = tensors.get(node.input[1])
        plain = node.input[0] not in tensors and not _flag(node, "transA") and not _flag(node, "transB")
        if weight is not None and plain and len(weight.dims) == 2 and weight.data_type in floats:
            found.append((node.name, weight))
    sizes = {
        block: sum(weight.dims[0] * weight.dims[1] for _, weight in found if weight.dims[0] % block == 0)
        for block in BLOCKS
    }
    enough = _NEARLY_ALL * max(sizes.values())
    block = next(length for length in BLOCKS if sizes[length] >= enough)
    taken = [(name, weight.name) for name, weight in found if weight.dims[0] % block == 0]
    if not taken:
        kinds = Counter(node.op_type for node in proto.graph.node if node.op_type in {*PRODUCTS, "Conv"})
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) or "no product at all"
        raise ArtifactError(
            "nothing to store in int4: it is for weights of MatMul and Gemm",
            values=f"{counts}; of {len(found)} with constant weights of two axes that are not excluded, rows are no "
            f"multiple of {BLOCKS[-1]}"
            if found
            else f"{counts}; none has constant weights of two axes that are not excluded",
            remedy="for convolutions --precision int8",
        )
    names, weights = zip(*taken, strict=True)
    return Storable(nodes=names, weights=tuple(dict.fromkeys(weights)), block=block)


def four_bit_structure(proto: onnx.ModelProto, exclude: Sequence[str] = ()) -> onnx.ModelProto:
    """The structure of a graph whose weights are in four bits where they can be, without their data.

    Scales have the type that the weights had, one for each block of a column.

    Args:
        proto: in fp32 or fp16; data of weights may be missing. Changed in place.
        exclude: patterns of node names to leave as they are.

    Raises:
        ArtifactError: see ``storable``.
    """
    from onnx import TensorProto, helper, numpy_helper

    found = storable(with_rows_first(proto), exclude)
    graph = proto.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    added = []
    for name in found.weights:
        weight = tensors[name]
        rows, columns = weight.dims
        kind = np.dtype(np.float16 if weight.data_type == TensorProto.FLOAT16 else np.float32)
        scale, packed = f"{name}.scale", f"{name}.int4"
        graph.initializer.append(numpy_helper.from_array(np.ones((rows // found.block, columns), kind), scale))
        weight.CopyFrom(TensorProto(name=packed, dims=[rows, columns], data_type=TensorProto.INT4))
        added.append(
            helper.make_node(
                "DequantizeLinear", [packed, scale], [f"{name}.dq"], name=f"{name}.dq", axis=0, block_size=found.block
            )
        )
    for node in graph.node:
        if node.name in found.nodes:
            node.input[1] = f"{node.input[1]}.dq"
    nodes = [*added, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    gone = set(found.weights)
    for values in (graph.value_info, graph.input):
        kept = [value for value in values if value.name not in gone]
        del values[:]
        values.extend(kept)
    return proto


def _turn(tensor: onnx.TensorProto) -> None:
    """Transposes a weight of two axes, its data too where they are there."""
    from onnx import numpy_helper

    fields = {field.name for field, _ in tensor.ListFields()}
    if any(name.endswith("_data") for name in fields - {"external_data"}):
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).T.copy(), tensor.name))
    else:
        rows, columns = tensor.dims
        tensor.dims[:] = [columns, rows]


def _flag(node: onnx.NodeProto, name: str) -> bool:
    return any(entry.name == name and entry.i for entry in node.attribute)
