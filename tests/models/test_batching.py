"""The batch axis is found by asking the network: wherever it stands, whatever it is fed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from benchbox.errors import ArtifactError, UsageError
from benchbox.models.batching import Batching, batching_of
from benchbox.models.examples import ExampleInput


class Calls(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *tensors: torch.Tensor) -> object:
        return self._function(*tensors)


def found(module: nn.Module, *shapes: tuple[int, ...], said: dict[str, int] | None = None) -> Batching:
    inputs = [ExampleInput(name=f"i{place}", tensor=torch.randn(shape)) for place, shape in enumerate(shapes)]
    return batching_of(module.eval(), inputs, said or {}, reference="nets:make")


def lstm(batch_first: bool) -> nn.Module:
    layer = nn.LSTM(3, 4, batch_first=batch_first)
    return Calls(lambda x, h, c: layer(x, (h, c)))


@pytest.mark.parametrize(
    ("module", "shapes", "axes"),
    [
        (nn.Linear(3, 2), [(1, 3)], [0]),
        (nn.Linear(3, 2), [(5, 7, 3)], [0]),
        (lstm(batch_first=False), [(6, 1, 3), (1, 1, 4), (1, 1, 4)], [1, 1, 1]),
        (lstm(batch_first=False), [(6, 2, 3), (1, 2, 4), (1, 2, 4)], [1, 1, 1]),
        (lstm(batch_first=True), [(2, 6, 3), (1, 2, 4), (1, 2, 4)], [0, 1, 1]),
        (Calls(lambda x, limit: x * (x > limit.item())), [(1, 3), (1,)], [0, None]),
        (Calls(lambda x, scale: x * scale), [(2, 3), ()], [0, None]),
        (Calls(lambda x: x.sum()), [(2, 3)], [0]),
    ],
    ids=["one", "three axes", "sequence first", "state", "batch first", "threshold", "scalar", "sum"],
)
def test_axes(module: nn.Module, shapes: list[tuple[int, ...]], axes: list[int | None]) -> None:
    seen = found(module, *shapes)
    assert [given.batch_axis for given in seen.inputs] == axes
    assert seen.fixed is None


def test_what_does_not_run_with_one_sample_is_no_batch() -> None:
    """Edges of a graph are pairs of ends, which no output follows."""

    def summed(x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        begins, ends = (torch.full_like(edges[end], 8).long() for end in (0, 1))
        return torch.zeros_like(x).index_add(0, ends, x[begins])

    seen = found(Calls(summed), (9, 3), (2, 7))
    assert [given.batch_axis for given in seen.inputs] == [None, None]
    assert "no axis" in seen.note


def test_a_batch_that_the_code_fixes() -> None:
    seen = found(Calls(lambda x: x.view(4, 3)), (4, 3))
    assert (seen.fixed, seen.inputs[0].batch_axis) == (4, 0)
    assert "a batch of 4 only" in seen.note


def test_a_network_without_samples() -> None:
    """Nodes and edges of one graph: no size is shared."""
    seen = found(Calls(lambda x, edges: x.view(5, 3).T @ x + edges.view(2, 7).sum()), (5, 3), (2, 7))
    assert [given.batch_axis for given in seen.inputs] == [None, None]
    assert seen.fixed == 1


def test_the_user_says_it() -> None:
    seen = found(nn.Linear(3, 2), (5, 7, 3), said={"i0": 1})
    assert seen.inputs[0].batch_axis == 1
    with pytest.raises(UsageError, match="no input 'x'"):
        found(nn.Linear(3, 2), (5, 3), said={"x": 0})
    with pytest.raises(UsageError, match="no axis 2"):
        found(nn.Linear(3, 2), (5, 3), said={"i0": 2})


def test_a_network_that_fails_on_its_example() -> None:
    with pytest.raises(ArtifactError, match="does not run on its example inputs") as caught:
        found(nn.Linear(3, 2), (5, 4))
    assert "i0 (5, 4)" in caught.value.values


class Recurrent(nn.Module):
    """A sequence-first layer; with ``fixed`` its state is made for four samples."""

    def __init__(self, *, batch_first: bool = False, fixed: bool = False) -> None:
        super().__init__()
        self.layer = nn.GRU(3, 4, batch_first=batch_first)
        self.state = torch.zeros(1, 4, 4) if fixed else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x, self.state)[0]


class Attending(nn.Module):
    """Attention behind a projection, so that the layer is not given the input itself."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(3, 4)
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.project(x))


@pytest.mark.parametrize(
    ("module", "axis", "fixed"),
    [
        (Recurrent(), 1, None),
        (Recurrent(batch_first=True), 0, None),
        (Recurrent(fixed=True), 1, 4),
        (Attending(), 1, None),
    ],
    ids=["sequence first", "batch first", "fixed state", "attention"],
)
def test_layers_say_what_is_a_sequence(module: nn.Module, axis: int, fixed: int | None) -> None:
    """Any of these runs at any length: the length is not the batch."""
    seen = found(module, (7, 4, 3))
    assert (seen.inputs[0].batch_axis, seen.fixed) == (axis, fixed)
