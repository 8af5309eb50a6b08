"""Which networks do we know by name, what is published about each, and who builds it?

The facts are data (``facts.toml``), so that they are known without PyTorch; the builder of a network is the
function of its name in its family's file, which reads like its paper.
"""

from __future__ import annotations

import functools
import importlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.registry import require_known
from benchbox.schema.model import Accuracy, ModelSpec

if TYPE_CHECKING:
    from torch import nn

_FACTS = Path(__file__).with_name("facts.toml")


@functools.cache
def specs() -> Mapping[str, ModelSpec]:
    """The facts of every network by name, in the order of the file; needs no PyTorch."""
    table = tomllib.loads(_FACTS.read_text())
    return {name: _spec(name, row) for name, row in table.items()}


def spec(name: str) -> ModelSpec:
    """The facts of one network; an unknown name raises UsageError with the nearest known ones."""
    return specs()[require_known("model", name, specs())]


def build(name: str) -> nn.Module:
    """The network of that name with PyTorch's default weights, on the current default device."""
    family = importlib.import_module(f"benchbox.models.zoo.{spec(name).family}")
    module: nn.Module = getattr(family, name)()
    return module


def _spec(name: str, row: dict[str, object]) -> ModelSpec:
    fields = dict(row)
    accuracy = fields.pop("accuracy", None)
    shape = fields.pop("input_shape")
    assert isinstance(shape, list), f"facts of {name}: input_shape is a list"
    return ModelSpec(
        name=name,
        input_shape=tuple(shape),
        accuracy=Accuracy(**accuracy) if isinstance(accuracy, dict) else None,
        **fields,  # type: ignore[arg-type]
    )
