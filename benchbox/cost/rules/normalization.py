"""What do normalisations cost in inference?"""

from __future__ import annotations

from benchbox.cost.rule import OpCost, cost_rule
from benchbox.graph.node import NodeView


@cost_rule("BatchNormalization")
def batch_normalization(node: NodeView) -> OpCost:
    """With fixed statistics one scale and one shift per element: 2."""
    return OpCost(elementwise=2 * node.outputs[0].elements)


@cost_rule("LayerNormalization", "GroupNormalization", "InstanceNormalization", "MeanVarianceNormalization")
def statistics_of_the_input(node: NodeView) -> OpCost:
    """Mean (1), squared distance (3), division by the deviation (1), scale and shift (2): 7 per element."""
    return OpCost(elementwise=7 * node.outputs[0].elements)


@cost_rule("RMSNormalization", "LpNormalization")
def norm_of_the_input(node: NodeView) -> OpCost:
    """Square and sum (2), division (1), scale (1): 4 per element."""
    return OpCost(elementwise=4 * node.outputs[0].elements)


@cost_rule("Softmax", "LogSoftmax", "Hardmax")
def softmax(node: NodeView) -> OpCost:
    """Maximum, difference, exponential, sum, division: 5 per element."""
    return OpCost(elementwise=5 * node.outputs[0].elements)


@cost_rule("LRN")
def local_response_normalization(node: NodeView) -> OpCost:
    """A window of squares and sums, then product, sum, power and division: 2·size + 4 per element."""
    return OpCost(elementwise=(2 * node.integer("size", 1) + 4) * node.outputs[0].elements)


@cost_rule("QuantizeLinear", "DequantizeLinear")
def quantisation(node: NodeView) -> OpCost:
    """Division or product, shift by the zero point: 2 per element."""
    return OpCost(elementwise=2 * node.outputs[0].elements)


@cost_rule("DynamicQuantizeLinear")
def dynamic_quantisation(node: NodeView) -> OpCost:
    """Minimum and maximum of all elements, then as QuantizeLinear: 4 per element."""
    return OpCost(elementwise=4 * node.outputs[0].elements)


@cost_rule("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss")
def loss(node: NodeView) -> OpCost:
    """Log-softmax, 5 per score, where it is part of the operator; a product and a sum per target."""
    scores = node.input(0).elements if node.op == "SoftmaxCrossEntropyLoss" else 0
    return OpCost(elementwise=5 * scores + 2 * node.input(1).elements)
