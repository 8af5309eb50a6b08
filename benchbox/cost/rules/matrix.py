"""What do convolutions and matrix products cost?

One multiply-add per product. A bias costs nothing extra: a sum of K products takes K multiplications and K-1 additions,
the bias is the K-th, so 2·MAC counts it already.
"""

from __future__ import annotations

import math

from benchbox.cost.rule import OpCost, cost_rule
from benchbox.errors import ArtifactError
from benchbox.graph.node import NodeView, Tensor


@cost_rule("Conv", "ConvInteger")
def convolution(node: NodeView) -> OpCost:
    """Each output element sums C_in/groups · kernel products; the weight is (C_out, C_in/groups, *kernel)."""
    return _convolved(node, node.input(1))


@cost_rule("QLinearConv")
def quantised_convolution(node: NodeView) -> OpCost:
    """As Conv; the weight is the fourth input."""
    return _convolved(node, node.input(3))


@cost_rule("CausalConvWithState")
def causal_convolution(node: NodeView) -> OpCost:
    """One kernel a channel, (C, 1, k); its activation, where it has one, is a Swish: 5 per element."""
    out = node.outputs[0]
    activation = node.attributes.get("activation", b"")
    swish = 5 if activation in (b"silu", b"swish") else 0
    return OpCost(macs=out.elements * node.input(1).size(-1), elementwise=swish * out.elements)


@cost_rule("DeformConv")
def deformable_convolution(node: NodeView) -> OpCost:
    """As Conv; every sample is interpolated between 4 pixels (9 operations) and scaled by its mask, if there is one.

    Samples: C_in values at each of the kernel's places of each output position (Zhu et al. 2019, arXiv 1811.11168).
    """
    weight, out = node.input(1), node.outputs[0]
    samples = out.size(0) * node.input(0).size(1) * math.prod(out.shape[2:]) * math.prod(weight.shape[2:])
    masked = len(node.inputs) > 4 and node.inputs[4] is not None
    return OpCost(macs=_convolved(node, weight).macs, elementwise=(10 if masked else 9) * samples)


@cost_rule("ConvTranspose")
def transposed_convolution(node: NodeView) -> OpCost:
    """Each input element is spread over C_out/groups · kernel products; the weight is (C_in, C_out/groups, *kernel)."""
    data, weight = node.input(0), node.input(1)
    if data.size(1) != weight.size(0):
        raise _mismatch(node, data, weight)
    return OpCost(macs=data.elements * math.prod(weight.shape[1:]))


@cost_rule("Gemm")
def general_matrix_product(node: NodeView) -> OpCost:
    """M·N·K, K being the second axis of A, or the first where A is transposed."""
    a, b = node.input(0), node.input(1)
    shared = a.size(0 if node.integer("transA", 0) else 1)
    if shared != b.size(1 if node.integer("transB", 0) else 0):
        raise _mismatch(node, a, b)
    return OpCost(macs=node.outputs[0].elements * shared)


@cost_rule("AffineGrid")
def affine_grid(node: NodeView) -> OpCost:
    """Each coordinate of the grid is a row of the (N, d, d+1) matrix times a homogeneous position."""
    return OpCost(macs=node.outputs[0].elements * node.input(0).size(-1))


def _convolved(node: NodeView, weight: Tensor) -> OpCost:
    data = node.input(0)
    if data.size(1) != weight.size(1) * node.integer("group", 1):
        raise _mismatch(node, data, weight)
    return OpCost(macs=node.outputs[0].elements * math.prod(weight.shape[1:]))


def _mismatch(node: NodeView, data: Tensor, weight: Tensor) -> ArtifactError:
    """Sizes that ONNX's own shape inference does not compare."""
    return ArtifactError(
        f"the shapes of node {node.name} ({node.op}) do not fit together",
        values=f"{data.name} is {data.shape}, {weight.name} is {weight.shape}, groups {node.integer('group', 1)}",
        remedy="the file is damaged or was edited",
    )


@cost_rule("MatMul", "MatMulInteger")
def matrix_product(node: NodeView) -> OpCost:
    """Each output element sums over the last axis of A, batched and broadcast as numpy's matmul."""
    return OpCost(macs=node.outputs[0].elements * node.input(0).size(-1))


@cost_rule("QLinearMatMul")
def quantised_matrix_product(node: NodeView) -> OpCost:
    """As MatMul."""
    return matrix_product(node)
