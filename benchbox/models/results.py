"""Which of what a module returns are outputs of a network? Its tensors, wherever they are.

Dictionaries, tuples, lists and data classes are gone through, as PyTorch's exporter does with those that it knows. None
and plain numbers are no outputs: the exporter fails at them. A whole number of a traced size is one of those.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from benchbox.errors import ArtifactError, UsageError

_QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")
_NUMBERS = (type(None), bool, int, float, complex, torch.SymInt, torch.SymFloat, torch.SymBool)


def plain_module(module: nn.Module, reference: str) -> nn.Module:
    """The network itself, without what compiles it or runs it on several devices.

    Raises UsageError for TorchScript, which has no code that an exporter can follow, and for what PyTorch quantised.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise UsageError(
            f"{reference} is TorchScript, which cannot be exported",
            values=f"a {type(module).__name__} of {module.original_name}",
            remedy="return the nn.Module that it was made of",
        )
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return plain_module(module.module, reference)
    packed = (part for part in module.modules() if type(part).__module__.startswith(_QUANTISED))
    if (part := next(packed, None)) is not None:
        raise UsageError(
            f"{reference} is quantised by PyTorch, whose own format cannot be exported",
            values=f"it holds a {type(part).__module__}.{type(part).__name__}",
            remedy="return the network before it was quantised: --precision int8 quantises it",
        )
    if isinstance(module, torch.fx.GraphModule) and not _can_be_evaluated(module):
        raise UsageError(
            f"{reference} is the module of a program that torch.export made",
            values="its batch and its branches are fixed as they were traced",
            remedy="return the nn.Module that it was made of",
        )
    inner = getattr(module, "_orig_mod", None)  # of torch.compile
    return plain_module(inner, reference) if isinstance(inner, nn.Module) else module


def _can_be_evaluated(module: nn.Module) -> bool:
    """Whether a module has the modes of training and evaluation, which a traced program has not."""
    try:
        module.eval()
    except RuntimeError:  # "not implemented": the class of that is one of these
        return False
    return True


def give_tensors(module: nn.Module, reference: str) -> None:
    """Makes a module return its tensors only, in the order in which they are found in what it returns.

    What it returned otherwise is an ArtifactError when it runs.
    """
    own = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        made = own(*args, **kwargs)
        found = tuple(_tensors(made, reference))
        if isinstance(made, torch.Tensor):
            return made
        if not found:
            raise ArtifactError(
                f"{reference} returns no tensor",
                values=f"it returned {made!r:.80}",
                remedy="return the tensors that it computes",
            )
        return found

    with contextlib.suppress(TypeError, ValueError):  # inputs are named by the parameters of its own function
        forward.__signature__ = inspect.signature(own)  # type: ignore[attr-defined]
    module.forward = forward


def _tensors(made: Any, reference: str) -> Iterator[torch.Tensor]:
    if isinstance(made, torch.Tensor):
        if made.is_complex():
            raise ArtifactError(
                f"{reference} returns complex numbers, which ONNX does not have",
                values=f"a tensor of {str(made.dtype).removeprefix('torch.')} {tuple(made.shape)}",
                remedy="return torch.view_as_real(...) of it",
            )
        yield made
    elif isinstance(made, Mapping):
        for entry in made.values():
            yield from _tensors(entry, reference)
    elif isinstance(made, list | tuple):
        for entry in made:
            yield from _tensors(entry, reference)
    elif dataclasses.is_dataclass(made) and not isinstance(made, type):
        for field in dataclasses.fields(made):
            yield from _tensors(getattr(made, field.name), reference)
    elif not isinstance(made, _NUMBERS):
        raise ArtifactError(
            f"{reference} returns a {type(made).__name__} among its outputs",
            values=f"{made!r:.80}",
            remedy="return tensors, or tuples, lists and dictionaries of them",
        )
