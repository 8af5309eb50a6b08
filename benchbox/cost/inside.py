"""Which nodes inside of a branch or a loop multiply and add? They say what it computes in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from benchbox.cost.rule import RULES, cost_of
from benchbox.errors import ArtifactError
from benchbox.graph.node import NodeView


def products_inside(node: NodeView) -> Iterator[NodeView]:
    """The nodes with multiply-adds inside of a node's bodies, at any depth; none for a node without bodies."""
    for view in (view for body in node.bodies for view in body.nodes):
        if view.bodies:
            yield from products_inside(view)
        elif view.op in RULES:
            with contextlib.suppress(ArtifactError):  # its cost depends on data, and so does that of the whole node
                if cost_of(view).macs:
                    yield view
