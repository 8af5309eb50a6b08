"""A part is fed with what its network gives it: hidden states in turn, masks as they are."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchbox.export.exporting import artifact_from_source
from benchbox.export.module.captured import FOLDER
from benchbox.models.sources import resolve
from benchbox.schema.artifact import Drawn
from benchbox.schema.model import Precision
from benchbox.stats.inputs import seeded_arrays

CODE = """
import torch
from torch import nn

class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x, mask):
        return torch.softmax(self.inner(x) @ x.transpose(1, 2) + mask, -1) @ x

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.layer = nn.Embedding(9, 4), Layer()

    def forward(self, ids):
        size = ids.shape[1]
        return self.layer(self.table(ids), torch.full((size, size), float("-inf")).triu(1))

def make():
    return Net(), {"ids": torch.arange(6).reshape(3, 2)}
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "masked_net.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "masked_net", raising=False)


def test_a_mask_of_minus_infinity_is_fed_as_it_is(tmp_path: Path) -> None:
    """Drawn numbers in its place would make another network of it, or none that has finite outputs."""
    source = resolve("masked_net:make", input_shape=None, weights=None, part="layer")
    artifact = artifact_from_source(source, precision=Precision.FP32, root=tmp_path)
    states, mask = artifact.inputs
    assert (states.batch_axis, mask.batch_axis) == (0, None)
    assert states.values is not None
    assert mask.values is not None
    assert states.values.drawn is mask.values.drawn is Drawn.FILE
    assert states.values.text == "what the network gives it in its first call: 3 samples, in turn"
    assert mask.values.text == "what the network gives it in its first call"
    fed = seeded_arrays(artifact.inputs, seed=0, samples=4)
    assert fed["mask"].tolist() == [[0.0, -np.inf], [0.0, 0.0]]
    np.testing.assert_array_equal(fed["x"][0], fed["x"][3])
    assert not np.array_equal(fed["x"][0], fed["x"][1])
    assert len(list((tmp_path / FOLDER).glob("*.npz"))) == 1
