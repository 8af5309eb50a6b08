"""Which part of a network does ``--module NAME`` mean, and what is it given when the whole network runs?"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from benchbox.errors import ArtifactError, UsageError, one_line
from benchbox.models.examples import Example, ExampleInput, tensors_of
from benchbox.models.kept_tensors import kept_tensors_put_back
from benchbox.registry import suggestion

_SHOWN = 12
_TRIED = (2, 3)


def part_of(
    module: nn.Module, name: str, inputs: tuple[ExampleInput, ...], reference: str
) -> tuple[nn.Module, Example]:
    """A part of a network by its dotted name, and the arguments of its first call when the network runs.

    Args:
        module: the whole network, which takes the tensors of ``inputs``.
        name: ``layer3.0.conv2``.
        inputs: examples.
        reference: of the network, for messages.

    Raises:
        UsageError: there is no such part, or the network does not call it.
        ArtifactError: the network fails on its example inputs.
    """
    parts = {path: part for path, part in module.named_modules() if path}
    if name not in parts:
        near = suggestion(name, tuple(parts))
        shown = [path for path in parts if "." not in path]
        more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
        raise UsageError(
            f"{reference} has no module '{name}'",
            values=near or f"its own are {', '.join(shown[:_SHOWN]) or 'none'}{more}",
            remedy="give its dotted name, as in named_modules()",
        )
    failure: BaseException | None = None
    try:
        found = _first_call(module, parts[name], [given.tensor for given in inputs])
    except (Exception, SystemExit) as error:  # whatever the network's own code raises
        found, failure = None, error
    if found is not None:
        return parts[name], found
    if failure is not None:
        raise ArtifactError(
            f"{reference} does not run on its example inputs",
            values=f"{type(failure).__name__}: {one_line(failure)}",
            remedy="correct the inputs, or their sizes (--input)",
        ) from failure
    raise UsageError(
        f"{reference} does not call its module '{name}'",
        values=f"a {type(parts[name]).__name__}, whose forward() did not run",
        remedy="name a module that it calls: its parent, or its children",
    )


def axes_of_part(
    module: nn.Module, name: str, inputs: tuple[ExampleInput, ...], reference: str
) -> tuple[int | None, ...] | None:
    """Which axis of each tensor that a part is given counts samples: the one that follows the network's own batch.

    The part alone would run with other sizes of a sequence too. None where the network's batch is not seen in it, as
    where samples and places are folded into one axis, or the network does not run with other batches.

    Args:
        module: the whole network.
        name: of the part.
        inputs: of the network, with the axes that count samples.
        reference: of the network, for messages.
    """
    part = module.get_submodule(name)
    shapes = []
    for size in _TRIED:
        try:
            example = _first_call(module, part, [given.with_batch(size) for given in inputs])
        except (Exception, SystemExit):  # whatever the network's own code raises
            return None
        if example is None:
            return None
        shapes.append([tuple(tensor.shape) for tensor in tensors_of(part, example, reference)])
    two, three = shapes
    if len(two) != len(three):
        return None
    axes: list[int | None] = []
    for one, other in zip(two, three, strict=True):
        moved = [axis for axis, sizes in enumerate(zip(one, other, strict=False)) if sizes[0] != sizes[1]]
        if len(one) != len(other) or [(one[axis], other[axis]) for axis in moved] not in ([], [_TRIED]):
            return None
        axes.append(moved[0] if moved else None)
    return tuple(axes) if any(axis is not None for axis in axes) else None


class _Reached(BaseException):
    """The part was called: what the network does behind it does not matter. No Exception, which networks may catch."""


def _first_call(module: nn.Module, part: nn.Module, tensors: Sequence[torch.Tensor]) -> Example | None:
    """The arguments of the part's first call when the network runs on these, None where it is not called."""
    calls: list[Example] = []

    def keep(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append(Example(args=args, kwargs=kwargs))
        raise _Reached

    handle = part.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        with kept_tensors_put_back(module), torch.no_grad(), contextlib.suppress(_Reached):
            module(*tensors)
    finally:
        handle.remove()
    return calls[0] if calls else None
