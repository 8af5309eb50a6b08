"""What do the com.microsoft operators cost that ONNX Runtime's quantiser, optimiser and converters write?

They are ONNX's own operators in eight bits or fused, and cost what those cost
(https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md). Scaling at the borders of an eight-bit
operator is part of it, as in QLinearConv.
"""

from __future__ import annotations

import math

from benchbox.cost.rule import OpCost, cost_rule, declare_free
from benchbox.cost.rules.elementwise import PER_ELEMENT
from benchbox.cost.rules.matrix import convolution, general_matrix_product, quantised_convolution
from benchbox.cost.rules.normalization import norm_of_the_input, quantisation, softmax, statistics_of_the_input
from benchbox.cost.rules.pooling import window
from benchbox.cost.rules.sampling import grid_sample
from benchbox.cost.rules.sequence import UNIT_WORK, rotary_embedding
from benchbox.graph.node import NodeView

DOMAIN = "com.microsoft"
_FAST_GELU = 8  # x/2 · (1 + tanh(x · (a·x² + b)))
# Operations per output element.
_EACH = {
    "QLinearAdd": PER_ELEMENT["Add"],
    "QLinearMul": PER_ELEMENT["Mul"],
    "QLinearLeakyRelu": PER_ELEMENT["LeakyRelu"],
    "QLinearSigmoid": PER_ELEMENT["Sigmoid"],
    "QLinearWhere": PER_ELEMENT["Where"],
    "Gelu": PER_ELEMENT["Gelu"],
    "BiasGelu": PER_ELEMENT["Add"] + PER_ELEMENT["Gelu"],
    "BiasSplitGelu": 2 * PER_ELEMENT["Add"] + PER_ELEMENT["Gelu"] + PER_ELEMENT["Mul"],  # of two halves
    "BiasAdd": 2 * PER_ELEMENT["Add"],  # a bias and a skip
    "QuickGelu": PER_ELEMENT["Mul"] + PER_ELEMENT["Swish"],
}
_SWISH = PER_ELEMENT["Swish"]


@cost_rule(*(f"{DOMAIN}::{operator}" for operator in _EACH))
def per_element(node: NodeView) -> OpCost:
    """Operations per element times elements of the output."""
    return OpCost(elementwise=_EACH[node.op.partition("::")[2]] * node.outputs[0].elements)


@cost_rule(f"{DOMAIN}::FastGelu")
def fast_gelu(node: NodeView) -> OpCost:
    """GELU by tanh, after the addition of a bias where there is one."""
    return OpCost(elementwise=(_FAST_GELU + _given(node, 1)) * node.outputs[0].elements)


@cost_rule(f"{DOMAIN}::BiasSoftmax")
def bias_softmax(node: NodeView) -> OpCost:
    """Softmax of a sum."""
    return OpCost(elementwise=softmax(node).elementwise + node.outputs[0].elements)


@cost_rule(f"{DOMAIN}::QLinearGlobalAveragePool", f"{DOMAIN}::QLinearReduceMean")
def pool(node: NodeView) -> OpCost:
    """Every input element is added once."""
    return OpCost(elementwise=node.input(0).elements)


@cost_rule(f"{DOMAIN}::QGemm")
def quantised_gemm(node: NodeView) -> OpCost:
    """M·N·K as Gemm; B is the fourth input."""
    shared = node.input(0).size(0 if node.integer("transA", 0) else 1)
    return OpCost(macs=node.outputs[0].elements * shared)


@cost_rule(
    f"{DOMAIN}::FusedMatMul",
    f"{DOMAIN}::TransposeMatMul",
    f"{DOMAIN}::MatMulIntegerToFloat",
    f"{DOMAIN}::DynamicQuantizeMatMul",
    f"{DOMAIN}::MatMulNBits",
    f"{DOMAIN}::MatMulBnb4",
)
def matrix_product(node: NodeView) -> OpCost:
    """As MatMul, on weights of any number of bits; the fused ones may transpose A's last two axes, or its first."""
    return OpCost(macs=_products(node))


@cost_rule(f"{DOMAIN}::FusedMatMulActivation")
def activated_product(node: NodeView) -> OpCost:
    """As FusedMatMul; its activation is one operation per element."""
    return OpCost(macs=_products(node), elementwise=node.outputs[0].elements)


@cost_rule(f"{DOMAIN}::GemmFastGelu")
def gelu_product(node: NodeView) -> OpCost:
    """A matrix product, then as FastGelu; the bias is part of the product."""
    return OpCost(macs=_products(node), elementwise=_FAST_GELU * node.outputs[0].elements)


def _products(node: NodeView) -> int:
    factor = node.input(0)
    shared = factor.size(-1)
    if node.integer("transA", 0):
        shared = factor.size(0 if node.integer("transBatchA", 0) and len(factor.shape) > 2 else -2)
    return node.outputs[0].elements * shared


