"""Is a module in 16 bits, with inputs to match? Then it is made fp32: from that file every precision is derived."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils import _pytree  # noqa: PLC2701

from benchbox.models.examples import Example

_SHORT = (torch.float16, torch.bfloat16)


def in_sixteen_bits(module: nn.Module, example: Example) -> bool:
    """Whether all floating-point weights and example inputs have 16 bits, as ``module.half()`` and its user make them.

    A module that casts inside takes wider inputs, and stays as it is.
    """
    leaves = _pytree.tree_leaves((example.args, dict(example.kwargs)))
    tensors = [*module.parameters(), *(leaf for leaf in leaves if isinstance(leaf, torch.Tensor))]
    kinds = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    weights = any(parameter.is_floating_point() for parameter in module.parameters())
    return weights and bool(kinds) and kinds <= set(_SHORT)


def widened(module: nn.Module, example: Example) -> Example:
    """Makes the module fp32, and gives its example inputs in fp32."""
    module.float()

    def wide(leaf: object) -> object:
        short = isinstance(leaf, torch.Tensor) and leaf.dtype in _SHORT
        return leaf.float() if short and isinstance(leaf, torch.Tensor) else leaf

    args, kwargs = _pytree.tree_map(wide, (example.args, dict(example.kwargs)))
    return Example(args=args, kwargs=kwargs)
