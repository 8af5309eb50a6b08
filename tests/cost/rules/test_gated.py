"""What do the fused operators of gated and of state space networks cost, by their formulas?"""

from __future__ import annotations

import pytest

from benchbox.cost.rule import OpCost, cost_of
from benchbox.graph.node import NodeView, Tensor


def _tensor(name: str, *shape: int) -> Tensor:
    return Tensor(name=name, shape=shape, item_bytes=4)


def _node(op: str, *inputs: Tensor, out: Tensor, **attributes: object) -> NodeView:
    return NodeView(index=0, name="n", op=op, inputs=inputs, outputs=(out,), attributes=attributes)


def test_swiglu_is_a_swish_and_a_product() -> None:
    gate = _tensor("a", 2, 5)
    swish = cost_of(_node("Swish", gate, out=gate)).elementwise
    product = cost_of(_node("Mul", gate, gate, out=gate)).elementwise
    assert cost_of(_node("SwiGLU", gate, gate, out=gate)) == OpCost(elementwise=swish + product)


@pytest.mark.parametrize(("activation", "each"), [(b"none", 0), (b"silu", 5), (b"swish", 5)])
def test_a_causal_convolution_has_one_kernel_a_channel(activation: bytes, each: int) -> None:
    data, weight = _tensor("x", 2, 6, 9), _tensor("w", 6, 1, 4)
    node = _node("CausalConvWithState", data, weight, out=data, activation=activation)
    assert cost_of(node) == OpCost(macs=2 * 6 * 9 * 4, elementwise=each * 2 * 6 * 9)
