"""What is a network of transformers fed: ids of its vocabulary, masks of ones, pictures and sound of its sizes?

Shapes follow from the configuration; a size that it leaves open has a usual value, which ``--input NAME=N`` changes.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from benchbox.errors import UsageError
from benchbox.models.examples import Example

# Sizes that the user can choose, and what they are.
SIZES: Mapping[str, str] = {
    "sequence": "tokens of a text",
    "decoder_sequence": "tokens that a decoder has so far",
    "past": "tokens before, whose keys and values a decoder is given",
    "height": "of a picture",
    "width": "of a picture",
    "samples": "of a sound",
    "frames": "of a spectrogram",
}
_TOKENS, _DECODED, _SECOND, _PICTURE, _FRAMES = 128, 16, 16_000, 224, 1024
_BATCH = 2
# Which of the sizes an input has; a mask is as long as what it masks.
_SIZES_OF: Mapping[str, tuple[str, ...]] = {
    "input_ids": ("sequence",),
    "attention_mask": ("sequence",),
    "bbox": ("sequence",),
    "decoder_input_ids": ("decoder_sequence",),
    "pixel_values": ("height", "width"),
    "input_values": ("samples", "frames"),
    "input_features": ("frames",),
}


@dataclass(frozen=True, kw_only=True)
class Fed:
    """Two samples for a module, the given sizes that are in them, and by input those that nobody said."""

    example: Example
    used: frozenset[str]
    open: Mapping[str, str]


def example_for(module: nn.Module, config: Any, sizes: Mapping[str, int], reference: str) -> Fed:
    """Keyword arguments of a module's ``forward``.

    Raises UsageError where the main input is of a kind that is not known.
    """
    feeder = _Feeder(module, config, sizes)
    kwargs = feeder.made()
    if not kwargs:
        raise UsageError(
            f"it is not known what {reference} is fed",
            values=f"the main input of a {type(module).__name__} is {getattr(module, 'main_input_name', 'unknown')}",
            remedy="measure it as package.module:factory that returns (module, dictionary of example inputs)",
        )
    left = {
        name: ", ".join(f"{size}={feeder.open[size]}" for size in _SIZES_OF.get(name, ()) if size in feeder.open)
        for name in kwargs
    }
    return Fed(example=Example(kwargs=kwargs), used=frozenset(feeder.used), open=left)


class _Feeder:
    """The inputs of one module."""

    def __init__(self, module: nn.Module, config: Any, sizes: Mapping[str, int]) -> None:
        self._main = str(getattr(module, "main_input_name", "input_ids"))
        self._parameters = inspect.signature(module.forward).parameters
        self._config = config
        self._sizes = sizes
        self._generator = torch.Generator().manual_seed(0)
        self.used: set[str] = set()
        self.open: dict[str, int] = {}

    def made(self) -> dict[str, torch.Tensor]:
        """By name: the main input, and what belongs to it."""
        config, made = self._config, dict[str, torch.Tensor]()
        both = getattr(config, "text_config", None) is not None and getattr(config, "vision_config", None) is not None
        if self._main == "pixel_values" or (both and "pixel_values" in self._parameters):
            made["pixel_values"] = self._pictures()
        if self._main == "input_values":
            made["input_values"] = self._sound()
        if self._main == "input_features":
            made["input_features"] = self._spectrogram()
        if self._main == "input_ids" or (both and "input_ids" in self._parameters):
            made["input_ids"] = self._ids(self._tokens())
            if "attention_mask" in self._parameters:
                made["attention_mask"] = torch.ones_like(made["input_ids"])
            if "bbox" in self._parameters:
                made["bbox"] = torch.zeros((*made["input_ids"].shape, 4), dtype=torch.int64)
        if made and "decoder_input_ids" in self._parameters:
            made["decoder_input_ids"] = self._ids(self._size("decoder_sequence", min(_DECODED, self._most_tokens())))
        return {name: tensor for name, tensor in made.items() if name in self._parameters}

    def _size(self, name: str, usual: int, *, known: bool = False) -> int:
        """What the user says, else what the configuration says (``known``) or is usual."""
        if name in self._sizes:
            self.used.add(name)
            return self._sizes[name]
        if not known:
            self.open[name] = usual
        return usual

    def _of(self, *names: str, usual: Any = None) -> Any:
        """The first of these that the configuration has, itself or in its part for text, pictures or sound."""
        parts = [self._config]
        parts += [getattr(self._config, part, None) for part in ("text_config", "vision_config", "audio_config")]
        parts += [getattr(self._config, part, None) for part in ("decoder", "encoder")]
        found = [getattr(part, name, None) for part in parts for name in names if part is not None]
        return next((value for value in found if value is not None), usual)

    def _most_tokens(self) -> int:
        """Some models count positions from their padding's number on: two fewer are always there."""
        most = self._of("max_position_embeddings", "n_positions", "max_target_positions", usual=_TOKENS + 2)
        return max(1, int(most) - 2)

    def _tokens(self) -> int:
        # A decoder that has the keys and values of the tokens before is given one further token.
        one_more = "past" in self._sizes
        return self._size("sequence", 1 if one_more else min(_TOKENS, self._most_tokens()), known=one_more)

    def _ids(self, length: int) -> torch.Tensor:
        return torch.randint(int(self._of("vocab_size")), (_BATCH, length), generator=self._generator)

    def _pictures(self) -> torch.Tensor:
        size = said = self._of("image_size")
        size = _PICTURE if size is None else size
        size = [size["height"], size["width"]] if isinstance(size, Mapping) else size
        sizes = [int(one) for one in (size if isinstance(size, list | tuple) else [size])]
        height, width = (sizes * 2)[:2]
        known = said is not None
        shape = (self._size("height", height, known=known), self._size("width", width, known=known))
        return self._noise(int(self._of("num_channels", "in_channels", usual=3)), *shape)

    def _sound(self) -> torch.Tensor:
        bins = self._of("num_mel_bins")
        if bins is not None and (length := self._of("max_length")) is not None:
            return self._noise(self._size("frames", int(length), known=True), int(bins))
        return self._noise(self._size("samples", _SECOND))

    def _spectrogram(self) -> torch.Tensor:
        bins = self._of("num_mel_bins", "input_feat_per_channel", "feature_projection_input_dim", usual=80)
        if (positions := self._of("max_source_positions")) is not None and self._of("num_mel_bins") is not None:
            return self._noise(int(bins), self._size("frames", 2 * int(positions), known=True))
        return self._noise(self._size("frames", _FRAMES), int(bins))

    def _noise(self, *shape: int) -> torch.Tensor:
        return torch.randn((_BATCH, *shape), generator=self._generator)
