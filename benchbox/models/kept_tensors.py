"""Which tensors of its own does a module change when it runs?

Running statistics, counters and caches carry one inference over to the next, in buffers or in plain attributes; an ONNX
graph has no such memory, and begins every inference with the values that it was exported with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def kept_tensors_put_back(module: nn.Module) -> Iterator[list[str]]:
    """Gives a module the buffers and other tensors of its own that it had before, whatever runs within.

    An attribute that was None is None again: a cache that the first inference fills. Parameters are left alone.

    Yields a list that has the names of those that were changed, once the context is left.
    """
    changed: list[str] = []
    kept = [
        (path, layer, name, value, None if value is None else value.clone())
        for path, layer in module.named_modules()
        for name, value in [*layer.named_buffers(recurse=False), *_plain(layer)]
    ]
    try:
        yield changed
    finally:
        for path, layer, name, value, before in kept:
            now = getattr(layer, name, None)
            if now is value and (value is None or before is None or _same(value, before)):
                continue
            if value is None and not isinstance(now, torch.Tensor):
                continue  # something else that is made when it is first needed
            # What is computed anew from parameters, as a normalised weight, is no memory.
            if not (isinstance(now, torch.Tensor) and before is not None and _same(now, before)):
                changed.append(f"{path}.{name}" if path else name)
            setattr(layer, name, value)
            if value is not None and before is not None:
                with torch.inference_mode():  # which may write into its own tensors too
                    value.copy_(before)


def _plain(layer: nn.Module) -> Iterator[tuple[str, torch.Tensor | None]]:
    for name, value in vars(layer).items():
        if value is None or (isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter)):
            yield name, value


def _same(now: torch.Tensor, before: torch.Tensor) -> bool:
    if now.shape != before.shape:
        return False
    return torch.equal(now, before) or bool(((now == before) | ((now != now) & (before != before))).all())
