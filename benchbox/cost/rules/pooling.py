"""What do pooling and reductions cost? One operation per element that goes into a result."""

from __future__ import annotations

import math

from benchbox.cost.rule import OpCost, cost_rule
from benchbox.graph.node import NodeView


@cost_rule("MaxPool", "AveragePool", "LpPool")
def window(node: NodeView) -> OpCost:
    """Every output element looks at a whole window (comparison or addition), padding included."""
    return OpCost(elementwise=node.outputs[0].elements * math.prod(node.integers("kernel_shape")))


@cost_rule(
    "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin",
    "ReduceProd", "ArgMax", "ArgMin", "CumSum", "CumProd", "TopK", "Col2Im",
)  # fmt: skip
def reduction(node: NodeView) -> OpCost:
    """Every input element is added or compared once (TopK: a first pass; sorting the rest depends on the data)."""
    return OpCost(elementwise=node.input(0).elements)


@cost_rule("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")
def reduction_of_a_function(node: NodeView) -> OpCost:
    """Every input element is transformed once and added once."""
    return OpCost(elementwise=2 * node.input(0).elements)
