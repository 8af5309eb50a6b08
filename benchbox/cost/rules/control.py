"""What do branches and loops cost? The more expensive branch; the body times its iterations, where shapes give them."""

from __future__ import annotations

from benchbox.cost.rule import DependsOnDataError, OpCost, cost_of, cost_rule
from benchbox.graph.node import Body, MisfitError, NodeView


@cost_rule("If")
def branches(node: NodeView) -> OpCost:
    """The branch with more FLOPs: which one runs depends on data.

    Raises DependsOnDataError where sizes inside a branch do too.
    """
    _require_settled(node)
    return max(map(_cost_of_body, node.bodies), key=lambda cost: 2 * cost.macs + cost.elementwise, default=OpCost())


@cost_rule("Loop")
def loop(node: NodeView) -> OpCost:
    """The body times the number of turns.

    Raises DependsOnDataError where that number does: it is no constant, or the body may end the loop.
    """
    _require_settled(node)
    turns = node.constants.get(0)
    if not turns or any(body.ends_early for body in node.bodies):
        raise DependsOnDataError(
            "the number of turns of a Loop depends on data",
            values=f"node {node.name}",
            remedy="--allow-unknown counts it as zero and lists it; or export it with a constant number of turns",
        )
    costs = [_cost_of_body(body) for body in node.bodies]
    return OpCost(
        macs=int(turns[0]) * sum(cost.macs for cost in costs),
        elementwise=int(turns[0]) * sum(cost.elementwise for cost in costs),
    )


@cost_rule("Scan")
def scan(node: NodeView) -> OpCost:
    """The body times the length of what is scanned.

    Raises MisfitError for a Scan of opset 8, which scans each sample of a batch for itself; DependsOnDataError where
    its turns differ.
    """
    _require_settled(node)
    scanned = node.integer("num_scan_inputs", 0)
    axes = node.integers("scan_input_axes") or (0,) * scanned
    if not 0 < scanned <= len(node.inputs) or len(axes) != scanned:
        raise MisfitError(f"{scanned} of {len(node.inputs)} inputs are said to be scanned")
    turns = node.input(len(node.inputs) - scanned).size(axes[0])
    costs = [_cost_of_body(body) for body in node.bodies]
    return OpCost(
        macs=turns * sum(cost.macs for cost in costs), elementwise=turns * sum(cost.elementwise for cost in costs)
    )


def _require_settled(node: NodeView) -> None:
    varying = next((body.varying for body in node.bodies if body.varying), "")
    if varying:
        raise DependsOnDataError(
            f"the work inside a {node.op} depends on data",
            values=f"node {node.name}: {varying}",
            remedy="--allow-unknown counts it as zero and lists it",
        )


def _cost_of_body(body: Body) -> OpCost:
    costs = [cost_of(node) for node in body.nodes]
    return OpCost(macs=sum(cost.macs for cost in costs), elementwise=sum(cost.elementwise for cost in costs))
