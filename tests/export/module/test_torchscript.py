"""Networks whose forward decides by values: what TorchScript traces of them is used where it is right, else refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchbox.errors import ArtifactError
from benchbox.export.exporting import artifact_from_source
from benchbox.export.module.torchscript import scope_of, traced_in_words
from benchbox.export.outline import structure_from_source
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import ModelSource, Precision

# Two stages, as a detector has them: the second works on what the first selected, and nothing may be left.
DETECTOR = """
import torch
from torch import nn

class Block(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())

class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(Block(), nn.Conv2d(8, 5, 1))
        self.head = nn.Linear(4, 2)

    def forward(self, image):
        rows = self.body(image).flatten(2)[0].T
        kept = rows[rows[:, 4] > rows[:, 4].mean()]
        if kept.shape[0] == 0:
            return {"boxes": kept[:, :4], "scores": kept[:, 4]}
        best = kept[:, 4].argsort(descending=True)[:100]
        return {"boxes": kept[best, :4], "scores": self.head(kept[best, :4])[:, 0]}

def make():
    torch.manual_seed(0)
    return Detector()
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModelSource]:
    """A factory of that code, for pictures of 3x32x32."""

    def written(code: str) -> ModelSource:
        (tmp_path / "decides_by_values.py").write_text(code)
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "decides_by_values", raising=False)
        return resolve("decides_by_values:make", input_shape=(3, 32, 32), weights=None)

    return written


def exported(source: ModelSource, root: Path) -> OnnxArtifact:
    return artifact_from_source(source, precision=Precision.FP32, root=root)


def test_what_is_selected_by_value_is_selected_in_the_graph(
    source: Callable[[str], ModelSource], tmp_path: Path
) -> None:
    artifact = exported(source(DETECTOR), tmp_path)
    assert artifact.exporter.endswith("TorchScript")
    assert [hop.passed for hop in artifact.hops] == [True, True]
    assert artifact.fixed_batch == 1
    (note,) = [warning for warning in artifact.warnings if "TorchScript" in warning]
    assert "a batch of 1 only" in note
    assert "decides_by_values.py:18" in note
    with np.load(tmp_path / str(artifact.expected_path)) as stored:
        boxes, scores = (stored[f"{spec.name}#0"] for spec in artifact.outputs)
    assert boxes.shape[1] == 4
    assert 0 < boxes.shape[0] == scores.shape[0]
    graph = onnx.load(str(tmp_path / artifact.path)).graph
    names = {node.name for node in graph.node}
    assert "Constant" not in {node.op_type for node in graph.node}
    assert {"body.0.0", "body.0.2", "body.1"} <= names
    noted = {node.name: {one.key: one.value for one in node.metadata_props} for node in graph.node}
    assert noted["body.0.0"]["benchbox.params"] == str(3 * 8 * 9 + 8 + 16)


def test_its_outline_is_the_same_graph_without_weights(source: Callable[[str], ModelSource], tmp_path: Path) -> None:
    wide = DETECTOR.replace("nn.Conv2d(8, 5, 1)", "nn.Conv2d(8, 1024, 1), nn.Conv2d(1024, 5, 1)")
    of = source(wide)
    outline = onnx.load(str(structure_from_source(of, root=tmp_path)), load_external_data=False).graph
    graph = onnx.load(str(tmp_path / exported(of, tmp_path).path)).graph
    assert [node.op_type for node in outline.node] == [node.op_type for node in graph.node]
    left_out = [one for one in outline.initializer if one.data_location == onnx.TensorProto.EXTERNAL]
    assert [list(one.dims) for one in left_out] == [[1024, 8, 1, 1], [5, 1024, 1, 1]]
    assert all(not one.raw_data for one in left_out)


def test_a_branch_that_other_samples_do_not_take_is_refused(
    source: Callable[[str], ModelSource], tmp_path: Path
) -> None:
    odd = DETECTOR.replace("kept.shape[0] == 0", "image.sum() > 0")
    with pytest.raises(ArtifactError) as raised:
        exported(source(odd), tmp_path)
    assert "data-dependent" in raised.value.values
    assert "the graph that TorchScript traces instead is not right either" in raised.value.values
    assert "--module NAME (body, head)" in raised.value.remedy
    assert not list(tmp_path.rglob("*.onnx"))


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("/Concat", ""),
        ("/head/Gemm", "head"),
        ("/body/layer1/layer1.0/conv/Conv", "body.layer1.0.conv"),
        ("/body/body.3/body.3.0/Conv_1", "body.3.0"),
        ("/blocks.1/norm/Add", "blocks.1.norm"),
        ("Unnamed", ""),
    ],
)
def test_a_node_is_named_by_its_module(name: str, scope: str) -> None:
    assert scope_of(name) == scope


def test_a_note_names_three_places_at_most() -> None:
    text = traced_in_words(1, "why", [f"a.py:{line}" for line in range(5)])
    assert text.endswith("5 places, a.py:0, a.py:1, a.py:2, …")
    assert "decides" not in traced_in_words(1, "why", [])
