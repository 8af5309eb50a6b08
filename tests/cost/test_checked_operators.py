"""Another counter's number is printed where it was compared with that counter, and only there: the packages are run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from other_counters import RUNNING, SHAPES_ONLY, quiet
from torch import nn
from torch.nn import functional

from benchbox.cost.counters import COUNTERS, count_of
from benchbox.errors import UsageError
from benchbox.export.module.canonical import canonicalise
from benchbox.export.module.tracing import proto_from_module
from benchbox.graph.graph import Graph, graph_from_file


class Recurrent(nn.Module):
    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.layer, self.out = layer, nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.layer(x)[0])  # type: ignore[no-any-return]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.norm = nn.Linear(16, 48), nn.Linear(16, 16), nn.LayerNorm(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Functions(nn.Module):
    """Layers with functions between them: one node may be counted, or not, by how it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(10, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(torch.relu(self.first(x)))  # type: ignore[no-any-return]


class Written(nn.Module):
    """Products and a norm that a network's own code calls; counters that hook layers see none of them."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.first, self.kind = nn.Conv2d(3, 8, 3), kind
        self.weight = nn.Parameter(torch.randn({"conv": (4, 8, 3, 3), "linear": (5, 8)}.get(kind, (8,))))
        for name, value in (("mean", 0.1), ("var", 2.0)):
            self.register_buffer(name, torch.full((8,), value))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        if self.kind == "conv":
            return functional.conv2d(x, self.weight)
        if self.kind == "linear":
            return functional.linear(x.mean((2, 3)), self.weight)
        if self.kind == "slope":
            return functional.prelu(x, self.weight)
        return functional.batch_norm(x, self.mean, self.var, self.weight)


class Conv2d(nn.Module):
    """Somebody's own layer of a name that PyTorch has: it standardises its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 8, 3, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, self.weight - self.weight.mean())


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "transposed": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), nn.ReLU(), nn.ConvTranspose2d(6, 6, 2, 2, groups=3)
        ),
        (4, 8, 8),
    ),
    "lstm": (lambda: Recurrent(nn.LSTM(5, 7, batch_first=True), 7), (11, 5)),
    "gru": (lambda: Recurrent(nn.GRU(5, 7, batch_first=True, bidirectional=True), 14), (11, 5)),
    "attention": (Attention, (6, 16)),
    "norms": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv2d(8, 8, 3, bias=False),
            nn.InstanceNorm2d(8, affine=True), nn.GELU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4),
        ),
        (3, 12, 12),
    ),
    "functions": (Functions, (10,)),
    "one-dimension": (
        lambda: nn.Sequential(nn.Conv1d(4, 6, 3), nn.PReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 2, 5, groups=2)),
        (4, 20),
    ),
    "unscaled": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False), nn.ReLU()), (3, 8, 8)),
    "unscaled-first": (lambda: nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.Conv2d(3, 8, 3)), (3, 8, 8)),
    "conv-function": (lambda: Written("conv"), (3, 8, 8)),
    "linear-function": (lambda: Written("linear"), (3, 8, 8)),
    "norm-function": (lambda: Written("norm"), (3, 8, 8)),
    "padding-by-name": (lambda: nn.Sequential(nn.Conv2d(4, 8, 3, padding="same"), nn.ReLU()), (4, 8, 8)),
    "slope-function": (lambda: Written("slope"), (3, 8, 8)),
    "own-class": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), Conv2d()), (3, 8, 8)),
    "plain": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)), (3, 8, 8)),
}  # fmt: skip
# What has a number: all else is refused. Each of these numbers is compared with the counter's own.
NUMBERS = {
    "plain": {"fvcore", "ptflops", "torchinfo", "flop-counter"},
    "transposed": {"fvcore", "ptflops", "flop-counter"},
    "functions": {"fvcore", "torchinfo", "flop-counter"},
    "norms": {"flop-counter"},
    "one-dimension": {"flop-counter"},
    "unscaled": {"flop-counter"},
    "unscaled-first": {"flop-counter"},
    "conv-function": {"fvcore", "flop-counter"},
    "linear-function": {"fvcore", "flop-counter"},
    "norm-function": {"flop-counter"},
    "padding-by-name": {"ptflops", "torchinfo", "flop-counter"},
    "slope-function": {"fvcore", "torchinfo", "flop-counter"},
    "own-class": {"flop-counter"},
}


def _graph(name: str, folder: Path) -> Graph:
    make, shape = NETWORKS[name]
    module = make().eval()
    proto = proto_from_module(module, shape, name=name)
    canonicalise(proto, module, name=name)
    path = folder / f"{name}.onnx"
    path.write_bytes(proto.SerializeToString())
    return graph_from_file(path, batch=1, input_shape=shape)


_ON_A_PUSH = (
    "plain",
    "transposed",
    "functions",
    "unscaled",
    "conv-function",
    "norm-function",
    "own-class",
    "padding-by-name",
)
COUNTING = {**RUNNING, **SHAPES_ONLY}


def _refusal(counter: str, graph: Graph) -> UsageError | None:
    try:
        count_of(COUNTERS[counter], graph)
    except UsageError as refusal:
        return refusal
    return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", [name if name in _ON_A_PUSH else pytest.param(name, marks=pytest.mark.nightly) for name in NETWORKS]
)
def test_a_number_is_the_counters_own_or_there_is_none(name: str, tmp_path: Path) -> None:
    graph, (make, shape) = _graph(name, tmp_path), NETWORKS[name]
    printed = {counter for counter in COUNTING if _refusal(counter, graph) is None}
    for counter in printed:
        with quiet():
            with torch.device("meta") if counter in SHAPES_ONLY else contextlib.nullcontext():
                module = make().eval()
            assert COUNTING[counter](module, shape) == count_of(COUNTERS[counter], graph).total, counter
    assert printed == NUMBERS.get(name, set())


def test_a_refusal_names_the_operators_that_were_not_compared(tmp_path: Path) -> None:
    graph = _graph("norms", tmp_path)
    for counter in RUNNING:
        refusal = _refusal(counter, graph)
        assert refusal is not None
        assert counter in refusal.what
        assert refusal.values.startswith("not compared with it: ")
        assert "InstanceNorm2d" in refusal.values or "InstanceNormalization" in refusal.values
        assert "--convention mac" in refusal.remedy
