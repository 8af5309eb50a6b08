"""What do resizing, sampling at computed places and regions of interest cost?

Linear interpolation between two values a + t·(b - a) is 3 operations; in d dimensions 2^d - 1 of them. A cubic one is a
weighted sum of 4^d values. Nearest neighbours are moved, not computed.
"""

from __future__ import annotations

import math

from benchbox.cost.rule import OpCost, cost_rule
from benchbox.graph.node import MisfitError, NodeView


def interpolation(mode: str, dimensions: int) -> int:
    """Operations per value interpolated in so many dimensions."""
    if "cubic" in mode:
        return 2 << (2 * dimensions)
    return 3 * ((1 << dimensions) - 1) if "linear" in mode else 0


@cost_rule("Resize", "Upsample")
def resize(node: NodeView) -> OpCost:
    """Every output element is interpolated over the axes whose size changes."""
    source, target = node.input(0), node.outputs[0]
    if len(source.shape) != len(target.shape):
        raise MisfitError(f"{source.name} is of shape {source.shape}, {target.name} of {target.shape}")
    changed = sum(old != new for old, new in zip(source.shape, target.shape, strict=True))
    return OpCost(elementwise=interpolation(_mode(node, "nearest"), changed) * target.elements)


@cost_rule("GridSample")
def grid_sample(node: NodeView) -> OpCost:
    """Every output element is interpolated at a place that the grid (N, *out, d) gives."""
    grid = node.input(1)
    if grid.size(-1) > len(grid.shape):
        raise MisfitError(f"{grid.name} is of shape {grid.shape}: places of {grid.size(-1)} coordinates")
    return OpCost(elementwise=interpolation(_mode(node, "bilinear"), grid.size(-1)) * node.outputs[0].elements)


@cost_rule("RoiAlign")
def region_align(node: NodeView) -> OpCost:
    """Every output element joins sampling_ratio² interpolated samples (He et al. 2017, arXiv 1703.06870).

    An adaptive ratio (0) depends on the data; it is counted as 1.
    """
    samples = max(node.integer("sampling_ratio", 0), 1) ** 2
    return OpCost(elementwise=samples * (interpolation("linear", 2) + 1) * node.outputs[0].elements)


@cost_rule("MaxRoiPool")
def region_pool(node: NodeView) -> OpCost:
    """Regions decide which elements are compared; at most every element of the map once per region and channel."""
    return OpCost(elementwise=node.outputs[0].size(0) * math.prod(node.input(0).shape[1:]))


@cost_rule("NonMaxSuppression")
def non_maximum_suppression(node: NodeView) -> OpCost:
    """One comparison of a score with the threshold per box and class; overlaps depend on the data."""
    return OpCost(elementwise=node.input(1).elements)


def _mode(node: NodeView, default: str) -> str:
    mode = node.attributes.get("mode", default)
    return mode.decode(errors="replace") if isinstance(mode, bytes) else str(mode)
