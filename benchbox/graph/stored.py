"""Which tensors of a graph follow from constants alone, and from which that the file stores?

Weights are initialisers in most files, Constant nodes in some (Paddle2ONNX, CNTK), and in others what a Cast, a
Transpose, a Reshape or a DequantizeLinear makes of either. A runtime computes all of it once, when it loads the file:
nothing of it is work or an activation of an inference. A sparse tensor is the dense one that it stands for: so runtimes
hold it, and so many parameters the network has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from benchbox.graph.opset import STANDARD_DOMAINS

if TYPE_CHECKING:
    import onnx

_RANDOM = frozenset(
    {
        *("Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"),
        "RandomUniformLike",
    }
)
_MICROSOFT = "com.microsoft"
# Sparse tensors of up to this number of elements may hold sizes or scales, whose numbers are asked for.
_DENSE = 1 << 16
# No limit: all numbers are wanted.
WHOLE = 1 << 62


def stored_tensors(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """The tensors that a file stores by the name under which nodes read them: initialisers and Constant nodes."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    found.update((sparse.values.name, dense_from_sparse(sparse)) for sparse in graph.sparse_initializer)
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in STANDARD_DOMAINS:
            found.update((node.output[0], value) for entry in node.attribute if (value := _value(entry)) is not None)
    return found


def _value(attribute: onnx.AttributeProto) -> onnx.TensorProto | None:
    """A Constant's value, which may be written as a number or a list instead of a tensor."""
    from onnx import TensorProto, helper

    if attribute.name == "value":
        return attribute.t
    if attribute.name == "sparse_value":
        return dense_from_sparse(attribute.sparse_tensor)
    if attribute.name in ("value_float", "value_floats"):
        numbers, kind = list(attribute.floats), TensorProto.FLOAT
        alone: float = attribute.f
    elif attribute.name in ("value_int", "value_ints"):
        numbers, kind = list(attribute.ints), TensorProto.INT64
        alone = attribute.i
    else:
        return None
    if attribute.name.endswith("s"):
        return helper.make_tensor("", kind, [len(numbers)], numbers)
    return helper.make_tensor("", kind, [], [alone])


def dense_from_sparse(sparse: onnx.SparseTensorProto, *, most: int = _DENSE) -> onnx.TensorProto:
    """The tensor that a sparse one stands for; without numbers where it has more elements, or its own were left out.

    Args:
        sparse: values, their places (NNZ, or NNZ x rank), and the sizes of the dense tensor.
        most: elements up to which its numbers are filled in.
    """
    import numpy as np
    from onnx import TensorProto, numpy_helper

    dense = TensorProto(name=sparse.values.name, data_type=sparse.values.data_type, dims=list(sparse.dims))
    elements = math.prod(sparse.dims)
    if not 0 <= elements <= most or not (holds_numbers(sparse.values) and holds_numbers(sparse.indices)):
        return dense
    try:
        values, places = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
        array = np.zeros(elements, values.dtype)
        if places.ndim == 2:
            places = np.ravel_multi_index(tuple(places.T), tuple(sparse.dims))
        array[places] = values
    except (ValueError, TypeError, IndexError):  # what does not fit together is named by the checker
        return dense
    dense.raw_data = numpy_helper.from_array(array).raw_data
    return dense


def with_dense_weights(proto: onnx.ModelProto, *, most: int = _DENSE) -> onnx.ModelProto:
    """The same model, its sparse tensors written as dense ones (``dense_from_sparse``)."""
    graph = proto.graph
    graph.initializer.extend(dense_from_sparse(sparse, most=most) for sparse in graph.sparse_initializer)
    del graph.sparse_initializer[:]
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "sparse_value":
                dense = dense_from_sparse(attribute.sparse_tensor, most=most)
                attribute.Clear()
                attribute.name, attribute.type = "value", attribute.TENSOR
                attribute.t.CopyFrom(dense)
    return proto


def sparse_names(graph: onnx.GraphProto) -> set[str]:
    """The names under which nodes read tensors that the file stores sparsely."""
    return {sparse.values.name for sparse in graph.sparse_initializer} | {
        node.output[0]
        for node in graph.node
        if node.op_type == "Constant" and any(entry.name == "sparse_value" for entry in node.attribute)
    }


def holds_numbers(tensor: onnx.TensorProto) -> bool:
    """Whether the numbers of a tensor are in the message itself, or it has none."""
    if math.prod(tensor.dims) == 0:
        return True
    fields = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
    return bool(tensor.raw_data or tensor.string_data or any(len(field) for field in fields))


def constants_of(graph: onnx.GraphProto, stored: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """For every tensor that follows from constants, the stored ones that it is computed from; those are their own.

    Args:
        graph: makers before users.
        stored: the names of its stored tensors (``stored_tensors``).
    """
    found: dict[str, tuple[str, ...]] = {name: (name,) for name in stored}
    for node in graph.node:
        if not node.input or node.op_type in _RANDOM or node.domain not in (*STANDARD_DOMAINS, _MICROSOFT):
            continue
        if any(name and name not in found for name in node.input) or any(
            entry.HasField("g") for entry in node.attribute
        ):
            continue
        sources = tuple(dict.fromkeys(source for name in node.input if name for source in found[name]))
        found.update((name, sources) for name in node.output if name and name not in found)
    return found
