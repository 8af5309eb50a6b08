"""How is one step of a decoder measured: a further token, with the keys and values of those before it?

Such a step is what generating text repeats. The cache is that of the network itself, one pair of tensors a layer, given
as inputs ``past_key_values_0_key`` and so on, and returned with the new tokens behind the logits.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from benchbox.errors import InputsError
from benchbox.models.examples import Example
from benchbox.models.libraries.made import failed, imported

_PAST = "past_key_values"


def with_past(module: nn.Module, example: Example, past: int, *, reference: str) -> Example:
    """Example inputs with the keys and values of so many tokens; the module's ``forward`` is made to take them.

    Args:
        module: a decoder of transformers; it is changed.
        example: with ``input_ids`` and, where the module takes one, ``attention_mask``.
        past: tokens before; 0 for an empty cache.
        reference: of the network, for messages.

    Raises:
        InputsError: it keeps no keys and values of its own past.
        ArtifactError: its code fails.
    """
    ids: Any = example.kwargs.get("input_ids")
    config: Any = module.config
    layers = None
    if ids is not None and not getattr(config, "is_encoder_decoder", False):
        first = ids[:, :1].expand(-1, max(past, 1))
        try:
            with torch.no_grad():
                layers = _layers_of(module(input_ids=first, use_cache=True))
        except Exception as error:  # whatever a library's own code raises
            raise failed(f"{reference} does not run on {first.shape[1]} tokens", error) from error
    if not layers:
        raise InputsError(
            f"{reference} keeps no keys and values of past tokens",
            values=f"--input past={past} with a {type(module).__name__}",
            remedy="it is for networks that generate text token by token (--task text-generation)",
        )
    cache = [{part: tensor[:, :, :past].clone() for part, tensor in layer.items()} for layer in layers]
    _take_past(module)
    given = {**example.kwargs, _PAST: cache}
    if "attention_mask" in given:
        given["attention_mask"] = torch.ones((len(ids), past + ids.shape[1]), dtype=torch.int64)
    return Example(kwargs=given)


def _take_past(module: nn.Module) -> None:
    """Replaces the module's ``forward`` by one that takes and returns keys and values as plain tensors."""
    transformers = imported("transformers", "hf")
    own = module.forward
    # Newer versions of transformers call it so.
    name = "cache" if "cache" in inspect.signature(own).parameters else _PAST

    def forward(input_ids: torch.Tensor, past_key_values: list[dict[str, torch.Tensor]], **masks: Any) -> Any:
        cache = transformers.DynamicCache(config=module.config)
        for number, layer in enumerate(past_key_values):
            cache.update(layer["key"], layer["value"], number)
        made = own(input_ids=input_ids, use_cache=True, **{name: cache}, **masks)
        return {"scores": made[0], "present": _layers_of(made)}

    module.forward = forward


def _layers_of(made: Any) -> list[dict[str, torch.Tensor]]:
    """The keys and values that a module returned, layer by layer; none where it keeps none."""
    cache = getattr(made, "cache", None) or getattr(made, _PAST, None)
    layers = getattr(cache, "layers", ())
    return [{"key": layer.keys, "value": layer.values} for layer in layers if getattr(layer, "keys", None) is not None]
