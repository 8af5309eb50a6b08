"""What do the com.microsoft operators cost that ONNX Runtime's quantiser and optimiser write?

They are ONNX's own operators in eight bits or fused, and cost what those cost
(https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md). Scaling at the borders of an eight-bit
operator is part of it, as in QLinearConv.
"""

from __future__ import annotations

from benchbox.cost.rule import OpCost, cost_rule, declare_free
from benchbox.cost.rules.elementwise import PER_ELEMENT
from benchbox.cost.rules.matrix import convolution, general_matrix_product
from benchbox.cost.rules.normalization import quantisation, softmax, statistics_of_the_input
from benchbox.graph.node import NodeView

DOMAIN = "com.microsoft"
# Operations per output element.
_EACH = {
    "QLinearAdd": PER_ELEMENT["Add"],
    "QLinearMul": PER_ELEMENT["Mul"],
    "QLinearLeakyRelu": PER_ELEMENT["LeakyRelu"],
    "QLinearSigmoid": PER_ELEMENT["Sigmoid"],
    "Gelu": PER_ELEMENT["Gelu"],
    "BiasGelu": PER_ELEMENT["Add"] + PER_ELEMENT["Gelu"],
    "FastGelu": 8,  # x/2 · (1 + tanh(x · (a·x² + b)))
    "QuickGelu": PER_ELEMENT["Mul"] + PER_ELEMENT["Swish"],
}
# Operations per output element besides those of the normalisation: the sum of input and skip, and a bias.
_SKIP = PER_ELEMENT["Add"]


@cost_rule(*(f"{DOMAIN}::{operator}" for operator in _EACH))
def per_element(node: NodeView) -> OpCost:
    """Operations per element times elements of the output."""
    return OpCost(elementwise=_EACH[node.op.partition("::")[2]] * node.outputs[0].elements)


@cost_rule(f"{DOMAIN}::QLinearGlobalAveragePool", f"{DOMAIN}::QLinearAveragePool")
def pool(node: NodeView) -> OpCost:
    """Every input element is added once."""
    return OpCost(elementwise=node.input(0).elements)


@cost_rule(f"{DOMAIN}::QGemm")
def quantised_gemm(node: NodeView) -> OpCost:
    """M·N·K as Gemm; B is the fourth input."""
    shared = node.input(0).size(0 if node.integer("transA", 0) else 1)
    return OpCost(macs=node.outputs[0].elements * shared)


@cost_rule(f"{DOMAIN}::FusedMatMul", f"{DOMAIN}::MatMulIntegerToFloat", f"{DOMAIN}::DynamicQuantizeMatMul")
def matrix_product(node: NodeView) -> OpCost:
    """As MatMul; FusedMatMul may transpose A's last two axes."""
    return OpCost(macs=node.outputs[0].elements * node.input(0).size(-2 if node.integer("transA", 0) else -1))


@cost_rule(f"{DOMAIN}::FusedConv")
def fused_convolution(node: NodeView) -> OpCost:
    """As Conv; its activation is one operation per element."""
    return OpCost(macs=convolution(node).macs, elementwise=node.outputs[0].elements)


@cost_rule(f"{DOMAIN}::FusedGemm")
def fused_gemm(node: NodeView) -> OpCost:
    """As Gemm; its activation is one operation per element."""
    return OpCost(macs=general_matrix_product(node).macs, elementwise=node.outputs[0].elements)


@cost_rule(f"{DOMAIN}::SkipLayerNormalization", f"{DOMAIN}::SkipSimplifiedLayerNormalization")
def skip_normalisation(node: NodeView) -> OpCost:
    """LayerNormalization of a sum."""
    return OpCost(elementwise=statistics_of_the_input(node).elementwise + _SKIP * node.outputs[0].elements)


cost_rule(f"{DOMAIN}::QLinearSoftmax")(softmax)
cost_rule(f"{DOMAIN}::QuantizeLinear", f"{DOMAIN}::DequantizeLinear")(quantisation)
declare_free(f"{DOMAIN}::QLinearConcat")
