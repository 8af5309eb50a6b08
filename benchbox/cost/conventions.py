"""Which number is meant when a network's cost is given as one number?

``mac``: a multiply-add of a convolution or matrix product is 1, all else 0. ``flop``: 2·MAC plus elementwise work.
``lecture``: a multiply-add is 1, a pool C·H·W·K², all else 0 (``lecture/table.py``). Besides these, every counter in
``counters.py`` is a convention of its own.
"""

from __future__ import annotations

from benchbox.cost.counters import COUNTERS
from benchbox.cost.lecture.table import pool_flops
from benchbox.cost.rule import OpCost
from benchbox.graph.node import NodeView
from benchbox.registry import require_known

OWN = ("mac", "flop", "lecture")


def require_convention(name: str) -> str:
    """The convention's name if there is such a one, else a UsageError with the nearest."""
    return require_known("convention", name, (*OWN, *COUNTERS))


def count_in(convention: str, node: NodeView, cost: OpCost) -> int:
    """A node's cost as one number.

    Args:
        convention: one of ``OWN`` or the name of a counter.
        node: as the rules see it.
        cost: of the node.
    """
    if convention == "mac":
        return cost.macs
    if convention == "flop":
        return 2 * cost.macs + cost.elementwise
    if convention == "lecture":
        return cost.macs if cost.macs else pool_flops(node)
    return sum(term(node) for term in COUNTERS[convention].terms.values())
