"""Which opset does a graph use, and how is it converted to a newer one with its names, metadata and weights?"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError
from benchbox.graph.bodies import bodies_of, nodes_inside
from benchbox.graph.graph import node_names
from benchbox.graph.standins import with_stand_ins
from benchbox.graph.stored import stored_tensors

if TYPE_CHECKING:
    import onnx

OPSET = 20

# Smaller constants may be axes and sizes, which the converter reads.
_WEIGHT_ELEMENTS = 1024
APART_IR = 4
# Since opset 21 a group normalisation has scales by channel, before by group.
_OTHERWISE_SINCE = {"GroupNormalization": 21}
# Since opset 11 a Resize says which points it samples, and by default others than before.
_RESIZE_SAYS_POINTS = 11
# Since opset 13 a Hardmax is along one axis; before, along all that are left of a matrix.
_HARDMAX_OF_AXIS = 13
_STANDARD = ("", "ai.onnx")


def opset_of(proto: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that a model uses, 0 for none."""
    return max((entry.version for entry in proto.opset_import if entry.domain in _STANDARD), default=0)


def with_node_names(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same model, its nodes called as cost tables call them where they have no name or share one."""
    for node, name in zip(proto.graph.node, node_names(proto.graph), strict=True):
        node.name = name
    return proto


def structure_of(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose large weights are inputs at the end: enough for shapes and types, at a small part of the memory."""
    import onnx

    light = onnx.ModelProto()
    for field, value in proto.ListFields():
        if field.name == "graph":
            _copy_without_weights(value, light.graph)
        elif hasattr(value, "extend"):
            getattr(light, field.name).extend(value)
        else:
            setattr(light, field.name, value)
    return light


def _copy_without_weights(graph: onnx.GraphProto, light: onnx.GraphProto) -> None:
    import onnx

    light.name, light.doc_string = graph.name, graph.doc_string
    light.node.extend(graph.node)
    light.input.extend(graph.input)
    light.output.extend(graph.output)
    light.value_info.extend(graph.value_info)
    light.sparse_initializer.extend(graph.sparse_initializer)
    light.quantization_annotation.extend(graph.quantization_annotation)
    light.metadata_props.extend(graph.metadata_props)
    known = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if not _is_weight(tensor):
            light.initializer.append(tensor)
        elif tensor.name not in known:
            light.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))


def _is_weight(tensor: onnx.TensorProto) -> bool:
    size = 1
    for dim in tensor.dims:
        size *= dim
    return size > _WEIGHT_ELEMENTS


