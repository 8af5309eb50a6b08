"""Which networks are too large to be held as one message, and so to be converted?"""

from __future__ import annotations

import math
from pathlib import Path

from benchbox.errors import ArtifactError
from benchbox.graph.skimming import BITS, structure_bytes
from benchbox.schema.model import Precision
from benchbox.units import format_bytes

# https://protobuf.dev/programming-guides/proto-limits: a message is smaller than 2 GiB.
PROTOBUF_LIMIT = 2**31 - 1


def require_convertible(path: Path, *, model: str, precision: Precision) -> None:
    """Raises ArtifactError for a file whose weights, in external data too, exceed one message; loads none of them."""
    import onnx

    graph = onnx.load_from_string(structure_bytes(path)).graph
    size = sum(math.prod(tensor.dims) * BITS.get(tensor.data_type, 0) for tensor in graph.initializer) // 8
    if size > PROTOBUF_LIMIT:
        raise ArtifactError(
            f"{model} is too large to be converted to {precision}",
            values=f"its weights are {format_bytes(size)}, and one ONNX message holds {format_bytes(PROTOBUF_LIMIT)}",
            remedy="measure it as it is, or convert it with the tool that made it and name that file",
        )
