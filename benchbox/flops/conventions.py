"""Which number is meant when a network's cost is given as one number?"""

from __future__ import annotations

from enum import StrEnum

from benchbox.registry import require_known
from benchbox.schema.cost import LayerCost


class Convention(StrEnum):
    """MAC: a multiply-add of a convolution or matrix product is 1, all else 0. FLOP: 2·MAC plus elementwise work."""

    MAC = "mac"
    FLOP = "flop"


def convention_from_name(name: str) -> Convention:
    """The convention of that name; an unknown one raises UsageError with the nearest known."""
    return Convention(require_known("convention", name, [convention.value for convention in Convention]))


def cost_in(convention: Convention, layer: LayerCost) -> int:
    """A layer's cost as one number."""
    return layer.macs if convention is Convention.MAC else layer.flops
