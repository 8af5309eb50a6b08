"""What would hardware make of a bf16 graph, seen on a machine whose runtime has no bf16 kernels?

The same graph in fp32, with every tensor that is bf16 in the original rounded to bf16 behind the node that makes it:
products of bf16 numbers are exact in fp32, sums are kept in fp32 and rounded once, as matrix units do it. It is for
checking outputs only: its speed means nothing, and what was checked so says that it was emulated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from benchbox.errors import ArtifactError
from benchbox.export.opsets import structure_of

if TYPE_CHECKING:
    import onnx


def emulated_from_bf16(proto: onnx.ModelProto) -> onnx.ModelProto:
    """An fp32 graph that rounds where a bf16 graph would.

    Raises:
        ArtifactError: an input or output of the graph is bf16 itself.
    """
    import onnx
    from onnx import TensorProto

    light = structure_of(proto)
    inferred = onnx.shape_inference.infer_shapes(light).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    rounded = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.BFLOAT16}
    weights = {tensor.name: tensor for tensor in (*proto.graph.initializer, *light.graph.initializer)}
    border = {value.name for value in (*proto.graph.input, *proto.graph.output)}
    if border & rounded - weights.keys():
        raise ArtifactError(
            "a network with bf16 inputs or outputs cannot be checked",
            values=", ".join(sorted(border & rounded - weights.keys())),
            remedy="give it fp32 inputs and outputs behind casts",
        )
    nodes: list[onnx.NodeProto] = []
    for node in light.graph.node:
        nodes += _with_rounding(node, rounded)
    copies = [_node(node) for node in nodes]
    del light.graph.node[:]
    light.graph.node.extend(copies)
    del light.graph.value_info[:]
    del light.graph.initializer[:]
    for tensor in weights.values():
        light.graph.initializer.add().CopyFrom(_wide(tensor))
    inputs = [_value(value) for value in light.graph.input if value.name not in weights]
    del light.graph.input[:]
    light.graph.input.extend(inputs)
    return light


def require_rounded(proto: onnx.ModelProto, outputs: Mapping[str, np.ndarray]) -> None:
    """Raises ArtifactError if outputs that a bf16 graph casts from bf16 hold digits that bf16 has not.

    A runtime that takes the rounding for a cast without effect would make the emulation an fp32 run.
    """
    import ml_dtypes
    import onnx

    light = structure_of(proto)
    inferred = onnx.shape_inference.infer_shapes(light).graph
    rounded = {
        value.name for value in inferred.value_info if value.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16
    }
    for node in proto.graph.node:
        if node.op_type != "Cast" or node.input[0] not in rounded or node.output[0] not in outputs:
            continue
        made = outputs[node.output[0]]
        if not np.array_equal(made.astype(ml_dtypes.bfloat16).astype(made.dtype), made, equal_nan=True):
            raise ArtifactError(
                "the runtime left out the roundings of an emulated bf16 graph",
                values=f"output {node.output[0]} holds numbers that bf16 has not",
                remedy="use another version of ONNX Runtime",
            )


def _with_rounding(node: onnx.NodeProto, rounded: set[str]) -> Iterable[onnx.NodeProto]:
    """The node in fp32, and behind it the roundings of what it makes."""
    from onnx import TensorProto, helper

    for attribute in node.attribute:
        if attribute.name in {"to", "dtype"} and attribute.i == TensorProto.BFLOAT16:
            attribute.i = TensorProto.FLOAT
        elif attribute.HasField("t") and attribute.t.data_type == TensorProto.BFLOAT16:
            attribute.t.CopyFrom(_wide(attribute.t))
    yield node
    for position, value in enumerate(list(node.output)):
        if value not in rounded:
            continue
        exact, short = f"{value}.exact", f"{value}.rounded"
        node.output[position] = exact
        yield helper.make_node("Cast", [exact], [short], name=f"{short}.cast", to=TensorProto.BFLOAT16)
        yield helper.make_node("Cast", [short], [value], name=f"{value}.widened", to=TensorProto.FLOAT)


def _wide(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """A bf16 tensor in fp32, which holds the same numbers; another one as it is."""
    from onnx import TensorProto, numpy_helper

    if tensor.data_type != TensorProto.BFLOAT16:
        return tensor
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)


def _node(node: onnx.NodeProto) -> onnx.NodeProto:
    import onnx

    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _value(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    import onnx

    copy = onnx.ValueInfoProto()
    copy.CopyFrom(value)
    return copy
