"""Which PyTorch modules are the one-operator networks that ceilings are measured with?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchbox.schema.model import ModelSource, SourceKind

if TYPE_CHECKING:
    import torch
    from torch import nn

_MODULES = {"gemm": "product", "add": "addition", "relu": "rectifier"}


def operator_source(operator: str, title: str) -> ModelSource:
    """The source of a one-operator network: ``gemm``, ``add`` or ``relu``, under a title of the caller's."""
    return ModelSource(
        reference=f"{__name__}:{_MODULES[operator]}", kind=SourceKind.FACTORY, name=title, input_shape=None
    )


def product() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A module that multiplies two matrices, and an example of both."""
    return _of_two("matmul")


def addition() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A module that adds two tensors, and an example of both."""
    return _of_two("add")


def rectifier() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A module with one Relu, and an example of its input."""
    import torch

    return torch.nn.Sequential(torch.nn.ReLU()), (torch.zeros(2),)


def _of_two(function: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    import torch

    class Product(torch.nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = getattr(torch, function)(a, b)
            return made

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.product = Product()

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.product(a, b)
            return made

    return Whole(), (torch.zeros(2, 2), torch.zeros(2, 2))
