"""Each operator's cost against a formula by hand, and against PyTorch's own counter."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from graphs import cost_from_onnx
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchbox.cost.rule import RULES, OpCost, cost_of
from benchbox.errors import ArtifactError
from benchbox.graph.node import NodeView, Tensor
from benchbox.schema.cost import NetworkCost


def node(op: str, inputs: list[tuple[int, ...]], output: tuple[int, ...], **attributes: object) -> NodeView:
    return NodeView(
        index=0,
        name="n",
        op=op,
        inputs=tuple(Tensor(name=f"i{place}", shape=shape, item_bytes=4) for place, shape in enumerate(inputs)),
        outputs=(Tensor(name="o", shape=output, item_bytes=4),),
        attributes=attributes,
    )


@pytest.mark.parametrize(
    ("view", "cost"),
    [
        (node("Conv", [(1, 3, 8, 8), (16, 3, 3, 3), (16,)], (1, 16, 8, 8)), OpCost(macs=16 * 64 * 27)),
        (node("Conv", [(2, 8, 8, 8), (8, 1, 3, 3)], (2, 8, 8, 8), group=8), OpCost(macs=2 * 8 * 64 * 9)),
        (node("Conv", [(1, 4, 10), (6, 4, 3)], (1, 6, 8)), OpCost(macs=6 * 8 * 12)),
        (node("Conv", [(1, 1, 4, 4, 4), (2, 1, 2, 2, 2)], (1, 2, 3, 3, 3)), OpCost(macs=2 * 27 * 8)),
        (node("ConvTranspose", [(1, 4, 5, 5), (4, 6, 2, 2)], (1, 6, 10, 10)), OpCost(macs=4 * 25 * 24)),
        (node("QLinearConv", [(1, 3, 8, 8), (), (), (16, 3, 3, 3)], (1, 16, 8, 8)), OpCost(macs=16 * 64 * 27)),
        (node("Gemm", [(5, 7), (7, 3), (3,)], (5, 3)), OpCost(macs=5 * 7 * 3)),
        (node("Gemm", [(7, 5), (7, 3)], (5, 3), transA=1), OpCost(macs=5 * 7 * 3)),
        (node("MatMul", [(2, 4, 5, 7), (7, 3)], (2, 4, 5, 3)), OpCost(macs=2 * 4 * 5 * 7 * 3)),
        (node("MatMul", [(7,), (7,)], ()), OpCost(macs=7)),
        (node("MaxPool", [(1, 8, 4, 4)], (1, 8, 2, 2), kernel_shape=(2, 2)), OpCost(elementwise=32 * 4)),
        (node("AveragePool", [(1, 8, 4, 4)], (1, 8, 2, 2), kernel_shape=(3, 3)), OpCost(elementwise=32 * 9)),
        (node("GlobalAveragePool", [(1, 8, 4, 4)], (1, 8, 1, 1)), OpCost(elementwise=128)),
        (node("ReduceMean", [(1, 8, 4, 4)], (1, 8, 1, 1)), OpCost(elementwise=128)),
        (node("Relu", [(3, 5)], (3, 5)), OpCost(elementwise=15)),
        (node("Clip", [(3, 5)], (3, 5)), OpCost(elementwise=30)),
        (node("Add", [(3, 5), (5,)], (3, 5)), OpCost(elementwise=15)),
        (node("Sum", [(3, 5), (3, 5), (3, 5)], (3, 5)), OpCost(elementwise=30)),
        (node("Mean", [(3, 5), (3, 5), (3, 5)], (3, 5)), OpCost(elementwise=45)),
        (node("BatchNormalization", [(2, 3)], (2, 3)), OpCost(elementwise=12)),
        (node("Softmax", [(2, 3)], (2, 3)), OpCost(elementwise=30)),
        (node("LRN", [(2, 3)], (2, 3), size=5), OpCost(elementwise=6 * 14)),
        (node("Reshape", [(2, 3), (1,)], (6,)), OpCost()),
        (node("Cast", [(2, 3)], (2, 3)), OpCost()),
    ],
    ids=lambda value: value.op if isinstance(value, NodeView) else "",
)
def test_by_hand(view: NodeView, cost: OpCost) -> None:
    assert cost_of(view) == cost


def test_an_operator_without_a_rule_is_an_error_that_names_it() -> None:
    with pytest.raises(ArtifactError, match=r"operator Frobnicate") as caught:
        cost_of(node("Frobnicate", [(1,)], (1,)))
    assert "node n" in str(caught.value)


SHAPES = st.lists(st.integers(0, 9), max_size=5).map(tuple)
VALUES = st.one_of(st.integers(-2, 9), st.binary(max_size=3), st.floats(), st.lists(st.integers(-2, 9)).map(tuple))


@settings(max_examples=5, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("operator", sorted(RULES.names()))
def test_whatever_ranks_and_attributes_a_file_has_it_is_counted_or_refused(operator: str, data: st.DataObject) -> None:
    view = replace(
        node(operator, data.draw(st.lists(SHAPES, max_size=8)), data.draw(SHAPES)),
        attributes=data.draw(st.dictionaries(st.sampled_from(ATTRIBUTES), VALUES)),
        constants={2: data.draw(st.lists(st.integers(-9, 9), max_size=2).map(tuple))},
    )
    with contextlib.suppress(ArtifactError):
        assert cost_of(view).macs >= 0


ATTRIBUTES = (
    *("axis", "equation", "group", "kernel_shape", "kv_num_heads", "mode", "onesided", "q_num_heads", "sampling_ratio"),
    *("size", "transA", "transB"),
)


def test_a_bug_of_a_rule_is_no_damage_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(view: NodeView) -> OpCost:
        return OpCost(macs=len(view.index))  # type: ignore[arg-type]

    monkeypatch.setattr(RULES, "get", lambda name: wrong)
    with pytest.raises(TypeError):
        cost_of(node("Relu", [(1,)], (1,)))


def test_every_rule_is_for_an_operator_of_the_standard() -> None:
    standard = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
    own = {name for name in RULES.names() if "::" not in name}
    assert own - standard == {"SimplifiedLayerNormalization"}  # ONNX Runtime's optimiser writes it as if it were one
    assert {name.partition("::")[0] for name in set(RULES.names()) - own} == {"com.microsoft"}


def counted(module: nn.Module, shape: tuple[int, ...], folder: Path) -> NetworkCost:
    path = folder / "module.onnx"
    program = torch.onnx.export(
        module.eval(), (torch.zeros(2, *shape),), dynamo=True, dynamic_shapes=({0: "batch"},), verbose=False
    )
    program.save(str(path))
    return cost_from_onnx(path, batch=2)


def pytorchs(module: nn.Module, shape: tuple[int, ...]) -> int:
    """FLOPs of convolutions and matrix products as torch.utils.flop_counter sees them (2 per multiply-add)."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module.eval()(torch.zeros(2, *shape))
    return counter.get_total_flops()


