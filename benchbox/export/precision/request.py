"""What does a conversion to another precision take, what does it give, and which graphs can it not convert?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError
from benchbox.export.precision.samples import CalibrationData
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.derivation import Derivation, Quantization
from benchbox.schema.model import Precision

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, kw_only=True)
class Derived:
    """A graph of another precision, what it was quantised with if it was, and warnings about it."""

    proto: onnx.ModelProto
    warnings: tuple[str, ...] = ()
    quantization: Quantization | None = None


@dataclass(frozen=True, kw_only=True)
class DerivingRequest:
    """An fp32 graph and what to derive from it; ``data`` only where the precision is calibrated.

    ``ranges`` are those of its tensors where they were observed before.
    """

    proto: onnx.ModelProto
    precision: Precision
    derivation: Derivation
    inputs: tuple[TensorSpec, ...]
    data: CalibrationData | None = None
    ranges: Mapping[str, float] | None = None


def require_plain(proto: onnx.ModelProto, conversion: str) -> None:
    """Raises ArtifactError for a graph with control flow or local functions, which no conversion looks into.

    Args:
        proto: the graph.
        conversion: in words, for the message ("cast to fp16").
    """
    for node in proto.graph.node:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ArtifactError(
                f"a network with control flow cannot be {conversion}",
                values=f"node {node.name} ({node.op_type}) has a subgraph",
                remedy="export it without data-dependent branches, or run it in fp32",
            )
    if proto.functions:
        raise ArtifactError(
            f"a network with local functions cannot be {conversion}",
            values=f"function {proto.functions[0].name}",
            remedy="inline the functions first (onnx.inliner)",
        )
