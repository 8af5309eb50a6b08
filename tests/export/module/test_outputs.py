"""What a module returns becomes the outputs of a graph: dictionaries, nested, None, whole numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchbox.backends.pytorch.outputs import in_float, tensors_in
from benchbox.errors import ArtifactError
from benchbox.export.exporting import artifact_from_source
from benchbox.models.sources import resolve
from benchbox.schema.model import Precision

SOURCE = """
import collections, torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 2), nn.Linear(8, 3)

    def forward(self, x):
        h = torch.relu(x)
        return RETURNED
"""


@pytest.mark.parametrize(
    ("returned", "shapes"),
    [
        ("collections.OrderedDict(out=self.a(h), aux=self.b(h))", [(2,), (3,)]),
        ("(self.a(h), [self.b(h), h])", [(2,), (3,), (8,)]),
        ("(self.a(h), None)", [(2,)]),
        ("(self.a(h), self.a(h).argmax(1))", [(2,), ()]),
        ("(self.a(h), self.b.bias)", [(2,), ()]),
    ],
    ids=["dictionary", "nested", "none", "classes", "parameter"],
)
def test_outputs_are_flattened(
    returned: str, shapes: list[tuple[int, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flattened_net.py").write_text(SOURCE.replace("RETURNED", returned))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "flattened_net", raising=False)
    source = resolve("flattened_net:Net", input_shape=(8,), weights=None)
    artifact = artifact_from_source(source, precision=Precision.FP32, root=tmp_path)
    assert [spec.shape[1:] for spec in artifact.outputs] == shapes
    assert all(hop.passed for hop in artifact.hops)
    with np.load(tmp_path / str(artifact.expected_path)) as stored:
        assert {name.partition("#")[0] for name in stored.files} == {spec.name for spec in artifact.outputs}


def test_what_is_no_tensor_is_named() -> None:
    with pytest.raises(ArtifactError, match="a str among its outputs"):
        tensors_in({"y": torch.ones(1), "note": "text"})


def test_whole_numbers_stay_whole() -> None:
    scores, classes = in_float((torch.ones(2, dtype=torch.float16), torch.ones(2, dtype=torch.int64)))
    assert (scores.dtype, classes.dtype) == (torch.float32, torch.int64)


def test_a_forward_that_decides_by_values_is_not_blamed_on_shapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deciding = "self.a(h) if h[h > 0].shape[0] > 3 else self.b(h)"
    (tmp_path / "decides.py").write_text(SOURCE.replace("RETURNED", deciding))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "decides", raising=False)
    source = resolve("decides:Net", input_shape=(8,), weights=None)
    with pytest.raises(ArtifactError) as raised:
        artifact_from_source(source, precision=Precision.FP32, root=tmp_path)
    assert "data-dependent" in raised.value.values
    assert "--module NAME" in raised.value.remedy
    assert "--input" not in raised.value.remedy


# As a detector of two stages: resizing without weights, features, a stage that selects, and one that works on those.
DETECTOR = """
import torch
from torch import nn

class Select(nn.Module):
    def __init__(self):
        super().__init__()
        self.scores = nn.Linear(8, 1)

    def forward(self, h):
        scores = self.scores(h).flatten()
        kept = [h[scores > level / CLASSES] for level in range(CLASSES)]
        return h if sum(len(one) for one in kept) > 3 else -h

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.resize, self.backbone, self.proposals, self.head = nn.Tanh(), nn.Linear(8, 8), Select(), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.proposals(self.backbone(self.resize(x))))
"""


def test_of_a_detector_the_parts_before_its_selection_are_named_in_a_short_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "detects.py").write_text(DETECTOR.replace("CLASSES", "30"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "detects", raising=False)
    source = resolve("detects:Net", input_shape=(8,), weights=None)
    with pytest.raises(ArtifactError) as raised:
        artifact_from_source(source, precision=Precision.FP32, root=tmp_path)
    assert "--module NAME (backbone)" in raised.value.remedy
    assert "data-dependent" in raised.value.values
    assert len(raised.value.values) < 400
    part = resolve("detects:Net", input_shape=(8,), weights=None, part="backbone")
    assert all(hop.passed for hop in artifact_from_source(part, precision=Precision.FP32, root=tmp_path).hops)
