"""What is inside an If, a Loop or a Scan: models of their own, what they read from outside being inputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError
from benchbox.graph.opset import STANDARD_DOMAINS

if TYPE_CHECKING:
    import onnx

    from benchbox.graph.node import Tensor

_UNUSED = "benchbox.unused"
_CARRIED = 2  # a Loop's inputs begin with the number of turns and a condition, its body's with the turn and a condition
# Constants up to this number of elements may be sizes or scales, which a body needs to know.
_SMALL = 64


def body_models(
    proto: onnx.ModelProto,
    node: onnx.NodeProto,
    *,
    tensors: Mapping[str, Tensor],
    stored: Mapping[str, onnx.TensorProto],
    taken: set[str],
) -> tuple[onnx.ModelProto, ...]:
    """The branches of an If, or the body of a Loop or a Scan, in the order of the attributes.

    Args:
        proto: that the node is in.
        node: of the graph.
        tensors: of the graph outside, with shapes and types.
        stored: tensors that the graph outside stores.
        taken: weights whose parameters are counted elsewhere; those that a body brings in are added.

    Raises:
        ArtifactError: the shape of something that a body reads is not known.
    """
    import onnx

    models = []
    for attribute in node.attribute:
        if not attribute.HasField("g"):
            continue
        model = onnx.ModelProto(ir_version=proto.ir_version, producer_name=proto.producer_name)
        model.opset_import.extend(proto.opset_import)
        model.graph.CopyFrom(attribute.g)
        carried = _IN_TURNS[node.op_type](node, attribute.g, tensors) if node.op_type in _IN_TURNS else []
        del model.graph.input[:]
        model.graph.input.extend(carried)
        for name in _read_from_outside(attribute.g):
            _bring_in(model.graph, name, node, tensors, stored, taken)
        if not model.graph.input:
            model.graph.input.append(onnx.helper.make_tensor_value_info(_UNUSED, onnx.TensorProto.FLOAT, []))
        models.append(model)
    return tuple(models)


def may_end_early(body: onnx.GraphProto, constants: Iterable[str]) -> bool:
    """Whether a Loop's body computes its condition, so that the number of turns may depend on data.

    Args:
        body: of the Loop.
        constants: names of the tensors in it that follow from constants.
    """
    condition = body.output[0].name
    made = {node.output[0]: node for node in body.node if node.output}
    while condition in made and made[condition].op_type == "Identity":
        condition = made[condition].input[0]
    return condition not in constants and condition != body.input[1].name


def _carried(
    node: onnx.NodeProto, body: onnx.GraphProto, tensors: Mapping[str, Tensor]
) -> Sequence[onnx.ValueInfoProto]:
    from onnx import TensorProto, helper

    outside = [*node.input[_CARRIED:]]
    if len(body.input) != len(outside) + _CARRIED:
        raise ArtifactError(
            f"node {node.name} (Loop) does not fit its body",
            values=f"it carries {len(outside)} values, its body reads {len(body.input)}",
        )
    first = [
        helper.make_tensor_value_info(value.name, kind, [])
        for value, kind in zip(body.input[:_CARRIED], (TensorProto.INT64, TensorProto.BOOL), strict=True)
    ]
    return [
        *first,
        *(
            _declared(inner.name, name, node, tensors)
            for inner, name in zip(body.input[_CARRIED:], outside, strict=True)
        ),
    ]


def _scanned(
    node: onnx.NodeProto, body: onnx.GraphProto, tensors: Mapping[str, Tensor]
) -> Sequence[onnx.ValueInfoProto]:
    """What a Scan's body reads: its states, and one slice of each scanned input."""
    states, axes = carried_by(node), axes_of_scan(node)
    if len(body.input) != len(node.input) or states < 0:
        raise ArtifactError(
            f"node {node.name} (Scan) does not fit its body",
            values=f"it reads {len(node.input)} values, {len(axes)} of them scanned, its body {len(body.input)}",
        )
    found = []
    for place, (inner, name) in enumerate(zip(body.input, node.input, strict=True)):
        declared = _declared(inner.name, name, node, tensors)
        if place >= states:
            dims = declared.type.tensor_type.shape.dim
            axis = axes[place - states]
            if not -len(dims) <= axis < len(dims):
                raise ArtifactError(f"node {node.name} (Scan) scans an axis that {name} does not have")
            del dims[axis % len(dims)]
        found.append(declared)
    return found


