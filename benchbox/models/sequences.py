"""Which axis do the recurrent and attention layers of a module take for their batch?

PyTorch's own are sequence-first unless they say ``batch_first``: [20, 1, 8] looks like 20 samples from outside, and
such a network runs at any length. The layers that read it know better.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

_LAYERS = (nn.RNNBase, nn.MultiheadAttention)


@dataclass(frozen=True, kw_only=True)
class LayerCall:
    """What a layer was given, and the axis and size of it that it takes for its batch."""

    given: torch.Tensor
    axis: int

    @property
    def batch(self) -> int:
        """Samples in that call."""
        return self.given.shape[self.axis]


@contextlib.contextmanager
def sequence_layers_watched(module: nn.Module) -> Iterator[list[LayerCall]]:
    """Notes the calls of recurrent and attention layers while the module runs."""
    calls: list[LayerCall] = []

    def note(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = args[0] if args else kwargs.get("input", kwargs.get("query"))
        if isinstance(given, torch.Tensor) and given.ndim == 3:  # with two axes it has no batch
            calls.append(LayerCall(given=given, axis=0 if layer.batch_first else 1))

    handles = [
        layer.register_forward_pre_hook(note, with_kwargs=True)
        for layer in module.modules()
        if isinstance(layer, _LAYERS)
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