def structure_at_opset(proto: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The structure of a model (see ``structure_of``) with the operators of ``opset``, or its own if that is newer.

    onnx's version converter drops the metadata of nodes, which costs and layers are matched by: it is restored.

    Raises:
        ArtifactError: the converter does not support one of the operators, or its graph fails the checker.
    """
    import onnx
    from onnx import version_converter

    light = structure_of(proto)
    if opset_of(proto) >= opset:
        return light
    _require_same_meaning(light, opset)
    resized = _resized(light, opset)
    _flatten_hardmax(light, opset)
    # What a file claims of its tensors may be wrong, and would be refused where it is carried over.
    _forget_claims(light.graph)
    claimed = [copy.deepcopy(value) for value in light.graph.output]
    _open_sizes(light.graph.output)
    # Before IR version 4 every initialiser had to be an input too, which those that the converter adds are not.
    light.ir_version = max(light.ir_version, APART_IR)
    try:
        raised = version_converter.convert_version(light, opset)
        _restore_metadata(light, raised)
        _say_points(raised, resized)
        _forget_claims(raised.graph)
        # An output may leave its shape open, and the checker asks for one.
        shown = [copy.deepcopy(value) for value in raised.graph.output if value.type.tensor_type.HasField("shape")]
        del raised.graph.output[:]
        raised.graph.output.extend(shown)
        _open_sizes(raised.graph.output)
        # The inference of some operators fails on what runs (``standins.py``).
        onnx.checker.check_model(with_stand_ins(raised), full_check=True)
        del raised.graph.output[:]
        raised.graph.output.extend(claimed)
    except Exception as error:  # the converter raises RuntimeError, the checker two errors of its own
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise ArtifactError(
            f"the network cannot be converted from opset {opset_of(proto)} to opset {opset}",
            values=f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}",
            remedy="export it again with a newer opset, or run it in another precision",
        ) from error
    return raised


def _forget_claims(graph: onnx.GraphProto) -> None:
    """Drops what a graph says of the tensors in it and inside of its branches and loops."""
    del graph.value_info[:]
    for node in nodes_inside(graph):
        for body in bodies_of(node):
            del body.value_info[:]


def _require_same_meaning(proto: onnx.ModelProto, opset: int) -> None:
    """Raises ArtifactError for an operator that the converter does not know, or that means something else later."""
    from onnx import defs

    for node in nodes_inside(proto.graph):
        if node.domain in _STANDARD and not defs.has(node.op_type):
            raise ArtifactError(
                f"the network cannot be converted from opset {opset_of(proto)} to opset {opset}",
                values=f"node {node.name or node.output[0]} ({node.op_type}) is not an operator of ONNX",
                remedy="take the file from before a runtime optimised it, or run it in another precision",
            )
        first = _OTHERWISE_SINCE.get(node.op_type, opset + 1)
        if node.domain in _STANDARD and opset_of(proto) < first <= opset:
            raise ArtifactError(
                f"the network cannot be converted from opset {opset_of(proto)} to opset {opset}",
                values=f"node {node.name or node.output[0]} ({node.op_type}) has scales of another shape since opset "
                f"{first}",
                remedy=f"export it again with opset {opset}, or run it in another precision",
            )


def _open_sizes(values: Iterable[onnx.ValueInfoProto]) -> None:
    for value in values:
        for dim in value.type.tensor_type.shape.dim:
            dim.Clear()


def _resized(proto: onnx.ModelProto, opset: int) -> dict[str, bytes]:
    """Which point is nearest, by output of a Resize or an Upsample from before they said which points they sample.

    The converter hands them on with the default of later opsets, which are the centres of pixels. They took the corner
    on the upper left (ONNX Runtime, upsamplebase.h): of the point, or where they made a picture smaller the next one.
    """
    if not opset_of(proto) < _RESIZE_SAYS_POINTS <= opset:
        return {}
    stored = stored_tensors(proto.graph)
    return {
        node.output[0]: b"ceil" if node.op_type == "Resize" and _makes_smaller(node, stored) else b"floor"
        for node in proto.graph.node
        if node.op_type in ("Resize", "Upsample") and node.domain in _STANDARD
    }


def _makes_smaller(node: onnx.NodeProto, stored: Mapping[str, onnx.TensorProto]) -> bool:
    from onnx import numpy_helper

    scales = stored.get(node.input[1]) if len(node.input) > 1 else None
    return scales is not None and bool((numpy_helper.to_array(scales) < 1).any())


def _say_points(proto: onnx.ModelProto, nearest: Mapping[str, bytes]) -> None:
    from onnx import helper

    for node in proto.graph.node:
        if node.op_type == "Resize" and node.output[0] in nearest:
            said = {"coordinate_transformation_mode": b"asymmetric", "nearest_mode": nearest[node.output[0]]}
            kept = [entry for entry in node.attribute if entry.name not in said]
            made = [helper.make_attribute(name, value) for name, value in said.items()]
            attributes = [copy.deepcopy(entry) for entry in (*kept, *made)]
            del node.attribute[:]
            node.attribute.extend(attributes)


def _flatten_hardmax(proto: onnx.ModelProto, opset: int) -> None:
    """Writes down the matrix that a Hardmax of an old opset takes its input for: the converter does so for Softmax."""
    from onnx import helper

    if not opset_of(proto) < _HARDMAX_OF_AXIS <= opset:
        return
    nodes = []
    for node in proto.graph.node:
        if node.op_type != "Hardmax" or node.domain not in _STANDARD:
            nodes.append(copy.deepcopy(node))
            continue
        source, made = node.input[0], node.output[0]
        axis = next((entry.i for entry in node.attribute if entry.name == "axis"), 1)
        shape, flat, chosen = (f"{made}/benchbox.{part}" for part in ("shape", "flat", "chosen"))
        nodes += [
            helper.make_node("Shape", [source], [shape]),
            helper.make_node("Flatten", [source], [flat], axis=axis),
            helper.make_node("Hardmax", [flat], [chosen], axis=1),
            helper.make_node("Reshape", [chosen, shape], [made], name=node.name),
        ]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def raised_to(proto: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """A model in the operators of ``opset``, weights and all; the same object where its own are as new.

    Raises:
        ArtifactError: what ``structure_at_opset`` raises.
    """
    import onnx

    if opset_of(proto) >= opset:
        return proto
    made = structure_at_opset(proto, opset)
    stored = {tensor.name for tensor in made.graph.initializer}
    weights = [tensor for tensor in proto.graph.initializer if tensor.name not in stored]
    apart = {tensor.name for tensor in weights} - {value.name for value in proto.graph.input}
    inputs = [copy.deepcopy(value) for value in made.graph.input if value.name not in apart]
    del made.graph.input[:]
    made.graph.input.extend(inputs)
    made.graph.initializer.extend(weights)
    needed = onnx.helper.find_min_ir_version_for(list(made.opset_import), ignore_unknown=True)
    made.ir_version = max(made.ir_version, needed)
    return made


def _restore_metadata(before: onnx.ModelProto, after: onnx.ModelProto) -> None:
    made = {tuple(node.output): node for node in after.graph.node}
    for node in before.graph.node:
        twin = made.get(tuple(node.output))
        if twin is not None:
            twin.name, twin.doc_string = node.name, node.doc_string
            if not twin.metadata_props:
                twin.metadata_props.extend(node.metadata_props)
