"""Where a sample's outputs depend on the others of its batch, they are compared batch by batch."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.jobs.prepare import onnx_at_batch
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import Precision

MODULES = """
import torch
from torch import nn

def normalised():  # does not run with one sample
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False)), torch.randn(5, 3)

class Centred(nn.Module):
    def forward(self, x):
        return x - x.mean(0)

def centred():
    return Centred(), torch.randn(2, 3)
"""


def made(reference: str, root: Path, batch: int) -> OnnxArtifact:
    source = resolve(reference, input_shape=None, weights=None)
    return onnx_at_batch(source, batch=batch, precision=Precision.FP32, root=root)


@pytest.mark.parametrize(
    ("operator", "axes", "mixes"),
    [("ReduceMean", [0], True), ("ReduceMean", [1], False), ("MeanVarianceNormalization", [0, 2], True)],
    ids=["over samples", "in a sample", "normalised"],
)
def test_a_file(operator: str, axes: list[int], mixes: bool, tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node(operator, ["h"], ["m"], axes=axes),
        helper.make_node("Sub", ["h", "m"], ["y"]),
    ]
    border = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 6, 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "net", border[:1], border[1:], [weight])
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    for batch in (1, 3):
        artifact = made(str(path), tmp_path, batch)
        assert artifact.fixed_batch == (batch if mixes else None)
        assert artifact.outputs[0].batch_axis == 0
        assert all(hop.passed for hop in artifact.hops)
        assert not artifact.unchecked


@pytest.mark.parametrize(("name", "batch"), [("centred", 3), ("normalised", 5)])
def test_a_module(name: str, batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mixing_nets.py").write_text(MODULES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mixing_nets", raising=False)
    artifact = made(f"mixing_nets:{name}", tmp_path, batch)
    assert artifact.fixed_batch == batch
    assert all(hop.passed for hop in artifact.hops)
