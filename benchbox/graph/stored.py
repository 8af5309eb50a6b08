"""Which tensors of a graph follow from constants alone, and from which that the file stores?

Weights are initialisers in most files, Constant nodes in some (Paddle2ONNX, CNTK), and in others what a Cast, a
Transpose, a Reshape or a DequantizeLinear makes of either. A runtime computes all of it once, when it loads the file:
nothing of it is work or an activation of an inference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from benchbox.graph.opset import STANDARD_DOMAINS

if TYPE_CHECKING:
    import onnx

_RANDOM = frozenset(
    {
        *("Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"),
        "RandomUniformLike",
    }
)
_MICROSOFT = "com.microsoft"


def stored_tensors(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """The tensors that a file stores by the name under which nodes read them: initialisers and Constant nodes."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in STANDARD_DOMAINS:
            found.update((node.output[0], value) for entry in node.attribute if (value := _value(entry)) is not None)
    return found


def _value(attribute: onnx.AttributeProto) -> onnx.TensorProto | None:
    """A Constant's value, which may be written as a number or a list instead of a tensor."""
    from onnx import TensorProto, helper

    if attribute.name == "value":
        return attribute.t
    if attribute.name in ("value_float", "value_floats"):
        numbers, kind = list(attribute.floats), TensorProto.FLOAT
        alone: float = attribute.f
    elif attribute.name in ("value_int", "value_ints"):
        numbers, kind = list(attribute.ints), TensorProto.INT64
        alone = attribute.i
    else:
        return None
    if attribute.name.endswith("s"):
        return helper.make_tensor("", kind, [len(numbers)], numbers)
    return helper.make_tensor("", kind, [], [alone])


def constants_of(graph: onnx.GraphProto, stored: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """For every tensor that follows from constants, the stored ones that it is computed from; those are their own.

    Args:
        graph: makers before users.
        stored: the names of its stored tensors (``stored_tensors``).
    """
    found: dict[str, tuple[str, ...]] = {name: (name,) for name in stored}
    for node in graph.node:
        if not node.input or node.op_type in _RANDOM or node.domain not in (*STANDARD_DOMAINS, _MICROSOFT):
            continue
        if any(name and name not in found for name in node.input) or any(
            entry.HasField("g") for entry in node.attribute
        ):
            continue
        sources = tuple(dict.fromkeys(source for name in node.input if name for source in found[name]))
        found.update((name, sources) for name in node.output if name and name not in found)
    return found
