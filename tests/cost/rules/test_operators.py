"""Every operator of the standard has a rule, and the rarer rules are right."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx.defs
import pytest
import torch
from graphs import cost_from_onnx, model_of, saved
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchbox.cost.rule import RULES, OpCost, cost_of
from benchbox.graph.node import NodeView, Tensor
from benchbox.graph.structure import UNCOUNTED


def view(op: str, inputs: list[tuple[int, ...] | None], *outputs: tuple[int, ...], **attributes: object) -> NodeView:
    return NodeView(
        index=0,
        name="n",
        op=op,
        inputs=tuple(s if s is None else Tensor(name=f"i{k}", shape=s, item_bytes=4) for k, s in enumerate(inputs)),
        outputs=tuple(Tensor(name=f"o{k}", shape=s, item_bytes=4) for k, s in enumerate(outputs)),
        attributes=attributes,
    )


def test_every_operator_up_to_opset_22_has_a_rule_or_is_refused_by_name() -> None:
    operators = {
        schema.name
        for schema in onnx.defs.get_all_schemas_with_history()
        if schema.domain == "" and schema.since_version <= 22
    }
    assert len(operators) > 190
    assert operators - set(RULES.names()) == UNCOUNTED


@pytest.mark.parametrize(
    ("node", "cost"),
    [
        (view("Resize", [(1, 3, 4, 4)], (1, 3, 8, 8), mode=b"nearest"), OpCost()),
        (view("Resize", [(1, 3, 4, 4)], (1, 3, 8, 8), mode=b"linear"), OpCost(elementwise=9 * 192)),
        (view("Resize", [(1, 3, 4)], (1, 3, 8), mode=b"linear"), OpCost(elementwise=3 * 24)),
        (view("Resize", [(1, 3, 4, 4)], (1, 3, 8, 8), mode=b"cubic"), OpCost(elementwise=32 * 192)),
        (view("GridSample", [(1, 3, 4, 4), (1, 5, 5, 2)], (1, 3, 5, 5)), OpCost(elementwise=9 * 75)),
        (view("RoiAlign", [(1, 3, 9, 9), (2, 4), (2,)], (2, 3, 7, 7), sampling_ratio=2), OpCost(elementwise=40 * 294)),
        (view("MaxRoiPool", [(1, 3, 9, 9), (2, 5)], (2, 3, 7, 7)), OpCost(elementwise=2 * 243)),
        (view("DeformConv", [(1, 4, 5, 5), (6, 4, 3, 3), (1, 18, 3, 3)], (1, 6, 3, 3)),
         OpCost(macs=54 * 36, elementwise=9 * 4 * 9 * 9)),
        (view("Det", [(2, 4, 4)], (2,)), OpCost(elementwise=2 * 43)),
        (view("DFT", [(1, 8, 1)], (1, 8, 2), axis=1), OpCost(elementwise=5 * 8 * 3)),
        (view("DFT", [(1, 6, 8, 1)], (1, 6, 8, 2)), OpCost(elementwise=6 * 5 * 8 * 3)),
        (replace(view("DFT", [(1, 9, 1), ()], (1, 5, 2)), constants={1: (8.0,)}), OpCost(elementwise=5 * 8 * 3)),
        (view("STFT", [(1, 32, 1), ()], (1, 4, 5, 2)), OpCost(elementwise=4 * (8 + 120))),
        (view("STFT", [(1, 32, 1), (), (9,)], (1, 4, 5, 2)), OpCost(elementwise=4 * (9 + 143))),
        (view("HannWindow", [()], (10,)), OpCost(elementwise=40)),
        (view("AffineGrid", [(1, 2, 3), (4,)], (1, 5, 5, 2)), OpCost(macs=50 * 3)),
        (view("TopK", [(2, 9), (1,)], (2, 3), (2, 3)), OpCost(elementwise=18)),
        (view("DynamicQuantizeLinear", [(2, 9)], (2, 9), (), ()), OpCost(elementwise=72)),
        (view("SoftmaxCrossEntropyLoss", [(4, 9), (4,)], ()), OpCost(elementwise=188)),
        (view("RNN", [(7, 2, 3), (1, 5, 3), (1, 5, 5)], (7, 1, 2, 5)), OpCost(macs=14 * 40, elementwise=14 * 5 * 2)),
        (view("Attention", [(1, 4, 10, 8), (1, 4, 12, 8), (1, 4, 12, 6)], (1, 4, 10, 6)),
         OpCost(macs=4 * 10 * 12 * 14, elementwise=6 * 480)),
        (view("Attention", [(1, 10, 32), (1, 12, 16), (1, 12, 16)], (1, 10, 32), q_num_heads=4, kv_num_heads=2),
         OpCost(macs=4 * 10 * 12 * 16, elementwise=6 * 480)),
        (view("RotaryEmbedding", [(1, 4, 10, 8)], (1, 4, 10, 8)), OpCost(elementwise=960)),
        (view("NonZero", [(3, 3)], (2, 4)), OpCost()),
    ],
    ids=lambda value: value.op if isinstance(value, NodeView) else "",
)  # fmt: skip
def test_by_hand(node: NodeView, cost: OpCost) -> None:
    assert cost_of(node) == cost


@pytest.mark.parametrize(
    ("equation", "shapes", "result", "cost"),
    [
        ("ij,jk->ik", [(3, 4), (4, 5)], (3, 5), OpCost(macs=60)),
        ("bhid,bhjd->bhij", [(2, 4, 5, 8), (2, 4, 6, 8)], (2, 4, 5, 6), OpCost(macs=2 * 4 * 5 * 6 * 8)),
        ("ij,jk", [(3, 4), (4, 5)], (3, 5), OpCost(macs=60)),
        ("...ij,...jk->...ik", [(2, 3, 4), (2, 4, 5)], (2, 3, 5), OpCost(macs=120)),
        ("...ij,jk", [(2, 3, 4), (4, 5)], (2, 3, 5), OpCost(macs=120)),
        ("i,j->ij", [(3,), (4,)], (3, 4), OpCost(elementwise=12)),
        ("ij->i", [(3, 4)], (3,), OpCost(elementwise=12)),
        ("ij->ji", [(3, 4)], (4, 3), OpCost()),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)], (2, 5), OpCost(macs=24 + 40)),
    ],
)
def test_einstein_sums(equation: str, shapes: list[tuple[int, ...]], result: tuple[int, ...], cost: OpCost) -> None:
    assert np.einsum(equation, *(np.zeros(shape) for shape in shapes)).shape == result
    assert cost_of(view("Einsum", list(shapes), result, equation=equation.encode())) == cost


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(2, 5), min_size=4, max_size=4))
def test_two_operand_sums_are_pytorchs(sizes: list[int]) -> None:
    batch, rows, shared, columns = sizes
    shapes = [(batch, rows, shared), (batch, shared, columns)]
    with FlopCounterMode(display=False) as counter:
        torch.einsum("bij,bjk->bik", *(torch.zeros(shape) for shape in shapes))
    cost = cost_of(view("Einsum", list(shapes), (batch, rows, columns), equation=b"bij,bjk->bik"))
    assert 2 * cost.macs == counter.get_total_flops()


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3)])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_layers_are_pytorchs_matrix_products(kind: str, gates: int, directions: int, tmp_path: Path) -> None:
    layer = getattr(nn, kind)(6, 5, bidirectional=directions == 2)
    weights = {
        "w": np.zeros((directions, gates * 5, 6), np.float32),
        "r": np.zeros((directions, gates * 5, 5), np.float32),
    }
    direction = "bidirectional" if directions == 2 else "forward"
    node = helper.make_node(kind, ["x", "w", "r"], ["y"], name="layer", hidden_size=5, direction=direction)
    path = saved(tmp_path / "net.onnx", model_of([node], inputs={"x": [7, 3, 6]}, weights=weights))
    products = sum(p.numel() for name, p in layer.named_parameters() if "weight" in name)
    assert cost_from_onnx(path).macs == 7 * 3 * products


def test_recurrent_shapes_that_do_not_fit_are_told(tmp_path: Path) -> None:
    weights = {"w": np.zeros((1, 20, 7), np.float32), "r": np.zeros((1, 20, 5), np.float32)}
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], name="layer", hidden_size=5)
    path = saved(tmp_path / "net.onnx", model_of([node], inputs={"x": [7, 3, 6]}, weights=weights))
    with pytest.raises(Exception, match=r"layer|fit together"):
        cost_from_onnx(path)


def test_attention_in_pytorch(tmp_path: Path) -> None:
    class Attention(nn.Module):
        def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            return nn.functional.scaled_dot_product_attention(query, key, value)

    query, key, value = tensors = tuple(torch.zeros(2, 4, length, 8) for length in (10, 12, 12))
    with FlopCounterMode(display=False) as counter:
        (query @ key.transpose(-2, -1)).softmax(-1) @ value
    path = tmp_path / "net.onnx"
    torch.onnx.export(Attention().eval(), tensors, str(path), dynamo=True, verbose=False)
    cost = cost_from_onnx(path)
    assert 2 * cost.macs == counter.get_total_flops() == 2 * math.prod((2, 4, 10, 12, 16))