@cost_rule(f"{DOMAIN}::FusedConv")
def fused_convolution(node: NodeView) -> OpCost:
    """As Conv; its activation is one operation per element, and so is the sum with a fourth input."""
    return OpCost(macs=convolution(node).macs, elementwise=(1 + _given(node, 3)) * node.outputs[0].elements)


@cost_rule(f"{DOMAIN}::QLinearConv")
def quantised_convolution_of_either_layout(node: NodeView) -> OpCost:
    """As QLinearConv; with the channels last each output element still sums C_in/groups · kernel products."""
    if not node.integer("channels_last", 0):
        return quantised_convolution(node)
    return OpCost(macs=node.outputs[0].elements * math.prod(node.input(3).shape[1:]))


@cost_rule(f"{DOMAIN}::FusedGemm")
def fused_gemm(node: NodeView) -> OpCost:
    """As Gemm; its activation is one operation per element."""
    return OpCost(macs=general_matrix_product(node).macs, elementwise=node.outputs[0].elements)


@cost_rule(f"{DOMAIN}::SkipLayerNormalization")
def skip_normalisation(node: NodeView) -> OpCost:
    """LayerNormalization of a sum, of three tensors where there is a bias."""
    elements = node.outputs[0].elements
    return OpCost(elementwise=statistics_of_the_input(node).elementwise + (1 + _given(node, 4)) * elements)


@cost_rule(f"{DOMAIN}::SkipSimplifiedLayerNormalization")
def skip_norm(node: NodeView) -> OpCost:
    """RMSNormalization of a sum, of three tensors where there is a bias."""
    elements = node.outputs[0].elements
    return OpCost(elementwise=norm_of_the_input(node).elementwise + (1 + _given(node, 3)) * elements)


@cost_rule(f"{DOMAIN}::EmbedLayerNormalization", f"{DOMAIN}::QEmbedLayerNormalization")
def embedding(node: NodeView) -> OpCost:
    """LayerNormalization of the sum of a word's row, a position's, and a segment's where there are segments."""
    elements = node.outputs[0].elements
    return OpCost(elementwise=statistics_of_the_input(node).elementwise + (1 + _given(node, 1)) * elements)


@cost_rule(f"{DOMAIN}::GroupNorm", f"{DOMAIN}::SkipGroupNorm")
def group_norm(node: NodeView) -> OpCost:
    """As GroupNormalization, a Swish behind it where that is said; of a sum of input, skip and perhaps a bias."""
    each = 7 + (_SWISH if node.integer("activation", 0) else 0)
    each += 1 + _given(node, 4) if "Skip" in node.op else 0
    return OpCost(elementwise=each * node.outputs[0].elements)


@cost_rule(f"{DOMAIN}::GatherBlockQuantized")
def gathered_blocks(node: NodeView) -> OpCost:
    """What is looked up is dequantised: 2 per element."""
    return OpCost(elementwise=2 * node.outputs[0].elements)


@cost_rule(f"{DOMAIN}::DynamicQuantizeLSTM")
def quantised_lstm(node: NodeView) -> OpCost:
    """As LSTM: W is (directions, width, 4·hidden), R (directions, hidden, 4·hidden)."""
    data, weight, state = node.input(0), node.input(1), node.input(2)
    steps, units = data.size(0) * data.size(1), state.size(0) * state.size(1)
    return OpCost(macs=steps * (weight.elements + state.elements), elementwise=steps * units * UNIT_WORK["LSTM"])


def _given(node: NodeView, place: int) -> int:
    """1 for an optional input that is there, else 0."""
    return int(place < len(node.inputs) and node.inputs[place] is not None)


cost_rule(f"{DOMAIN}::QLinearSoftmax")(softmax)
cost_rule(f"{DOMAIN}::QuantizeLinear", f"{DOMAIN}::DequantizeLinear")(quantisation)
cost_rule(f"{DOMAIN}::QLinearAveragePool", f"{DOMAIN}::NhwcMaxPool")(window)
cost_rule(f"{DOMAIN}::GridSample")(grid_sample)
cost_rule(f"{DOMAIN}::RotaryEmbedding")(rotary_embedding)
cost_rule(f"{DOMAIN}::LayerNormalization")(statistics_of_the_input)
# The optimiser calls RMSNormalization so, and writes it as if it were one of ONNX's own.
cost_rule("SimplifiedLayerNormalization", f"{DOMAIN}::SimplifiedLayerNormalization")(norm_of_the_input)
declare_free(*(f"{DOMAIN}::{operator}" for operator in ("QLinearConcat", "RelativePositionBias", "Trilu")))
