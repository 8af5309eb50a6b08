"""Which part of a network does ``--module NAME`` mean, and what is it given when the whole network runs?"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchbox.errors import ArtifactError, UsageError
from benchbox.models.examples import Example, ExampleInput
from benchbox.models.kept_tensors import kept_tensors_put_back
from benchbox.registry import suggestion

_SHOWN = 12


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
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def keep(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not calls:
            calls.append((args, kwargs))

    handle = parts[name].register_forward_pre_hook(keep, with_kwargs=True)
    failure: BaseException | None = None
    try:
        with kept_tensors_put_back(module), torch.no_grad():
            module(*(given.tensor for given in inputs))
    except (Exception, SystemExit) as error:  # whatever the network's own code raises
        failure = error
    finally:
        handle.remove()
    if calls:
        args, kwargs = calls[0]
        return parts[name], Example(args=args, kwargs=kwargs)
    if failure is not None:
        raise ArtifactError(
            f"{reference} does not run on its example inputs",
            values=f"{type(failure).__name__}: {' '.join(str(failure).split())[:400]}",
            remedy="correct the inputs, or their sizes (--input)",
        ) from failure
    raise UsageError(
        f"{reference} does not call its module '{name}'",
        values=f"a {type(parts[name]).__name__}, whose forward() did not run",
        remedy="name a module that it calls: its parent, or its children",
    )