def carried_by(node: onnx.NodeProto) -> int:
    """How many values a Loop or a Scan carries from turn to turn."""
    return len(node.input) - (len(axes_of_scan(node)) if node.op_type == "Scan" else _CARRIED)


def axes_of_scan(node: onnx.NodeProto) -> list[int]:
    """The axis of each scanned input, along which a Scan takes its turns."""
    scanned = next((entry.i for entry in node.attribute if entry.name == "num_scan_inputs"), 0)
    axes = next((list(entry.ints) for entry in node.attribute if entry.name == "scan_input_axes"), [])
    return axes or [0] * scanned


def _declared(inner: str, outer: str, node: onnx.NodeProto, tensors: Mapping[str, Tensor]) -> onnx.ValueInfoProto:
    from onnx import helper

    tensor = tensors.get(outer)
    if tensor is None or not tensor.kind:
        raise ArtifactError(
            f"the shape of tensor {outer} cannot be inferred",
            values=f"it is read inside node {node.name} ({node.op_type})",
        )
    return helper.make_tensor_value_info(inner, tensor.kind, list(tensor.shape))


def _bring_in(
    graph: onnx.GraphProto,
    name: str,
    node: onnx.NodeProto,
    tensors: Mapping[str, Tensor],
    stored: Mapping[str, onnx.TensorProto],
    taken: set[str],
) -> None:
    constant = stored.get(name)
    if constant is None or (name in taken and math.prod(constant.dims) > _SMALL):
        graph.input.append(_declared(name, name, node, tensors))
        return
    taken.add(name)
    brought = graph.initializer.add()
    brought.CopyFrom(constant)
    brought.name = name


def _read_from_outside(graph: onnx.GraphProto) -> tuple[str, ...]:
    """The names that a body reads and does not make, in the order of their first use."""
    made = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    found: dict[str, None] = {}
    for node in graph.node:
        found.update((name, None) for name in (*node.input, *captured_by(node)) if name and name not in made)
        made.update(node.output)
    found.update((value.name, None) for value in graph.output if value.name not in made)
    return tuple(found)


def bodies_of(node: onnx.NodeProto) -> tuple[onnx.GraphProto, ...]:
    """The graphs inside a node."""
    return tuple(
        body for entry in node.attribute for body in (*([entry.g] if entry.HasField("g") else []), *entry.graphs)
    )


def captured_by(node: onnx.NodeProto) -> tuple[str, ...]:
    """The names that the graphs inside a node read from outside, each once; they are not among its inputs."""
    return tuple(dict.fromkeys(name for body in bodies_of(node) for name in _read_from_outside(body)))


def rename_captured(node: onnx.NodeProto, new: Mapping[str, str]) -> None:
    """Gives what the graphs inside a node read from outside other names, in place."""
    for body in bodies_of(node):
        own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
        own.update(name for inner in body.node for name in inner.output)
        outer = {name: other for name, other in new.items() if name not in own}
        for inner in body.node:
            inner.input[:] = [outer.get(name, name) for name in inner.input]
            rename_captured(inner, outer)
        for value in body.output:
            value.name = outer.get(value.name, value.name)


def passed_on(node: onnx.NodeProto, body: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    """Which tensors have the numbers of which: of those outside inside of a body, of those inside behind the node."""
    if node.op_type == "Loop":
        yield from zip(node.input[_CARRIED:], (value.name for value in body.input[_CARRIED:]), strict=False)
        made = body.output[1:]
    else:
        yield from zip(node.input if node.op_type == "Scan" else (), (value.name for value in body.input), strict=False)
        made = body.output[:]
    yield from zip((value.name for value in made), node.output, strict=False)


def nodes_inside(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of all branches and loops in it."""
    for node in graph.node:
        yield node
        for body in bodies_of(node):
            yield from nodes_inside(body)


def has_bodies(node: onnx.NodeProto) -> bool:
    """Whether a node is an If, a Loop or a Scan."""
    return node.op_type in ("If", "Loop", "Scan") and node.domain in STANDARD_DOMAINS


_IN_TURNS = {"Loop": _carried, "Scan": _scanned}