@settings(max_examples=settings().max_examples // 25, deadline=None)  # each is an export: 2 on a push
@given(data=st.data())
def test_convolutions_are_pytorchs(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    dims = data.draw(st.integers(1, 2), label="dims")
    groups = data.draw(st.sampled_from([1, 2]), label="groups")
    channels, filters = (groups * data.draw(st.integers(1, 4)) for _ in range(2))
    kernel, stride, dilation = (data.draw(st.integers(1, limit)) for limit in (4, 2, 2))
    size = data.draw(st.integers(9, 12), label="size")
    assume(size > dilation * (kernel - 1))
    kind = {1: nn.Conv1d, 2: nn.Conv2d}[dims]
    module = kind(channels, filters, kernel, stride=stride, dilation=dilation, groups=groups, padding=1)
    shape = (channels, *[size] * dims)
    cost = counted(module, shape, tmp_path_factory.mktemp("conv"))
    assert 2 * cost.macs == pytorchs(module, shape)
    assert cost.params == sum(parameter.numel() for parameter in module.parameters())


def test_a_small_network_is_pytorchs(tmp_path: Path) -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 4, 2, stride=2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10), nn.Sigmoid(), nn.LayerNorm(10), nn.Softmax(-1),
    )  # fmt: skip
    cost = counted(module, (3, 15, 15), tmp_path)
    assert 2 * cost.macs == pytorchs(module, (3, 15, 15))
    assert cost.flops > 2 * cost.macs


def test_view_sizes() -> None:
    tensor = Tensor(name="t", shape=(3, 5), item_bytes=0.5)
    assert (tensor.elements, tensor.size_bytes) == (15, 8)
    scalar = Tensor(name="s", shape=(), item_bytes=4)
    assert (scalar.elements, scalar.size_bytes) == (1, 4)


def test_an_unknown_operator_can_be_counted_as_zero(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Magic", ["x"], ["y"], name="magic", domain="com.example"),
            helper.make_node("Relu", ["y"], ["z"], name="relu"),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 3])],
        value_info=[helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
    )
    path = tmp_path / "magic.onnx"
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("com.example", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports), str(path))
    with pytest.raises(ArtifactError, match="Magic"):
        cost_from_onnx(path)
    cost = cost_from_onnx(path, batch=2, allow_unknown=True)
    assert (cost.flops, cost.uncounted) == (6, ("magic (com.example::Magic)",))
