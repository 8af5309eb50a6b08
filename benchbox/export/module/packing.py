"""How is a network exported that packs its sequences (``pack_padded_sequence``)?

A packed sequence holds the steps of all samples behind each other, as many as their lengths add up to: no graph has
such a shape. ONNX's LSTM, GRU and RNN take the padded tensor and the lengths instead, and compute the same. So while a
network is traced, packing keeps the two together, the recurrent layer becomes ONNX's operator with its
``sequence_lens``, and unpacking gives the padded tensor back. PyTorch's outputs for the comparison come from the
network as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils import rnn

from benchbox.errors import ArtifactError

_LAYERS = (nn.LSTM, nn.GRU, nn.RNN)
# PyTorch's order of the gates as ONNX has them: i f g o -> i o f c; r z n -> z r h.
_GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
_OPSET = 14


@dataclass(frozen=True)
class _Packed:
    """What stands for a packed sequence: steps (T, N, ...) and how many of them each sample has (N)."""

    steps: torch.Tensor
    lengths: torch.Tensor

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ArtifactError(
            f"the network reads '{name}' of a packed sequence, for which ONNX has nothing",
            values="only recurrent layers and pad_packed_sequence() can take one in an exported network",
            remedy="unpack it first with pad_packed_sequence(), and compute on the padded tensor",
        )


# Of a network whose outputs are as long as the longest sequence of a batch; in its graph that is a constant.
FULL = (
    "pad_packed_sequence() without total_length: in the graph its outputs are as long as the padded input, which the "
    "longest sequence of every batch must fill"
)


def _pack_by_name(
    input: Any,  # noqa: A002
    lengths: Any,
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> Any:
    """What every reference to ``pack_padded_sequence`` runs, wherever it was imported to: globals are PyTorch's."""
    return globals()["_benchbox_pack"](input, lengths, batch_first, enforce_sorted)


