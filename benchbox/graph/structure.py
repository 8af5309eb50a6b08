"""Is this file an ONNX network that can be counted, and what are the sizes of its inputs?

Together with ``graph.py`` the only files of the cost model that know ONNX. Everything that a file from elsewhere may
have wrong is refused here by name; weights are not read (``skimming.py``).
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError, UsageError
from benchbox.graph.border import MAX_ELEMENTS, Border, Sizes, border_of
from benchbox.graph.skimming import structure_bytes
from benchbox.graph.stored import dense_from_sparse

if TYPE_CHECKING:
    import onnx

# Operators with graphs inside that are not counted; those of If, Loop and Scan are (``bodies.py``).
UNCOUNTED = frozenset({"SequenceMap"})


def proto_from_file(path: Path) -> onnx.ModelProto:
    """A file's structure without weights, checked, local functions put in place.

    Raises:
        UsageError: no such file.
        ArtifactError: not an ONNX file or not a valid graph; a SequenceMap.
    """
    import onnx

    if not path.is_file():
        raise UsageError(f"there is no ONNX file {path}")
    data = structure_bytes(path)
    try:
        proto = onnx.load_from_string(data)
    except Exception as error:  # protobuf's decoder has errors of its own
        raise ArtifactError(
            f"{path} is not an ONNX file", values=f"{type(error).__name__}: {error}", remedy="it may be truncated"
        ) from error
    if not proto.graph.node or not proto.opset_import:
        raise ArtifactError(f"{path} holds no network", values=f"{path.stat().st_size} bytes without a node")
    if proto.functions:
        proto = _inlined(proto, path)
    _require_weights_plausible(proto.graph, path)
    require_single_assignment(proto.graph, path)
    return proto


def node_count(graph: onnx.GraphProto) -> int:
    """Nodes of a graph, with those inside branches and loops, each once however often it runs."""
    inner = (
        body
        for node in graph.node
        for attribute in node.attribute
        for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs)
    )
    return len(graph.node) + sum(map(node_count, inner))


def repeated_names(path: Path) -> dict[str, list[int]]:
    """The places of nodes that share a name with others, by that name; empty for a file that cannot be read."""
    import onnx

    try:
        graph = onnx.load_from_string(structure_bytes(path)).graph
    except Exception:  # whoever opens the file says what is wrong with it
        return {}
    places: dict[str, list[int]] = {}
    for place, node in enumerate(graph.node):
        places.setdefault(node.name, []).append(place)
    return {name: found for name, found in places.items() if name and len(found) > 1}


def border_from_file(path: Path, sizes: Sizes) -> Border:
    """The inputs of a file; nothing else of it is checked.

    Raises:
        UsageError, ArtifactError: what ``border_of`` raises; not an ONNX file.
    """
    import onnx

    try:
        proto = onnx.load_from_string(structure_bytes(path))
    except ArtifactError:
        raise
    except Exception as error:  # protobuf's decoder has errors of its own
        raise ArtifactError(f"{path} is not an ONNX file", values=f"{type(error).__name__}: {error}") from error
    return border_of(proto.graph, sizes, path)


def bind_sizes(graph: onnx.GraphProto, sizes: Sizes, path: Path) -> Border:
    """Gives every dimension of every input its size, in place: 1 for a batch that nobody says.

    Raises:
        UsageError, ArtifactError: what ``border_of`` raises.
    """
    import onnx

    border = border_of(graph, sizes, path)
    if any(None in given.shape for given in border.inputs):
        border = border_of(graph, replace(sizes, batch=1), path)
    shapes = {given.name: given.shape for given in border.inputs}
    for value in graph.input:
        if value.name in shapes:
            shape = value.type.tensor_type.shape
            value.type.tensor_type.shape.SetInParent()
            del shape.dim[:]
            for size in shapes[value.name]:
                shape.dim.add().dim_value = size or 0
    known = {tensor.name: list(tensor.dims) for tensor in graph.initializer} | {
        name: [size or 0 for size in shape] for name, shape in shapes.items()
    }
    for output in graph.output:
        if output.name in known:  # an input or a weight as it is
            output.CopyFrom(
                onnx.helper.make_tensor_value_info(output.name, output.type.tensor_type.elem_type, known[output.name])
            )
        elif output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")  # inferred again from the bound inputs
    return border


def with_functions_in_place(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its local functions put in place; itself where it has none, or where that fails."""
    import onnx.inliner

    if not proto.functions:
        return proto
    try:
        made = onnx.inliner.inline_local_functions(proto)
    except Exception:  # what is wrong with them is said where the file is checked; 2 GB are too much for the inliner
        return proto
    assert isinstance(made, onnx.ModelProto)
    return made


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
    dense = [dense_from_sparse(sparse, most=0) for sparse in graph.sparse_initializer]
    for tensor in (*graph.initializer, *dense):
        if tensor.name in seen:
            raise ArtifactError(f"{path} is not a valid graph", values=f"weight {tensor.name} is there twice")
        seen.add(tensor.name)
        if min(tensor.dims, default=0) < 0 or math.prod(tensor.dims) > MAX_ELEMENTS:
            raise ArtifactError(f"weight {tensor.name} of {path} is absurd", values=f"shape {list(tensor.dims)}")
    parts = [part for sparse in graph.sparse_initializer for part in (sparse.values, sparse.indices)]
    for tensor in (*graph.initializer, *parts):
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
    """What is not UTF-8 comes as bytes from the decoder, and no name in ONNX may be."""
    texts = [node.op_type, node.domain, node.name, *node.input, *node.output]
    for entry in node.metadata_props:
        texts += (entry.key, entry.value)
    try:
        "".join(texts)
    except TypeError:
        wrong = next(text for text in texts if not isinstance(text, str))
        raise ArtifactError(
            f"{path} is not a valid graph",
            values=f"node {index} holds {wrong!r:.60}, which is not UTF-8",
            remedy="the file is damaged",
        ) from None


def require_single_assignment(graph: onnx.GraphProto, path: Path) -> None:
    """Raises ArtifactError for nodes that read what no node before them makes, or make what exists."""
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
            raise ArtifactError(f"{path} is not a valid graph", values=f"{title} makes nothing")
        if missing := [value for value in node.input if value and value not in made]:
            raise ArtifactError(
                f"{path} is not a valid graph", values=f"{title} reads {missing[0]} before any node makes it"
            )
        if twice := [value for value in node.output if value and value in made]:
            raise ArtifactError(
                f"{path} is not a valid graph", values=f"{title} makes {twice[0]}, which exists already"
            )
        made.update(node.output)
    if lost := [value.name for value in graph.output if value.name not in made]:
        raise ArtifactError(f"{path} is not a valid graph", values=f"no node makes its output {lost[0]}")
