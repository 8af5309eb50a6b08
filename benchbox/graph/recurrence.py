"""Which axis of an input does a recurrent layer take for its batch?

A sequence-first input [20, 1, 8] looks like 20 samples from outside; the layer that reads it knows better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchbox.graph.opset import STANDARD_DOMAINS

if TYPE_CHECKING:
    import onnx

_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
# Where such a layer has its batch, by the place of what it reads, with layout 0: (sequence, batch, ...) and states.
_STATES = (5, 6)
_SAME_AXES = frozenset({"Identity", "Cast", "Slice", "Relu", "Tanh", "Sigmoid", "Dropout", "Clip", "Neg", "Abs"})
_Axes = tuple[int | None, ...]


def recurrent_batch_axes(graph: onnx.GraphProto, inputs: Mapping[str, Sequence[object]]) -> dict[str, int]:
    """By input, the axis that arrives at a recurrent layer as its batch; only of inputs that reach one unmixed.

    Args:
        graph: of the network.
        inputs: their sizes by name, of which only the number matters.
    """
    if not any(node.op_type in _RECURRENT and node.domain in STANDARD_DOMAINS for node in graph.node):
        return {}
    constants = _small_integers(graph)
    tracked: dict[str, tuple[str, _Axes]] = {
        name: (name, tuple(range(len(sizes)))) for name, sizes in inputs.items() if sizes
    }
    found: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in _RECURRENT:
            batch_first = any(entry.name == "layout" and entry.i == 1 for entry in node.attribute)
            for place in (0, *_STATES):
                origin, axes = tracked.get(node.input[place] if place < len(node.input) else "", ("", ()))
                axis = axes[0 if batch_first else 1] if len(axes) == 3 else None
                if axis is not None:
                    found.setdefault(origin, axis)
            continue
        if node.input and node.input[0] in tracked and node.output:
            origin, axes = tracked[node.input[0]]
            moved = _moved(node, axes, constants)
            if moved is not None:
                tracked.update((name, (origin, moved)) for name in node.output if name)
    return found


def _moved(node: onnx.NodeProto, axes: _Axes, constants: Mapping[str, Sequence[int]]) -> _Axes | None:
    if node.op_type in _SAME_AXES or node.op_type == "Split":
        return axes
    if node.op_type == "Transpose":
        perm = next((list(entry.ints) for entry in node.attribute if entry.name == "perm"), None)
        order = perm if perm is not None else list(range(len(axes)))[::-1]
        return tuple(axes[place] for place in order) if sorted(order) == list(range(len(axes))) else None
    if node.op_type not in {"Unsqueeze", "Squeeze"}:
        return None
    given = next((list(entry.ints) for entry in node.attribute if entry.name == "axes"), None)
    if given is None and len(node.input) > 1:
        given = list(constants.get(node.input[1], ())) or None
    if given is None:
        return None
    if node.op_type == "Squeeze":
        gone = {place % len(axes) for place in given} if axes else set()
        return tuple(axis for place, axis in enumerate(axes) if place not in gone)
    rank = len(axes) + len(given)
    new = {place % rank for place in given}
    rest = iter(axes)
    return tuple(None if place in new else next(rest, None) for place in range(rank))


def _small_integers(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """Values of small integer tensors: axes."""
    from onnx import TensorProto, numpy_helper

    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            stored.update((node.output[0], entry.t) for entry in node.attribute if entry.name == "value")
    return {
        name: [int(value) for value in numpy_helper.to_array(tensor).ravel()]
        for name, tensor in stored.items()
        if tensor.data_type == TensorProto.INT64 and len(tensor.dims) <= 1 and sum(tensor.dims) <= 8
        and not tensor.external_data
    }  # fmt: skip
