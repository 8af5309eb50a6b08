"""What does a conversion to another precision take, what does it give, and which graphs can it not convert?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError
from benchbox.export.precision.samples import CalibrationData
from benchbox.graph.bodies import bodies_of
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.derivation import Derivation, Quantization
from benchbox.schema.model import Precision

if TYPE_CHECKING:
    import onnx

_NAMED = 5


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
    """Raises ArtifactError for a graph with local functions, which no conversion looks into.

    Args:
        proto: the graph.
        conversion: in words, for the message ("cast to fp16").
    """
    if proto.functions:
        raise ArtifactError(
            f"a network with local functions cannot be {conversion}",
            values=f"function {proto.functions[0].name}",
            remedy="inline the functions first (onnx.inliner)",
        )


def nodes_with_bodies(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that branch or loop: what is inside of them stays as it is in every conversion."""
    return [node for node in graph.node if bodies_of(node)]


def kept_inside_in_words(graph: onnx.GraphProto) -> str:
    """Which nodes keep what is inside of them in fp32; "" for a graph without any."""
    nodes = nodes_with_bodies(graph)
    if not nodes:
        return ""
    names = ", ".join(f"{node.name} ({node.op_type})" for node in nodes[:_NAMED])
    more = f" and {len(nodes) - _NAMED} more" if len(nodes) > _NAMED else ""
    return f"what is inside of branches and loops stays in fp32: {names}{more}"
