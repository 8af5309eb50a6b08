"""What do Fourier transforms, windows and determinants cost?"""

from __future__ import annotations

import math

from benchbox.cost.rule import OpCost, cost_rule
from benchbox.graph.node import NodeView


def fourier(length: int) -> int:
    """5·N·log2(N), the customary count of a fast Fourier transform (Frigo and Johnson 2005, section IV)."""
    return math.ceil(5 * length * math.log2(length)) if length > 1 else 0


@cost_rule("DFT")
def transform(node: NodeView) -> OpCost:
    """One transform per line along the axis; the last axis of the output holds real and imaginary part."""
    out = node.outputs[0]
    given = node.constants.get(2)
    axis = int(given[0]) if given else node.integer("axis", -2)
    length = max(out.size(axis), node.input(0).size(axis))
    return OpCost(elementwise=out.elements // 2 // max(out.size(axis), 1) * fourier(length))


@cost_rule("STFT")
def short_transform(node: NodeView) -> OpCost:
    """A window product and a transform per frame; the output is (batch, frames, bins, 2)."""
    batch, frames, bins = (node.outputs[0].size(axis) for axis in range(3))
    length = bins if not node.integer("onesided", 1) else 2 * (bins - 1)
    return OpCost(elementwise=batch * frames * (length + fourier(length)))


@cost_rule("HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix")
def window_function(node: NodeView) -> OpCost:
    """A cosine and its scaling per element: 4; Blackman's has two of them: 7; mel weights are two slopes: 6."""
    each = {"BlackmanWindow": 7, "MelWeightMatrix": 6}.get(node.op, 4)
    return OpCost(elementwise=each * node.outputs[0].elements)


@cost_rule("Det")
def determinant(node: NodeView) -> OpCost:
    """By elimination, 2/3·n³ operations per matrix (Golub and Van Loan, Matrix Computations, section 3.2)."""
    size = node.input(0).size(-1)
    return OpCost(elementwise=node.input(0).elements // max(size * size, 1) * math.ceil(2 * size**3 / 3))
