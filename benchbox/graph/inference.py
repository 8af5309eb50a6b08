"""Which shapes and types have the tensors of a graph, once the sizes of its inputs are known?

ONNX's own inference with data propagation says most of them. Sizes that are computed inside the graph are computed here
and handed to it (``propagation.py``), shapes that it does not know or gets wrong as well (``standins.py``). What
depends on data has no size: it is left out, or taken as empty where the rest is to be known.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbox.errors import ArtifactError
from benchbox.graph.bodies import bodies_of
from benchbox.graph.border import MAX_ELEMENTS
from benchbox.graph.contrib import FLOAT, Made, Shape
from benchbox.graph.node import Tensor
from benchbox.graph.onnx_shapes import infer_shapes, too_large
from benchbox.graph.opset import STANDARD_DOMAINS, standard_opset
from benchbox.graph.propagation import small_values
from benchbox.graph.skimming import BITS, STRING
from benchbox.graph.standins import own_shapes, with_own_shapes, with_stand_ins

if TYPE_CHECKING:
    import numpy as np
    import onnx


@dataclass(frozen=True, kw_only=True)
class Inferred:
    """Tensors by name; ``unsized`` are those of which some size depends on data and is taken as 0.

    ``origins`` are the first of them, which are made of tensors whose sizes are all known. ``taken``: which of its
    branches an If takes, by its first output, where the condition follows from shapes.
    """

    tensors: dict[str, Tensor]
    unsized: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    taken: Mapping[str, int] = field(default_factory=dict)


@dataclass
class _Pass:
    """What one pass of ONNX's inference says: whole tensors, and what it knows of others (type, sizes or None)."""

    whole: dict[str, Tensor] = field(default_factory=dict)
    partly: dict[str, tuple[int, list[int | None] | None]] = field(default_factory=dict)
    other: set[str] = field(default_factory=set)  # sequences, optionals


Gathered = Callable[[Mapping[str, Tensor], Mapping[str, tuple[float, ...]]], dict[str, Made]]
"""Shapes of what loops gather from turn to turn, of the tensors and the small values that are known so far."""


def inferred(
    proto: onnx.ModelProto,
    path: Path,
    constants: Mapping[str, tuple[float, ...]],
    *,
    opened: bool = False,
    gathered: Gathered = lambda found, values: {},
) -> Inferred:
    """Every tensor whose shape follows from the inputs; looks again where sizes are computed inside the graph.

    Args:
        proto: its inputs have all their sizes, weights are inputs too.
        path: for messages.
        constants: values of small constants.
        opened: take sizes that depend on data as 0, so that what follows them is known but for these.
        gathered: is asked for what loops gather, which ONNX's inference leaves open.

    Raises ArtifactError for shapes that do not fit together.
    """
    made = {value for node in proto.graph.node for value in node.output if value}
    scratch = with_stand_ins(proto)
    seen = _inferred_once(scratch, path)
    found, values = seen.whole, dict(constants)
    stored = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    tried: set[str] = set()
    origins: set[str] = set()
    taken: dict[str, int] = {}
    sure: dict[str, Tensor] | None = None  # what was known before anything was taken as empty
    while not found.keys() >= made:
        scratch, computed = _with_computed_constants(scratch, found)
        found.update({name: _tensor_of(name, value) for name, value in computed.items()})
        values.update({name: tuple(value.ravel().tolist()) for name, value in computed.items()})
        own = own_shapes(proto.graph, stored | {name: tensor.shape for name, tensor in found.items()}, values)
        own |= {name: known for name, known in gathered(found, values).items() if name not in found}
        own = own if own.keys() - tried else {}
        tried |= own.keys()
        scratch, settled = _with_branches_taken(scratch, values)
        taken |= settled
        if not computed and not own and not settled:
            stored |= {tensor.name: tuple(tensor.dims) for tensor in scratch.graph.initializer}
            own = _emptied(proto, seen, found, stored) if opened else {}
            if not own:
                break
            sure = sure or dict(found)
            origins |= own.keys() - found.keys()
        scratch = with_own_shapes(scratch, own) if own else scratch
        try:
            seen = _inferred_once(scratch, path)
        except ArtifactError:
            if sure is None:
                raise
            return Inferred(tensors=sure, taken=taken)  # behind what depends on data nothing can be said
        found.update(seen.whole)
    if opened:  # a sequence holds tensors, but how many is not known
        sure = sure or dict(found)
        sequences = (seen.other & made) - found.keys()
        origins |= sequences
        found |= {name: Tensor(name=name, shape=(0,), item_bytes=0.0) for name in sequences}
    unsized = frozenset() if sure is None else frozenset(found.keys() - sure.keys())
    return Inferred(tensors=found, unsized=unsized, origins=frozenset(origins), taken=taken)


