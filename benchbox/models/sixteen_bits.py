"""Is a module in 16 bits, with inputs to match? Then it is made fp32: from that file every precision is derived."""

from __future__ import annotations

from collections import Counter

import torch
from torch import nn
from torch.utils import _pytree  # noqa: PLC2701

from benchbox.models.examples import Example
from benchbox.models.kept_tensors import kept_tensors_put_back

_SHORT = (torch.float16, torch.bfloat16)


def has_short_weights(module: nn.Module) -> bool:
    """Whether all floating-point weights have 16 bits, as ``module.half()`` makes them."""
    kinds = {parameter.dtype for parameter in module.parameters() if parameter.is_floating_point()}
    return bool(kinds) and kinds <= set(_SHORT)


def in_sixteen_bits(module: nn.Module, example: Example) -> bool:
    """Whether a module with such weights computes in 16 bits: its example inputs have 16 bits, or should have.

    Wider inputs are those of a module that casts inside, which stays as it is, unless it does not run on them: then
    they were only not narrowed.
    """
    leaves = _pytree.tree_leaves((example.args, dict(example.kwargs)))
    given = {leaf.dtype for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()}
    return given <= set(_SHORT) or not _runs(module, example)


def short_weights_in_words(module: nn.Module) -> str:
    """How many weights of a module that was not widened have 16 bits; "" where none has."""
    kinds = Counter(parameter.dtype for parameter in module.parameters() if parameter.dtype in _SHORT)
    return " and ".join(f"{count} weights are {str(kind).removeprefix('torch.')}" for kind, count in kinds.items())


def remedy_of_mixed(error: BaseException, module: nn.Module) -> str:
    """What to do about an error that comes of weights of several widths; "" where it does not, or they have one."""
    kinds = Counter(parameter.dtype for parameter in module.parameters() if parameter.is_floating_point())
    if len(kinds) < 2 or not any(kind in kinds for kind in _SHORT) or "type" not in str(error):
        return ""
    found = " and ".join(f"{count} in {str(kind).removeprefix('torch.')}" for kind, count in kinds.most_common())
    return f"its weights have several types ({found}): give them one with module.float(), or cast between its layers"


def _runs(module: nn.Module, example: Example) -> bool:
    try:
        with kept_tensors_put_back(module), torch.inference_mode():
            module(*example.args, **example.kwargs)
    except (Exception, SystemExit):  # whatever the network's own code raises; it is said where it runs again
        return False
    return True


def widened(example: Example) -> Example:
    """The example inputs, those of 16 bits in fp32."""

    def wide(leaf: object) -> object:
        short = isinstance(leaf, torch.Tensor) and leaf.dtype in _SHORT
        return leaf.float() if short and isinstance(leaf, torch.Tensor) else leaf

    args, kwargs = _pytree.tree_map(wide, (example.args, dict(example.kwargs)))
    return Example(args=args, kwargs=kwargs)
