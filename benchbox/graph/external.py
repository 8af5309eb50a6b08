"""In which other files does an ONNX file keep its weights?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError
from benchbox.graph.skimming import structure_bytes

if TYPE_CHECKING:
    import onnx

# Larger external tensors are weights: nobody asks for their numbers before a runtime loads them.
_READ_BYTES = 1 << 20


def model_from_file(path: Path) -> onnx.ModelProto:
    """A whole ONNX file, of its external data only what is small: positions, offsets, axes.

    Raises whatever onnx does for a damaged file, and ValueError or OSError for external data that is not there whole.
    """
    import onnx
    from onnx import external_data_helper

    proto = onnx.load(str(path), load_external_data=False)
    for tensor in _tensors(proto):
        if tensor.data_location != tensor.EXTERNAL:
            continue
        if _require_whole(tensor, path.parent) <= _READ_BYTES:
            external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            tensor.data_location = tensor.DEFAULT
            del tensor.external_data[:]
    return proto


def _require_whole(tensor: onnx.TensorProto, folder: Path) -> int:
    """The bytes of a tensor's external data; raises OSError or ValueError where the file ends before them."""
    from onnx import external_data_helper

    info = external_data_helper.ExternalDataInfo(tensor)
    there = (folder / info.location).stat().st_size
    begin = info.offset or 0
    length = info.length if info.length is not None else max(0, there - begin)
    if begin + length > there:
        raise ValueError(
            f"{info.location} ends at byte {there}, the data of {tensor.name} is at {begin} to {begin + length}"
        )
    return int(length)


def external_files(path: Path) -> tuple[str, ...]:
    """The files with external data that an ONNX file names, relative to it, sorted; they need not be there.

    Raises:
        ArtifactError: the ONNX file is damaged.
    """
    import onnx

    try:
        proto = onnx.ModelProto.FromString(structure_bytes(path))
    except ArtifactError:
        raise
    except Exception as error:  # protobuf's errors have no common class
        raise ArtifactError(
            f"{path} is not an ONNX file", values=str(error), remedy="export the network again"
        ) from error
    return tuple(sorted(set(_locations(proto))))


def _locations(proto: onnx.ModelProto) -> Iterator[str]:
    for tensor in _tensors(proto):
        if tensor.data_location == tensor.EXTERNAL:
            yield from (str(entry.value) for entry in tensor.external_data if entry.key == "location")


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a model: initializers and attributes, in subgraphs and local functions too."""
    graphs = [proto.graph]
    nodes = [node for function in proto.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes += graph.node
        else:
            for attribute in nodes.pop().attribute:
                graphs += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
                yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)
                sparse = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
                for stored in (*sparse, *attribute.sparse_tensors):
                    yield from (stored.values, stored.indices)