def _with_branches_taken(
    proto: onnx.ModelProto, values: Mapping[str, tuple[float, ...]]
) -> tuple[onnx.ModelProto, dict[str, int]]:
    """A copy in which an If whose condition is known is the branch that it takes; and which those are.

    PyTorch's older exporter writes ``squeeze`` so, where it does not know the size: the branches differ in rank.
    """
    from onnx import helper

    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    taken: dict[str, int] = {}
    for node in proto.graph.node:
        condition = values.get(node.input[0]) if node.op_type == "If" and node.input else None
        names = [entry.name for entry in node.attribute if entry.HasField("g")]
        wanted = "then_branch" if condition and condition[0] else "else_branch"
        branch = bodies_of(node)[names.index(wanted)] if condition and wanted in names else None
        fits = branch is not None and len(branch.output) == len(node.output) > 0
        if branch is None or not fits or node.domain not in STANDARD_DOMAINS:
            nodes.append(node)
            continue
        taken[node.output[0]] = names.index(wanted)
        nodes += branch.node
        weights += branch.initializer
        nodes += (
            helper.make_node("Identity", [inner.name], [name])
            for inner, name in zip(branch.output, node.output, strict=True)
        )
    if not taken:
        return proto, {}
    scratch = copy.deepcopy(proto)
    kept = [copy.deepcopy(node) for node in nodes]
    del scratch.graph.node[:]
    scratch.graph.node.extend(kept)
    scratch.graph.initializer.extend(weights)
    return scratch, taken


def _emptied(
    proto: onnx.ModelProto, seen: _Pass, found: Mapping[str, Tensor], stored: Mapping[str, Shape]
) -> dict[str, Made]:
    """The outputs of nodes whose inputs are all known and whose outputs are not: sizes that are not known are 0."""
    known = found.keys() | stored.keys() | seen.other
    read = {name for node in proto.graph.node for name in node.input} | {value.name for value in proto.graph.output}
    made: dict[str, Made] = {}
    for node in proto.graph.node:
        open_ones = [name for name in node.output if name in read and name not in known]
        if not open_ones or any(name and name not in known for name in node.input):
            continue
        for name in node.output:
            if name in found:
                made[name] = Made(shape=found[name].shape, kind=found[name].kind or FLOAT)
            elif name in open_ones:
                kind, sizes = seen.partly.get(name, (0, None))
                if kind != STRING:
                    shape = (0,) if sizes is None else tuple(size or 0 for size in sizes)
                    made[name] = Made(shape=shape, kind=kind or FLOAT)
    return made


def _tensor_of(name: str, value: np.ndarray[Any, Any]) -> Tensor:
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    return Tensor(name=name, shape=value.shape, item_bytes=float(value.itemsize), kind=kind)


def _with_computed_constants(
    proto: onnx.ModelProto, found: Mapping[str, Tensor]
) -> tuple[onnx.ModelProto, dict[str, np.ndarray[Any, Any]]]:
    """A copy whose small computed integers are initialisers, which inference sees; and those values."""
    import onnx
    from onnx import numpy_helper

    shapes = {name: tensor.shape for name, tensor in found.items()}
    computed = small_values(proto.graph, shapes, standard_opset(proto))
    if not computed:
        return proto, {}
    scratch = onnx.ModelProto()
    scratch.CopyFrom(proto)
    del scratch.graph.node[:]
    scratch.graph.node.extend(node for node in proto.graph.node if node.output[0] not in computed)
    scratch.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in computed.items())
    return scratch, computed


def _inferred_once(proto: onnx.ModelProto, path: Path) -> _Pass:
    try:
        graph = infer_shapes(proto, strict=True).graph
    except Exception as error:  # inference errors have no public class
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ArtifactError(
            f"the shapes in {path} do not fit together",
            values=" ".join(lines[:2]) or type(error).__name__,
            remedy="check the input shape (--input) and the file",
        ) from error
    found = _Pass()
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if not value.type.HasField("tensor_type"):
            found.other.update({value.name} if value.type.WhichOneof("value") else ())
            continue
        if not tensor.HasField("shape"):
            found.partly[value.name] = tensor.elem_type, None
            continue
        sizes = [
            dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None for dim in tensor.shape.dim
        ]
        shape = tuple(size for size in sizes if size is not None)
        if len(shape) < len(sizes):
            found.partly[value.name] = tensor.elem_type, sizes
            continue
        if math.prod(shape) > MAX_ELEMENTS:
            raise too_large(value.name, shape, path)
        found.whole[value.name] = Tensor(
            name=value.name, shape=shape, item_bytes=item_bytes(tensor.elem_type), kind=tensor.elem_type
        )
    return found


def item_bytes(kind: int) -> float:
    """Bytes of an element by ONNX's number of its type, 0 for strings; raises ArtifactError for no such type."""
    if kind == STRING:
        return 0.0
    if kind not in BITS:
        raise ArtifactError(
            f"there is no data type {kind} in ONNX", remedy="the file is damaged, or newer than benchbox knows"
        )
    return BITS[kind] / 8