def _unpack_by_name(
    sequence: Any, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> Any:
    """The same for ``pad_packed_sequence``."""
    return globals()["_benchbox_unpack"](sequence, batch_first, padding_value, total_length)


@contextlib.contextmanager
def packed_as_padded(*, cut: bool = False) -> Iterator[list[str]]:
    """Within, packing and unpacking, and recurrent layers between them, can be traced.

    Yields a list that gets what the user should know of the graph.

    Args:
        cut: where the network says no length, outputs end with the longest sequence, a size that follows from data,
            as PyTorch's do; else they stay as long as the padded input.
    """
    notes: list[str] = []

    def unpack(
        sequence: _Packed, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if total_length is None and cut:
            sequence = _cut(sequence)
        elif total_length is None and not notes:
            notes.append(FULL)
        return _unpack(sequence, batch_first, padding_value, total_length)

    instead = (
        (rnn.pack_padded_sequence, _pack_by_name, "_benchbox_pack", _pack),
        (rnn.pad_packed_sequence, _unpack_by_name, "_benchbox_unpack", unpack),
    )
    with contextlib.ExitStack() as put_back:
        for function, by_name, name, ours in instead:
            put_back.callback(setattr, function, "__code__", function.__code__)
            put_back.callback(vars(rnn).pop, name, None)
            setattr(rnn, name, ours)
            function.__code__ = by_name.__code__
        for layer in _LAYERS:
            put_back.callback(setattr, layer, "forward", layer.forward)
            layer.forward = _forward_of(layer.forward)  # type: ignore[method-assign]
        yield notes


def _pack(
    input: torch.Tensor,  # noqa: A002 - the names are PyTorch's: they may be given by name
    lengths: torch.Tensor | Sequence[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> _Packed:
    """``pack_padded_sequence``. The order of the samples is kept, which is what sorting and undoing it comes to."""
    del enforce_sorted
    return _Packed(input.transpose(0, 1) if batch_first else input, torch.as_tensor(lengths))


def _cut(sequence: _Packed) -> _Packed:
    """The same without the steps that no sequence of the batch has."""
    longest: Any = sequence.lengths.max().item()
    torch._check(longest >= 0)  # type: ignore[no-untyped-call]
    torch._check(longest <= sequence.steps.shape[0])  # type: ignore[no-untyped-call]
    return _Packed(sequence.steps.narrow(0, 0, longest), sequence.lengths)


def _unpack(
    sequence: _Packed, batch_first: bool, padding_value: float, total_length: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """``pad_packed_sequence``, as long as the tensor of the steps unless a length is given."""
    steps = sequence.steps
    time = steps.shape[0]
    if padding_value != 0.0:
        beyond = torch.arange(time).unsqueeze(1) >= sequence.lengths.unsqueeze(0)
        steps = steps.masked_fill(beyond.reshape(*beyond.shape, *[1] * (steps.ndim - 2)), padding_value)
    if total_length is not None and total_length != time:
        more = steps.new_full((total_length - time, *steps.shape[1:]), padding_value)
        steps = torch.cat([steps, more])
    return steps.transpose(0, 1) if batch_first else steps, sequence.lengths


def _forward_of(own: Callable[..., Any]) -> Callable[..., Any]:
    def forward(self: nn.RNNBase, input: Any, hx: Any = None) -> Any:  # noqa: A002
        return _recurrent(self, input, hx) if isinstance(input, _Packed) else own(self, input, hx)

    return forward


def _recurrent(layer: nn.RNNBase, packed: _Packed, hx: Any) -> tuple[_Packed, Any]:
    """The layer on packed sequences, as one ONNX operator for each of its layers: outputs, and the last states."""
    if layer.proj_size:
        raise ArtifactError(
            f"an LSTM of packed sequences has proj_size={layer.proj_size}, which ONNX's LSTM has not",
            values=f"input size {layer.input_size}, hidden size {layer.hidden_size}",
            remedy="bring an ONNX file that has its recurrence as a loop, or a network without proj_size",
        )
    kind = "RNN" if isinstance(layer, nn.RNN) else layer.mode
    ways = 2 if layer.bidirectional else 1
    states = hx if isinstance(hx, tuple) else (hx,) if hx is not None else ()
    steps, last = packed.steps, []
    for place in range(layer.num_layers):
        first = [state[place * ways : (place + 1) * ways] for state in states]
        steps, *ends = _one_layer(layer, kind, place, steps, packed.lengths, first)
        last.append(ends)
    ended = tuple(torch.cat(parts) for parts in zip(*last, strict=True))
    return _Packed(steps, packed.lengths), ended if kind == "LSTM" else ended[0]


def _one_layer(
    layer: nn.RNNBase, kind: str, place: int, steps: torch.Tensor, lengths: torch.Tensor, first: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Steps (T, N, ways·H) and the last states (ways, N, H) of one layer in its one or two directions."""
    size, ways = layer.hidden_size, 2 if layer.bidirectional else 1
    suffixes = [f"l{place}", f"l{place}_reverse"][:ways]
    weights = [_stacked(layer, f"{name}_", suffixes, kind) for name in ("weight_ih", "weight_hh")]
    biases = None
    if layer.bias:
        biases = torch.cat([_stacked(layer, f"{name}_", suffixes, kind) for name in ("bias_ih", "bias_hh")], dim=1)
    attributes: dict[str, Any] = {"hidden_size": size, "direction": "bidirectional" if ways == 2 else "forward"}
    if kind == "GRU":
        attributes["linear_before_reset"] = 1
    if kind == "RNN":
        attributes["activations"] = ["Relu" if layer.mode == "RNN_RELU" else "Tanh"] * ways
    time, samples = steps.shape[0], steps.shape[1]
    state = (ways, samples, size)
    shapes = [(time, ways, samples, size), state, *([state] if kind == "LSTM" else [])]
    made = torch.onnx.ops.symbolic_multi_out(
        kind,
        (steps, *weights, biases, lengths.to(torch.int32), *first),
        attributes,
        dtypes=[steps.dtype] * len(shapes),
        shapes=shapes,
        version=_OPSET,
    )
    outputs, *ends = made
    return [outputs.transpose(1, 2).flatten(2), *ends]


def _stacked(layer: nn.RNNBase, name: str, suffixes: Sequence[str], kind: str) -> torch.Tensor:
    """Weights or biases of one layer, a direction after the other, with the gates in ONNX's order."""
    found = []
    for suffix in suffixes:
        gates = getattr(layer, name + suffix).chunk(len(_GATES[kind]))
        found.append(torch.cat([gates[gate] for gate in _GATES[kind]]))
    return torch.stack(found)
