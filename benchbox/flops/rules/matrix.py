"""What do convolutions and matrix products cost?

One multiply-add per product. A bias costs nothing extra: a sum of K products takes K multiplications and K-1 additions,
the bias is the K-th, so 2·MAC counts it already.
"""

from __future__ import annotations

import math

from benchbox.flops.rule import NodeView, OpCost, cost_rule


@cost_rule("Conv", "ConvInteger")
def convolution(node: NodeView) -> OpCost:
    """Each output element sums C_in/groups · kernel products; the weight is (C_out, C_in/groups, *kernel)."""
    return OpCost(macs=node.outputs[0].elements * math.prod(node.input(1).shape[1:]))


@cost_rule("QLinearConv")
def quantised_convolution(node: NodeView) -> OpCost:
    """As Conv; the weight is the fourth input."""
    return OpCost(macs=node.outputs[0].elements * math.prod(node.input(3).shape[1:]))


@cost_rule("ConvTranspose")
def transposed_convolution(node: NodeView) -> OpCost:
    """Each input element is spread over C_out/groups · kernel products; the weight is (C_in, C_out/groups, *kernel)."""
    return OpCost(macs=node.input(0).elements * math.prod(node.input(1).shape[1:]))


@cost_rule("Gemm")
def general_matrix_product(node: NodeView) -> OpCost:
    """M·N·K, K being the second axis of A, or the first where A is transposed."""
    shared = node.input(0).shape[0 if node.integer("transA", 0) else 1]
    return OpCost(macs=node.outputs[0].elements * shared)


@cost_rule("MatMul", "MatMulInteger")
def matrix_product(node: NodeView) -> OpCost:
    """Each output element sums over the last axis of A, batched and broadcast as numpy's matmul."""
    return OpCost(macs=node.outputs[0].elements * node.input(0).shape[-1])


@cost_rule("QLinearMatMul")
def quantised_matrix_product(node: NodeView) -> OpCost:
    """As MatMul."""
    return matrix_product(node)
