"""Is this file an ONNX network that can be counted, and what are the sizes of its inputs?

Together with ``graph.py`` the only files of the cost model that know ONNX. Everything that a file from elsewhere may
have wrong is refused here by name; weights are not read (``skimming.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError, UsageError
from benchbox.graph.skimming import structure_bytes

if TYPE_CHECKING:
    import onnx

MAX_ELEMENTS = 2**48
_FREE = -1  # as PaddlePaddle writes a free size
# Operators with graphs inside that are not counted; those of If and Loop are (``bodies.py``).
UNCOUNTED = frozenset({"Scan", "SequenceMap"})


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What the user says about sizes that a file leaves open.

    ``batch`` is the first dimension of every input, None for 1 where it is open and else as it is in the file.
    ``shape`` is that of the first input without the batch; its named dimensions get the same size wherever they
    appear. ``named`` are the shapes of further inputs, without the batch, and the sizes of named dimensions.
    """

    batch: int | None = None
    shape: tuple[int, ...] | None = None
    named: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def proto_from_file(path: Path) -> onnx.ModelProto:
    """A file's structure without weights, checked, local functions put in place.

    Raises:
        UsageError: no such file.
        ArtifactError: not an ONNX file or not a valid graph; a Scan or SequenceMap.
    """
    import onnx

    if not path.is_file():
        raise UsageError(f"there is no ONNX file {path}")
    data = structure_bytes(path)
    try:
        proto = onnx.load_from_string(data)
    except Exception as error:  # protobuf's decoder has errors of its own
        raise ArtifactError(
            f"{path} is no ONNX file", values=f"{type(error).__name__}: {error}", remedy="it may be truncated"
        ) from error
    if not proto.graph.node or not proto.opset_import:
        raise ArtifactError(f"{path} holds no network", values=f"{path.stat().st_size} bytes without a node")
    if proto.functions:
        proto = _inlined(proto, path)
    _require_weights_plausible(proto.graph, path)
    require_single_assignment(proto.graph, path)
    return proto


def bind_sizes(graph: onnx.GraphProto, sizes: Sizes, path: Path) -> Mapping[str, int]:
    """Gives every dimension of every input its size, in place.

    Returns:
        The sizes of named dimensions.

    Raises:
        UsageError: a size that is not known, or contradicts the file.
        ArtifactError: an input without a type, or of an impossible size.
    """
    weights = {tensor.name for tensor in graph.initializer}
    values = [value for value in graph.input if value.name not in weights]
    if not values:
        raise ArtifactError(f"{path} has no inputs", remedy="export the network again")
    bound = {name: shape[0] for name, shape in sizes.named.items() if len(shape) == 1}
    known = {value.name for value in values} | {dim.dim_param for value in values for dim in _dims(value)}
    if unknown := [name for name in sizes.named if name not in known]:
        raise UsageError(
            f"{path} has no input and no dimension '{unknown[0]}'",
            values=f"inputs {', '.join(value.name for value in values)}; dimensions "
            + (", ".join(sorted(known - {value.name for value in values} - {""})) or "none are named"),
        )
    for place, value in enumerate(values):
        _require_shape(value, sizes, place, path)
        asked = _asked(value, sizes, place, path)
        for position, (dim, size) in enumerate(zip(_dims(value), asked, strict=True)):
            _bind(dim, size, bound, default=1 if position == 0 else None, value=value, path=path)
    for output in graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")  # inferred again from the bound inputs
    return bound


