"""In which other files does an ONNX file keep its weights, and how are they read?

Files in the cache of Hugging Face's hub are links to others of no telling name, the ONNX file and its data each: data
lie beside the link, and are read through one. onnx's own reader refuses that, ONNX Runtime does not.
"""

from __future__ import annotations

import stat
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

    proto = onnx.load(str(path), load_external_data=False)
    for tensor in _tensors(proto):
        if tensor.data_location == tensor.EXTERNAL and _require_whole(tensor, path.parent) <= _READ_BYTES:
            read_external(tensor, path.parent)
    return proto


def whole_model(path: Path) -> onnx.ModelProto:
    """A whole ONNX file with all its external data; raises as ``model_from_file``."""
    import onnx

    proto = onnx.load(str(path), load_external_data=False)
    for tensor in _tensors(proto):
        if tensor.data_location == tensor.EXTERNAL:
            read_external(tensor, path.parent)
    return proto


def read_external(tensor: onnx.TensorProto, folder: Path) -> None:
    """Puts a tensor's external data into it.

    Args:
        tensor: whose location was checked to lie inside of the folder.
        folder: of the ONNX file.

    Raises OSError or ValueError where the data are not there whole, or are no plain file.
    """
    from onnx import external_data_helper

    info = external_data_helper.ExternalDataInfo(tensor)
    place = folder / info.location
    if not stat.S_ISREG(place.stat().st_mode):
        raise ValueError(f"{info.location} is not a plain file")
    length = _require_whole(tensor, folder)
    with place.open("rb") as file:
        file.seek(info.offset or 0)
        data = file.read(length)
    tensor.raw_data = data
    tensor.data_location = tensor.DEFAULT
    del tensor.external_data[:]


def is_linked(path: Path) -> bool:
    """Whether some of an ONNX file's external data are read through a link; raises ArtifactError for a damaged file."""
    return any((path.parent / place).is_symlink() for place in external_files(path))


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
