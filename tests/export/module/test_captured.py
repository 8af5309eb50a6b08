"""A part is fed with what its network gives it: hidden states in turn, masks as they are."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchbox.export.exporting import artifact_from_source
from benchbox.export.module.captured import FOLDER, fed_as_captured
from benchbox.models.building import network_from_source
from benchbox.models.sources import resolve
from benchbox.schema.artifact import Drawn, TensorSpec
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


def test_bytes_of_another_type_or_shape_are_other_samples(tmp_path: Path) -> None:
    """Files are named by what they hold: 2x4 and 4x2 numbers, or two types, may have the same bytes."""
    code = "import torch\nfrom torch import nn\n\n"
    code += "class Net(nn.Module):\n    def forward(self, x, places):\n        return x * 2 + places.sum()\n\n"
    wholes = {"int32": "[1, 0, 2, 0]", "int64": "[1, 2]"}
    for kind, numbers in wholes.items():
        for shape in ((4, 2), (2, 4)):
            sizes = "x".join(map(str, shape))
            code += f"def make_{kind}_{sizes}():\n    x = torch.arange(8.0).reshape{shape}\n"
            code += f"    return Net().eval(), {{'x': x, 'places': torch.tensor({numbers}, dtype=torch.{kind})}}\n\n"
    (tmp_path / "alike.py").write_text(code)
    folders = set()
    for kind in wholes:
        for sizes in ("4x2", "2x4"):
            network = network_from_source(resolve(f"alike:make_{kind}_{sizes}", input_shape=None, weights=None), seed=0)
            specs = tuple(
                TensorSpec(
                    name=given.name,
                    dtype=str(given.tensor.numpy().dtype),
                    shape=tuple(given.tensor.shape),
                    batch_axis=None,
                )
                for given in network.inputs
            )
            alone = replace(network, inputs=tuple(replace(given, batch_axis=None) for given in network.inputs))
            for spec, given in zip(fed_as_captured(specs, alone, root=tmp_path), alone.inputs, strict=True):
                assert spec.values is not None
                assert np.array_equal(seeded_arrays([spec], seed=0, samples=1)[spec.name], given.tensor.numpy())
                folders.add(spec.values.path)
    assert len(folders) == 4