def _inlined(proto: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    import onnx
    import onnx.inliner

    try:
        inlined = onnx.inliner.inline_local_functions(proto)
    except Exception as error:  # recursion, missing functions: the inliner has errors of its own
        raise ArtifactError(
            f"the local functions of {path} cannot be put in place",
            values=f"function {proto.functions[0].name}: {error}",
        ) from error
    assert isinstance(inlined, onnx.ModelProto)
    return inlined


def _require_weights_plausible(graph: onnx.GraphProto, path: Path) -> None:
    seen: set[str] = set()
    for tensor in graph.initializer:
        if tensor.name in seen:
            raise ArtifactError(f"{path} is no valid graph", values=f"weight {tensor.name} is there twice")
        seen.add(tensor.name)
        if min(tensor.dims, default=0) < 0 or math.prod(tensor.dims) > MAX_ELEMENTS:
            raise ArtifactError(f"weight {tensor.name} of {path} is absurd", values=f"shape {list(tensor.dims)}")
        for entry in tensor.external_data:
            if entry.key == "location":
                _require_inside(entry.value, tensor.name, path)


def _require_inside(location: str, tensor: str, path: Path) -> None:
    """External data is not read, but a file that points out of its folder is hostile and is refused."""
    if not location.startswith(("/", "\\")) and ".." not in location and ":" not in location:
        return  # inside by its looks: parsing paths is slow
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(location).is_absolute() or ".." in kind(location).parts:
            raise ArtifactError(
                f"{path} points outside its own folder",
                values=f"the data of weight {tensor} is said to be in '{location}'",
                remedy="do not use this file unless you know who made it",
            )


def _require_text(index: int, node: onnx.NodeProto, path: Path) -> None:
    """What is no UTF-8 comes as bytes from the decoder, and no name in ONNX may be."""
    texts = [node.op_type, node.domain, node.name, *node.input, *node.output]
    for entry in node.metadata_props:
        texts += (entry.key, entry.value)
    try:
        "".join(texts)
    except TypeError:
        wrong = next(text for text in texts if not isinstance(text, str))
        raise ArtifactError(
            f"{path} is no valid graph",
            values=f"node {index} holds {wrong!r:.60}, which is no UTF-8",
            remedy="the file is damaged",
        ) from None


def require_single_assignment(graph: onnx.GraphProto, path: Path) -> None:
    """Raises ArtifactError for nodes that read what no node before them makes, or make what exists, and for a Scan."""
    made = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    made.update(tensor.values.name for tensor in graph.sparse_initializer)
    for index, node in enumerate(graph.node):
        _require_text(index, node, path)
        title = f"node {node.name or index} ({node.op_type})"
        if node.op_type in UNCOUNTED and node.domain in {"", "ai.onnx"}:
            raise ArtifactError(
                f"the cost of {node.op_type} is not counted",
                values=f"{title} of {path}",
                remedy="unroll it when the network is exported",
            )
        if not any(node.output):
            raise ArtifactError(f"{path} is no valid graph", values=f"{title} makes nothing")
        if missing := [value for value in node.input if value and value not in made]:
            raise ArtifactError(
                f"{path} is no valid graph", values=f"{title} reads {missing[0]} before any node makes it"
            )
        if twice := [value for value in node.output if value and value in made]:
            raise ArtifactError(f"{path} is no valid graph", values=f"{title} makes {twice[0]}, which exists already")
        made.update(node.output)
    if lost := [value.name for value in graph.output if value.name not in made]:
        raise ArtifactError(f"{path} is no valid graph", values=f"no node makes its output {lost[0]}")


def _dims(value: onnx.ValueInfoProto) -> Sequence[onnx.TensorShapeProto.Dimension]:
    dims: Sequence[onnx.TensorShapeProto.Dimension] = value.type.tensor_type.shape.dim
    return dims


def _require_shape(value: onnx.ValueInfoProto, sizes: Sizes, place: int, path: Path) -> None:
    """An input whose rank the file leaves open takes it from what was asked for."""
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or tensor.elem_type == 0:
        raise ArtifactError(f"input {value.name} of {path} is no tensor", remedy="benchbox counts networks of tensors")
    if tensor.HasField("shape"):
        return
    asked = sizes.named.get(value.name, sizes.shape if place == 0 else None)
    if asked is None:
        raise ArtifactError(
            f"input {value.name} of {path} has no shape at all",
            remedy=f"give it without the batch: --input {value.name}=3x224x224",
        )
    for _ in range(len(asked) + 1):
        tensor.shape.dim.add()


def _asked(value: onnx.ValueInfoProto, sizes: Sizes, place: int, path: Path) -> Sequence[int | None]:
    dims = _dims(value)
    shape = sizes.named.get(value.name) if value.name in sizes.named else sizes.shape if place == 0 else None
    if not dims:
        return []
    if shape is not None and len(shape) != len(dims) - 1:
        raise UsageError(
            "--input has another number of dimensions than the file",
            values=f"got {_text(shape)}, input {value.name} of {path} is {_shape_text(dims[1:])} without the batch",
        )
    return [sizes.batch, *(shape if shape is not None else [None] * (len(dims) - 1))]


def _bind(
    dim: onnx.TensorShapeProto.Dimension,
    size: int | None,
    bound: dict[str, int],
    *,
    default: int | None,
    value: onnx.ValueInfoProto,
    path: Path,
) -> None:
    if dim.dim_value == _FREE:
        dim.ClearField("dim_value")
    if dim.HasField("dim_value"):
        if not 0 <= dim.dim_value <= MAX_ELEMENTS:
            raise ArtifactError(f"input {value.name} of {path} has a size of {dim.dim_value}")
        if size not in (None, dim.dim_value):
            raise UsageError(
                "the file has another size there",
                values=f"asked for {size}, input {value.name} of {path} is fixed at {_shape_text(_dims(value))}",
            )
        return
    if size is None:
        size = bound.get(dim.dim_param, default)
    if size is None:
        raise UsageError(
            f"the shape of input {value.name} of {path} is not known",
            values=f"it is {_shape_text(_dims(value))}, where '{dim.dim_param or '?'}' is free",
            remedy="give it without the batch: --input 3x224x224, of a further input --input NAME=128, "
            "of a named dimension --input DIMENSION=128",
        )
    if dim.dim_param:
        bound.setdefault(dim.dim_param, size)
    dim.dim_value = size  # clears the symbolic name


def _shape_text(dims: Sequence[onnx.TensorShapeProto.Dimension]) -> str:
    fixed = (dim.HasField("dim_value") and dim.dim_value != _FREE for dim in dims)
    return "x".join(
        str(dim.dim_value) if known else dim.dim_param or "?" for dim, known in zip(dims, fixed, strict=True)
    )


def _text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
