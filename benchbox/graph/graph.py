"""What is the structure of an ONNX file: nodes in order, with every shape concrete?

Shapes come from ONNX's own inference with data propagation, once the sizes of the inputs are known. Weights are not
needed: only integers that may be shapes or axes keep their data.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError, BenchboxError
from benchbox.graph.bodies import bodies_of, body_models, carried_by, has_bodies, may_end_early
from benchbox.graph.border import Border, Sizes
from benchbox.graph.contrib import Made
from benchbox.graph.external import read_external
from benchbox.graph.inference import Gathered, inferred, item_bytes
from benchbox.graph.node import Body, NodeView, Tensor
from benchbox.graph.opset import STANDARD_DOMAINS, standard_opset
from benchbox.graph.parameters import params_per_node
from benchbox.graph.propagation import small_values
from benchbox.graph.stored import constants_of, holds_numbers, sparse_names, stored_tensors, with_dense_weights
from benchbox.graph.structure import bind_sizes, node_count, proto_from_file, require_single_assignment

if TYPE_CHECKING:
    import onnx

# Constants up to these numbers of elements may be shapes, axes or scales and take part in shape inference.
SMALL_INTEGERS, SMALL_FLOATS = 1024, 64
# Operators whose work depends on the values of their first inputs, and how many of these there are.
_COUNTED = {"Loop": 1, "DFT": 3, "STFT": 4}
_DFT_AXIS_IS_AN_INPUT = 20  # since this opset


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A graph with the sizes of its inputs bound.

    ``weights`` are the tensors that the file stores, initialisers and Constant nodes, by name; ``constants`` all
    tensors that follow from them alone, each with the weights that it is computed from (a weight with itself).
    ``params_of`` are the trainable parameters that a node stands for, per node name; ``params`` their total as our
    exporter noted it in the file, None in a file from elsewhere. ``onnx_nodes`` are all nodes of the file, those in
    branches and loops and its Constants too, with local functions put in place. ``batch`` is the number of samples of
    one inference, 1 where no axis counts them, and ``sample_shape`` the shape of the first input without that axis.
    ``unsized`` are tensors of which some size depends on data and stands as 0, ``origins`` the first of them: only in a
    graph that was read so (``opened``).
    """

    nodes: tuple[NodeView, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    weights: Mapping[str, Tensor]
    constants: Mapping[str, tuple[str, ...]]
    params_of: Mapping[str, int]
    params: int | None
    onnx_nodes: int
    batch: int = 1
    sample_shape: tuple[int, ...] = ()
    unsized: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    def is_constant(self, node: NodeView) -> bool:
        """Whether a node computes constants, once when a runtime loads the file, and nothing in an inference."""
        return node.outputs[0].name in self.constants  # and then all of its outputs are

    def weights_behind(self, tensors: Iterable[Tensor | None]) -> dict[str, Tensor]:
        """The weights that those of the tensors that are constants are computed from, by name, as they are stored."""
        return {
            name: self.weights[name]
            for tensor in tensors
            if tensor is not None and tensor.name in self.constants
            for name in self.constants[tensor.name]
        }


def graph_from_file(
    path: Path,
    *,
    batch: int | None = None,
    input_shape: tuple[int, ...] | None = None,
    named: Mapping[str, tuple[int, ...]] | None = None,
    axes: Mapping[str, int | None] | None = None,
    opened: bool = False,
) -> Graph:
    """Reads an ONNX file's structure and binds its dimensions.

    Args:
        path: of the ONNX file.
        batch: number of samples; None for 1 where the file leaves it open.
        input_shape: the other dimensions of the first input, where the file leaves them open.
        named: the other dimensions of inputs by name, and sizes of named dimensions.
        axes: which axis of an input counts samples, None for none; found out for inputs that are not named.
        opened: sizes that depend on data stand as 0 and are listed, instead of being an error.

    Raises:
        UsageError: no such file; a dimension that is not known or contradicts the file.
        ArtifactError: not an ONNX file, an invalid graph, a Scan, a shape that cannot be inferred.
    """
    sizes = Sizes(batch=batch, shape=input_shape, named=named or {}, axes=axes or {})
    return _graph(proto_from_file(path), path, sizes, opened=opened)


def graph_from_proto(proto: onnx.ModelProto, path: Path, sizes: Sizes, *, opened: bool = False) -> Graph:
    """As ``graph_from_file``, from a structure that was read already or derived from such a one.

    Args:
        proto: a checked structure (``proto_from_file``); not changed.
        path: of the file that it comes from: for messages, and constants that are stored beside it.
        sizes: of its inputs.
        opened: as there.
    """
    return _graph(copy.deepcopy(proto), path, sizes, opened=opened)


def _graph(proto: onnx.ModelProto, path: Path, sizes: Sizes, *, opened: bool = False) -> Graph:
    """Reads a structure, which it changes."""
    onnx_nodes, sparse = node_count(proto.graph), sparse_names(proto.graph)
    with_dense_weights(proto)
    stored = stored_tensors(proto.graph)
    weights = _weights(stored)
    following = constants_of(proto.graph, stored)
    border = bind_sizes(proto.graph, sizes, path)
    names = node_names(proto.graph)
    params_of = params_per_node(proto.graph, names, stored, following, producer=proto.producer_name)
    constants = _small_constants(stored, sparse, path)
    kept = _copies(stored) if any(map(has_bodies, proto.graph.node)) else {}
    _drop_data(proto.graph, constants)
    _keep_foreign_shapes(proto.graph, border.symbols)
    known = inferred(proto, path, constants, opened=opened, gathered=_gathered(proto, path, weights, kept, following))
    shapes = known.tensors
    _write_old_defaults(proto)
    computed = _sizes_of_work(proto, shapes, constants)
    tensors = {**shapes, **weights}
    read = frozenset(value for node in proto.graph.node for value in node.input)
    read |= {value.name for value in proto.graph.output}
    taken = set(read)

    def bodies(node: onnx.NodeProto) -> tuple[Body, ...]:
        models = body_models(proto, node, tensors=tensors, stored=kept, taken=taken)
        if (only := known.taken.get(node.output[0] if node.output else "")) is not None:
            models = models[only : only + 1]
        return tuple(_body(model, node, path, opened=opened) for model in models)

    nodes = tuple(
        _view(
            index,
            name,
            node,
            tensors,
            computed if node.op_type in _COUNTED else constants,
            read,
            bodies(node) if has_bodies(node) else (),
        )
        for index, (node, name) in enumerate(zip(proto.graph.node, names, strict=True))
    )
    _require_reshapes(nodes, known.unsized)
    return Graph(
        nodes=nodes,
        inputs=tuple(shapes[value.name] for value in proto.graph.input if value.name not in weights),
        outputs=tuple(value.name for value in proto.graph.output),
        weights=weights,
        constants=following,
        params_of=params_of,
        params=next((int(entry.value) for entry in proto.metadata_props if entry.key == "benchbox.params"), None),
        onnx_nodes=onnx_nodes,
        batch=border.batch or 1,
        sample_shape=_sample_shape(border),
        unsized=known.unsized,
        origins=known.origins,
    )


def _sample_shape(border: Border) -> tuple[int, ...]:
    """The shape of the first input without its batch; () where there is none."""
    first = next(iter(border.inputs), None)
    return (
        () if first is None else tuple(size or 0 for axis, size in enumerate(first.shape) if axis != first.batch_axis)
    )


def _require_reshapes(nodes: Iterable[NodeView], unsized: frozenset[str]) -> None:
    """Raises ArtifactError for a Reshape that changes the number of elements, which ONNX's inference lets pass."""
    for node in nodes:
        if node.op != "Reshape" or not unsized.isdisjoint(tensor.name for tensor in (*node.outputs, node.input(0))):
            continue
        before, after = node.input(0), node.outputs[0]
        if before.elements != after.elements:
            raise ArtifactError(
                f"node {node.name} (Reshape) makes another number of elements of {before.name}",
                values=f"{before.name} is {_text(before.shape)}, {after.name} would be {_text(after.shape)}",
                remedy="a batch or another size is fixed inside the graph: give the one that it was made for with "
                "--batch or --input, or export it again with that size free",
            )


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def _write_old_defaults(proto: onnx.ModelProto) -> None:
    """Writes down the axis of transforms whose default was another one before it became an input."""
    import onnx

    for node in proto.graph.node if standard_opset(proto) < _DFT_AXIS_IS_AN_INPUT else ():
        if node.op_type == "DFT" and not any(entry.name == "axis" for entry in node.attribute):
            node.attribute.append(onnx.helper.make_attribute("axis", 1))


def _sizes_of_work(
    proto: onnx.ModelProto, shapes: Mapping[str, Tensor], constants: dict[str, tuple[float, ...]]
) -> dict[str, tuple[float, ...]]:
    """The constants, and the numbers that follow from shapes, where turns of a loop or lengths are computed."""
    counted = [node for node in proto.graph.node if node.op_type in _COUNTED]
    if all(name in constants for node in counted for name in node.input[: _COUNTED[node.op_type]] if name):
        return constants
    made = small_values(proto.graph, {name: tensor.shape for name, tensor in shapes.items()}, standard_opset(proto))
    return {**{name: tuple(value.ravel().tolist()) for name, value in made.items()}, **constants}


def _copies(stored: Mapping[str, onnx.TensorProto]) -> dict[str, onnx.TensorProto]:
    return {name: copy.deepcopy(tensor) for name, tensor in stored.items()}


def _body(model: onnx.ModelProto, node: onnx.NodeProto, path: Path, *, opened: bool) -> Body:
    """One branch or body, whose inputs have their shapes; changes the model.

    Where it is ``opened``, work that differs from turn to turn and sizes that depend on data are noted, not refused.
    """
    require_single_assignment(model.graph, path)
    inner = copy.deepcopy(model.graph) if node.op_type in ("Loop", "Scan") else None
    graph = _graph(model, path, Sizes(), opened=opened)
    varying = f"sizes inside depend on data since {min(graph.origins)}" if graph.origins else ""
    if inner is not None and not varying:
        try:
            _require_steady(inner, graph, node)
        except ArtifactError as error:
            if not opened:
                raise
            varying = f"{error.what}: {error.values}"
    return Body(
        nodes=tuple(view for view in graph.nodes if not graph.is_constant(view)),
        params=sum(graph.params_of.values()) + sum(body.params for view in graph.nodes for body in view.bodies),
        weights=graph.weights,
        ends_early=node.op_type == "Loop" and inner is not None and may_end_early(inner, graph.constants),
        varying=varying,
    )


def _gathered(
    proto: onnx.ModelProto,
    path: Path,
    weights: Mapping[str, Tensor],
    stored: Mapping[str, onnx.TensorProto],
    constants: Collection[str],
) -> Gathered:
    """What finds the shapes that Loops gather: one slice for each turn, where the number of turns is known."""
    loops = [node for node in proto.graph.node if node.op_type == "Loop" and _is_whole_loop(node)]

    def find(found: Mapping[str, Tensor], values: Mapping[str, tuple[float, ...]]) -> dict[str, Made]:
        shapes: dict[str, Made] = {}
        for node in loops:
            turns = values.get(node.input[0])
            names = node.output[carried_by(node) :]
            starts = not node.input[1] or node.input[1] in constants
            if not turns or not starts or all(name in found for name in names if name):
                continue
            tensors = {**found, **weights}
            with contextlib.suppress(BenchboxError):  # sizes of what it reads are not known yet
                models = body_models(proto, node, tensors=tensors, stored=stored, taken=set(stored))
                slices = _slices(models[0], node, path)
                made = zip(names, slices, strict=False)
                shapes |= {
                    name: Made(shape=(max(0, int(turns[0])), *one.shape), kind=one.kind) for name, one in made if name
                }
        return shapes

    return find


def _is_whole_loop(node: onnx.NodeProto) -> bool:
    """Whether a Loop has what every Loop has: a damaged one is refused by name later."""
    bodies = bodies_of(node)
    return (
        len(node.input) > 1
        and len(bodies) == 1
        and len(bodies[0].input) > 1
        and len(bodies[0].output) == len(node.output) + 1
    )


def _slices(model: onnx.ModelProto, node: onnx.NodeProto, path: Path) -> tuple[Tensor, ...]:
    """What a Loop's body adds in each turn to what is gathered, none where it may end early; changes the model.

    Raises ArtifactError where sizes depend on data or change from turn to turn.
    """
    inner = copy.deepcopy(model.graph)
    graph = _graph(model, path, Sizes())
    _require_steady(inner, graph, node)
    made = _tensors_in(graph)
    names = [value.name for value in inner.output[carried_by(node) + 1 :]]
    if may_end_early(inner, graph.constants) or not made.keys() >= set(names):
        return ()
    return tuple(made[name] for name in names)


def _tensors_in(graph: Graph) -> dict[str, Tensor]:
    made = {tensor.name: tensor for view in graph.nodes for tensor in view.outputs}
    return made | {tensor.name: tensor for tensor in (*graph.inputs, *graph.weights.values())}


def _require_steady(body: onnx.GraphProto, graph: Graph, node: onnx.NodeProto) -> None:
    """Raises ArtifactError for a Loop or Scan that changes the shape of what it carries: its turns differ in cost."""
    made = {name: tensor.shape for name, tensor in _tensors_in(graph).items()}
    states = carried_by(node)
    inside, outside = (body.input[2:], body.output[1:]) if node.op_type == "Loop" else (body.input, body.output)
    for before, after in zip(inside[:states], outside[:states], strict=False):
        if made.get(before.name) != made.get(after.name):
            raise ArtifactError(
                f"a {node.op_type} changes the shape of what it carries, so that its turns differ in cost",
                values=f"node {node.name}: {before.name} {made.get(before.name)} becomes {after.name} "
                f"{made.get(after.name)}",
            )


def _weights(stored: Mapping[str, onnx.TensorProto]) -> dict[str, Tensor]:
    return {
        name: Tensor(
            name=name, shape=tuple(tensor.dims), item_bytes=item_bytes(tensor.data_type), kind=tensor.data_type
        )
        for name, tensor in stored.items()
    }


def _drop_data(graph: onnx.GraphProto, constants: Mapping[str, tuple[float, ...]]) -> None:
    """Turns weights into inputs without data; shape inference does not need it and copies what it gets."""
    import onnx

    declared = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if tensor.name not in constants and tensor.name not in declared:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    saved = [tensor.SerializeToString() for tensor in graph.initializer if tensor.name in constants]
    del graph.initializer[:]
    for data in saved:
        graph.initializer.add().ParseFromString(data)


def _keep_foreign_shapes(graph: onnx.GraphProto, bound: Mapping[str, int]) -> None:
    """Forgets what the file says about shapes inside, which may be stale, but for operators that ONNX cannot infer."""
    foreign = {value for node in graph.node if node.domain not in STANDARD_DOMAINS for value in node.output}
    saved = [value.SerializeToString() for value in graph.value_info if value.name in foreign]
    del graph.value_info[:]
    for data in saved:
        value = graph.value_info.add()
        value.ParseFromString(data)
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in bound:
                dim.dim_value = bound[dim.dim_param]
            elif dim.dim_value < 0:
                dim.ClearField("dim_value")


def node_names(graph: onnx.GraphProto) -> list[str]:
    """Every node's own name; one without or with a repeated name gets its operator and place."""
    seen: set[str] = set()
    names = []
    for index, node in enumerate(graph.node):
        name = node.name if node.name and node.name not in seen else f"{node.op_type}_{index}"
        seen.add(name)
        names.append(name)
    return names


def _small_constants(
    stored: Mapping[str, onnx.TensorProto], sparse: set[str], path: Path
) -> dict[str, tuple[float, ...]]:
    """The values of small constants by name, of initialisers and of Constant nodes; ``sparse`` are stored so."""
    import onnx

    integers = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    found = {}
    for name, tensor in stored.items():
        limit = SMALL_INTEGERS if tensor.data_type in integers else SMALL_FLOATS if tensor.data_type in floats else -1
        if name in sparse and not holds_numbers(tensor):
            continue  # its values or places were left out as too large
        if math.prod(tensor.dims) <= limit and not (tensor.data_type in floats and tensor.external_data):
            found[name] = _values(name, tensor, path)
    return found


def _values(name: str, tensor: onnx.TensorProto, path: Path) -> tuple[float, ...]:
    from onnx import numpy_helper

    try:
        if tensor.data_location == tensor.EXTERNAL:
            read_external(tensor, path.parent)
        return tuple(numpy_helper.to_array(tensor).ravel().tolist())
    except Exception as error:  # numpy, the file system and onnx each have errors of their own
        raise ArtifactError(
            f"constant {name} of {path} cannot be read", values=f"shape {list(tensor.dims)}: {error}"
        ) from error


def _view(
    index: int,
    name: str,
    node: onnx.NodeProto,
    tensors: Mapping[str, Tensor],
    constants: Mapping[str, tuple[float, ...]],
    read: frozenset[str],
    bodies: tuple[Body, ...],
) -> NodeView:
    import onnx

    def shown(value: str) -> bool:
        """An output that nobody reads (the mask of Dropout) may have any shape."""
        return value in tensors or value in read

    def tensor(value: str) -> Tensor:
        if value not in tensors:
            raise _unknown_shape(name, node, value)
        return tensors[value]

    operator = node.op_type if node.domain in STANDARD_DOMAINS else f"{node.domain}::{node.op_type}"
    attributes = {}
    for attribute in node.attribute:
        try:
            value = onnx.helper.get_attribute_value(attribute)
        except ValueError as error:
            raise ArtifactError(
                f"attribute {attribute.name} cannot be read", values=f"node {name} ({node.op_type}): {error}"
            ) from error
        attributes[attribute.name] = (
            tuple(value) if isinstance(value, Sequence) and not isinstance(value, bytes) else value
        )
    kept = list(node.output)
    if len(kept) > 1:
        kept[1:] = [value for value in kept[1:] if shown(value)]
    outputs = tuple(tensor(value) for value in kept if value)
    if not outputs:
        raise _unknown_shape(name, node, next(value for value in node.output if value))
    return NodeView(
        index=index,
        name=name,
        op=operator,
        inputs=tuple(tensor(value) if value else None for value in node.input),
        outputs=outputs,
        attributes=attributes,
        constants={place: constants[value] for place, value in enumerate(node.input) if value in constants},
        layers=tuple(
            layer for entry in node.metadata_props if entry.key == "benchbox.layers" for layer in entry.value.split()
        ),
        bodies=bodies,
    )


def _unknown_shape(name: str, node: onnx.NodeProto, value: str) -> BenchboxError:
    if node.domain not in STANDARD_DOMAINS:
        return ArtifactError(
            f"operator {node.domain}::{node.op_type} is not part of the ONNX standard",
            values=f"node {name}; the shape of {value} is not known",
        )
    return ArtifactError(
        f"the shape of tensor {value} cannot be inferred",
        values=f"node {name} ({node.op_type})",
        remedy="it may depend on data; fix the shape in the file",
    )
