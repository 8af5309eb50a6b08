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
    """One transform per line along the axis; the last axis of the output holds real and imaginary part.

    Its length is given, else that of the signal, of which an inverse transform may read one side. Before opset 20 the
    axis is an attribute, 1 by default; since then an input, -2 by default (``graph.py`` notes the attribute).
    """
    out, signal = node.outputs[0], node.input(0)
    given = node.constants.get(2)
    axis = int(given[0]) if given else node.integer("axis", -2)
    asked = node.constants.get(1)
    length = int(asked[0]) if asked else max(out.size(axis), signal.size(axis))
    lines = math.prod(out.shape[:-1]) // max(out.size(axis), 1)
    return OpCost(elementwise=lines * fourier(length))


@cost_rule("STFT")
def short_transform(node: NodeView) -> OpCost:
    """A window product and a transform per frame; the output is (batch, frames, bins, 2).

    A frame is as long as the window, or as is said; its bins alone do not tell an even length from an odd one.
    """
    batch, frames, bins = (node.outputs[0].size(axis) for axis in range(3))
    window = node.inputs[2] if len(node.inputs) > 2 else None
    said = node.constants.get(3)
    if said:
        length = int(said[0])
    elif window is not None:
        length = window.size(0)
    else:
        length = 2 * (bins - 1) if node.integer("onesided", 1) else bins
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
