"""What do building blocks cost, as formulas in the channels C and the size H x W of a feature map?

A convolution with K x K kernels from a·C to b·C channels on an h·H x w·W map writes b·hw HWC elements, has K²·ab C²
weights and does K²·ab·hw HWC² multiply-adds. Every cost here is therefore one monomial, and blocks are sums of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Monomial:
    """coefficient · (HW)^area · C^channels."""

    coefficient: int
    area: int
    channels: int

    def __str__(self) -> str:
        power = f"C^{self.channels}" if self.channels > 1 else "C" * self.channels
        coefficient = "" if self.coefficient == 1 else str(self.coefficient)
        return f"{coefficient}{'HW' * self.area}{power}"

    def at(self, *, height: int, width: int, channels: int) -> int:
        """The number for a feature map of this size."""
        size: int = (height * width) ** self.area
        width_product: int = channels**self.channels
        return self.coefficient * size * width_product


@dataclass(frozen=True, kw_only=True)
class BlockConv:
    """A convolution without bias whose output has the size of its input.

    ``inputs`` and ``outputs`` are channels in units of C; ``scale`` is its map's side in units of H and W.
    """

    kernel: int
    inputs: int = 1
    outputs: int = 1
    scale: int = 1

    @property
    def memory(self) -> Monomial:
        """Elements it writes."""
        return Monomial(coefficient=self.outputs * self.scale**2, area=1, channels=1)

    @property
    def params(self) -> Monomial:
        """Weights."""
        return Monomial(coefficient=self.kernel**2 * self.inputs * self.outputs, area=0, channels=2)

    @property
    def flops(self) -> Monomial:
        """Multiply-adds, the lecture's flops."""
        return Monomial(coefficient=self.params.coefficient * self.scale**2, area=1, channels=2)


def summed(parts: Sequence[Monomial]) -> Monomial:
    """The sum of monomials of one kind; raises ValueError where kinds are mixed."""
    kinds = {(part.area, part.channels) for part in parts}
    if len(kinds) != 1:
        raise ValueError(f"cannot add {', '.join(map(str, parts))} to one monomial")
    return Monomial(coefficient=sum(part.coefficient for part in parts), area=parts[0].area, channels=parts[0].channels)


# The blocks of the lecture. C is the width of the inner 3x3 convolution, and of the whole in the basic block.
BLOCKS: dict[str, tuple[BlockConv, ...]] = {
    "one 5x5 convolution": (BlockConv(kernel=5),),
    "two 3x3 convolutions": (BlockConv(kernel=3), BlockConv(kernel=3)),
    "VGG stage on C x 2H x 2W": (BlockConv(kernel=3, scale=2),),
    "VGG stage on 2C x H x W": (BlockConv(kernel=3, inputs=2, outputs=2),),
    "basic residual block": (BlockConv(kernel=3), BlockConv(kernel=3)),
    "bottleneck residual block": (
        BlockConv(kernel=1, inputs=4),
        BlockConv(kernel=3),
        BlockConv(kernel=1, outputs=4),
    ),
}
