"""A part of a network is found by its dotted name, and gets what the network gives it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from benchbox.errors import UsageError
from benchbox.models.building import network_from_source
from benchbox.models.sources import resolve
from benchbox.schema.model import InputChoice

CODE = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x, *, mask, twice=False):
        y = self.inner(x) * mask[..., None]
        return y + y if twice else y

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.block, self.unused = nn.Embedding(9, 4), Block(), nn.Linear(4, 1)

    def forward(self, ids, mask):
        return self.block(self.table(ids), mask=mask.float(), twice=True)

class Layer(nn.Module):
    def forward(self, x, places, turns):
        return x * turns + places[..., None]

class Turning(nn.Module):
    calls = 0

    def __init__(self):
        super().__init__()
        self.layer, self.folded = Layer(), nn.Linear(4, 4)

    def forward(self, x):
        Turning.calls += 1
        places = torch.arange(x.shape[1])[None]
        turned = self.layer(x, places, torch.ones(1, x.shape[1], 4))
        return self.folded(turned.reshape(-1, 4)).reshape(turned.shape)

def make_turning():
    return Turning(), torch.randn(2, 6, 4)

def make():
    return Net(), {"ids": torch.arange(6).reshape(2, 3), "mask": torch.ones(2, 3, dtype=torch.int64)}
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parted_net.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "parted_net", raising=False)


def test_a_part_gets_what_the_network_gives_it() -> None:
    source = resolve("parted_net:make", input_shape=None, weights=None, part="block")
    network = network_from_source(source, seed=0)
    assert source.name == "parted_net.make.block"
    assert [(spec.name, spec.dtype, spec.shape) for spec in network.specs()] == [
        ("x", "float32", (None, 3, 4)),
        ("mask", "float32", (None, 3)),
    ]
    whole = network_from_source(resolve("parted_net:make", input_shape=None, weights=None), seed=0)
    expected = whole.module(*(given.tensor for given in whole.inputs))
    torch.testing.assert_close(network.module(*(given.tensor for given in network.inputs)), expected)


def test_the_batch_of_a_part_is_the_networks() -> None:
    """More of its inputs have the axis of the sequence, and it runs at any length of one too."""
    source = resolve("parted_net:make_turning", input_shape=None, weights=None, part="layer")
    network = network_from_source(source, seed=0)
    assert {spec.name: spec.shape for spec in network.specs()} == {
        "x": (None, 6, 4),
        "places": (1, 6),
        "turns": (1, 6, 4),
    }


def test_a_part_that_folds_samples_and_places_into_one_axis_has_that_for_its_batch() -> None:
    source = resolve("parted_net:make_turning", input_shape=None, weights=None, part="folded")
    assert [spec.shape for spec in network_from_source(source, seed=0).specs()] == [(None, 4)]


def test_an_axis_that_the_user_says_is_not_looked_for_in_the_whole_network() -> None:
    choice = InputChoice(named=(("x", (5, 4)),), batch_axes=(("x", 1),))
    source = resolve("parted_net:make_turning", input_shape=None, weights=None, part="layer", inputs=choice)
    network = network_from_source(source, seed=0)
    assert {spec.name: spec.batch_axis for spec in network.specs()} == {"x": 1, "places": 1, "turns": 1}
    # Once for the axes of its own inputs, whose size was asked for, and once for what it gives the part.
    assert sys.modules["parted_net"].Turning.calls == 2


def test_a_part_of_a_zoo_network() -> None:
    source = resolve("lenet5", input_shape=None, weights=None, part="fc1")
    (spec,) = network_from_source(source, seed=0).specs()
    assert (source.name, spec.batch_axis, spec.shape[0]) == ("lenet5.fc1", 0, None)


@pytest.mark.parametrize(
    ("part", "words"),
    [("blok", "did you mean 'block'"), ("table.x", "dotted name"), ("unused", "does not call its module 'unused'")],
)
def test_wrong_parts(part: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        network_from_source(resolve("parted_net:make", input_shape=None, weights=None, part=part), seed=0)
    assert words in f"{caught.value.what} {caught.value.values} {caught.value.remedy}"


def test_an_onnx_file_has_no_modules(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"x")
    with pytest.raises(UsageError, match="--module is for networks that PyTorch builds"):
        resolve("net.onnx", input_shape=None, weights=None, part="block")
