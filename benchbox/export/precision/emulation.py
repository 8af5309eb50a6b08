"""What would a 16-bit graph give on hardware for it, on a machine whose runtime computes in fp32?

The same graph in fp32, with every tensor that has 16 bits in the original rounded behind the node that makes it: sums
are kept in fp32 and rounded once, as matrix units do it.

ONNX Runtime's CPU provider has no bf16 kernels, and computes fp16 graphs in fp32 without rounding between nodes: it
drops pairs of casts, at every optimisation level, so that an overflow in fp16 goes unnoticed. Results of an
emulation say so.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from benchbox.errors import ArtifactError
from benchbox.export.opsets import structure_of
from benchbox.export.precision.sixteenbit_formats import SixteenBit
from benchbox.graph.bodies import bodies_of, nodes_inside
from benchbox.schema.model import Precision

if TYPE_CHECKING:
    import onnx


def emulated_from_graph(proto: onnx.ModelProto, form: SixteenBit) -> onnx.ModelProto:
    """A graph in fp32 that rounds where one in fp16 or bf16 would. Inputs and outputs keep their types.

    Raises:
        ArtifactError: an input or output of the graph is bf16, for which numpy has no type.
    """
    light = structure_of(proto)
    short = _sixteen_bit_tensors(light, form)
    weights = {tensor.name: tensor for tensor in (*proto.graph.initializer, *light.graph.initializer)}
    border = {value.name for value in (*proto.graph.input, *proto.graph.output)} & short - weights.keys()
    if border and form.precision is Precision.BF16:
        raise ArtifactError(
            f"a network with {form.precision} inputs or outputs cannot be checked",
            values=", ".join(sorted(border)),
            remedy="give it fp32 inputs and outputs behind casts",
        )
    taken = [_widened(value.name) for value in proto.graph.input if value.name in border]
    nodes = [*taken, *(made for node in light.graph.node for made in _with_rounding(node, short, border, form))]
    copies = [copy.deepcopy(node) for node in nodes]  # clearing the graph would clear them
    del light.graph.node[:]
    light.graph.node.extend(copies)
    del light.graph.value_info[:]
    del light.graph.initializer[:]
    for tensor in weights.values():
        light.graph.initializer.append(_wide(tensor, form))
    inputs = [copy.deepcopy(value) for value in light.graph.input if value.name not in weights]
    del light.graph.input[:]
    light.graph.input.extend(inputs)
    return light


def require_rounded(proto: onnx.ModelProto, form: SixteenBit, outputs: Mapping[str, np.ndarray]) -> None:
    """Raises ArtifactError if outputs that a graph casts from 16 bits hold digits that the format cannot.

    A runtime that removes the rounding as a cast without effect turns the emulation into an fp32 run.
    """
    short = _sixteen_bit_tensors(structure_of(proto), form)
    for node in proto.graph.node:
        if node.op_type != "Cast" or node.input[0] not in short or node.output[0] not in outputs:
            continue
        made = outputs[node.output[0]]
        with np.errstate(over="ignore"):
            exact = np.array_equal(made.astype(form.dtype).astype(made.dtype), made, equal_nan=True)
        if not exact:
            raise ArtifactError(
                f"the runtime removed the roundings of an emulated {form.precision} graph",
                values=f"output {node.output[0]} holds numbers that {form.precision} cannot",
                remedy="use another version of ONNX Runtime",
            )


def _sixteen_bit_tensors(light: onnx.ModelProto, form: SixteenBit) -> set[str]:
    import onnx

    inferred = onnx.shape_inference.infer_shapes(light).graph
    bodies = (body for node in nodes_inside(inferred) for body in bodies_of(node))
    values = (value for each in (inferred, *bodies) for value in (*each.input, *each.value_info, *each.output))
    return {value.name for value in values if value.type.tensor_type.elem_type == form.onnx_type}


def _with_rounding(
    node: onnx.NodeProto, short: set[str], border: set[str], form: SixteenBit
) -> Iterable[onnx.NodeProto]:
    """The node in fp32, and behind it the roundings of what it makes.

    A value keeps its name in fp32; an input or output of the graph has 16 bits under its name, another name in fp32.
    """
    from onnx import TensorProto, helper

    for attribute in node.attribute:
        if attribute.name in {"to", "dtype"} and attribute.i == form.onnx_type:
            attribute.i = TensorProto.FLOAT
        elif attribute.HasField("t") and attribute.t.data_type == form.onnx_type:
            attribute.t.CopyFrom(_wide(attribute.t, form))
    for body in bodies_of(node):
        _round_inside(body, short, border, form)
    for position, value in enumerate(list(node.input)):
        node.input[position] = f"{value}.widened" if value in border else value
    made = [(position, value) for position, value in enumerate(node.output) if value in short]
    for position, value in made:
        node.output[position] = f"{value}.exact"
    yield node
    for _, value in made:
        exact, rounded = f"{value}.exact", value if value in border else f"{value}.rounded"
        yield helper.make_node("Cast", [exact], [rounded], name=f"{exact}.cast", to=form.onnx_type)
        if value in border:
            yield _widened(value)
        else:
            yield helper.make_node("Cast", [rounded], [value], name=f"{rounded}.cast", to=TensorProto.FLOAT)


def _round_inside(body: onnx.GraphProto, short: set[str], border: set[str], form: SixteenBit) -> None:
    """Makes a branch or the body of a loop one in fp32 that rounds, in place."""
    from onnx import TensorProto

    nodes = [copy.deepcopy(made) for node in body.node for made in _with_rounding(node, short, border, form)]
    del body.node[:]
    body.node.extend(nodes)
    del body.value_info[:]
    for value in (*body.input, *body.output):
        if value.type.tensor_type.elem_type == form.onnx_type:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    weights = [copy.deepcopy(_wide(tensor, form)) for tensor in body.initializer]
    del body.initializer[:]
    body.initializer.extend(weights)


def _widened(value: str) -> onnx.NodeProto:
    from onnx import TensorProto, helper

    return helper.make_node("Cast", [value], [f"{value}.widened"], name=f"{value}.widened.cast", to=TensorProto.FLOAT)


def _wide(tensor: onnx.TensorProto, form: SixteenBit) -> onnx.TensorProto:
    """A 16-bit tensor in fp32, which holds the same numbers; another one as it is."""
    from onnx import numpy_helper

    if tensor.data_type != form.onnx_type:
        return tensor
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
