"""Which tensors does a module return, in the order of the exported graph's outputs?

Dictionaries, lists and tuples are flattened, however deep, as PyTorch's exporter does; None is no output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from benchbox.errors import ArtifactError

if TYPE_CHECKING:
    import torch


def tensors_in(made: Any) -> tuple[torch.Tensor, ...]:
    """The tensors in what a module returned; raises ArtifactError for anything else in it."""
    import torch

    leaves = [leaf for leaf in _leaves(made) if leaf is not None]
    for leaf in leaves:
        if not isinstance(leaf, torch.Tensor):
            raise ArtifactError(
                f"the network returns a {type(leaf).__name__} among its outputs",
                values=f"{leaf!r:.80}",
                remedy="return tensors, or tuples, lists and dictionaries of them",
            )
    return tuple(leaves)


def _leaves(made: Any) -> Iterator[Any]:
    if isinstance(made, Mapping | list | tuple):
        for entry in made.values() if isinstance(made, Mapping) else made:
            yield from _leaves(entry)
    else:
        yield made


def in_float(made: Any) -> tuple[torch.Tensor, ...]:
    """The tensors in what a module returned, floating-point ones in fp32; whole numbers as they are."""
    return tuple(tensor.float() if tensor.is_floating_point() else tensor for tensor in tensors_in(made))
