"""At which batch sizes a file is looked at: where samples mix one at a time, where a size is fixed inside at that."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.errors import ArtifactError, UsageError
from benchbox.export.judging import does_not_run
from benchbox.jobs.prepare import graph_from_source, onnx_at_batch, onnx_from_source
from benchbox.models.sources import resolve
from benchbox.schema.artifact import BatchRange, Drawn, OnnxArtifact, TensorSpec, Values
from benchbox.schema.model import InputChoice, Precision

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


def fixed_inside(path: Path, nodes: list[onnx.NodeProto], **weights: np.ndarray) -> Path:
    """A file whose border says that any batch goes."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "width"])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def test_a_batch_that_a_reshape_fixes_is_found(tmp_path: Path) -> None:
    flat = helper.make_node("Reshape", ["x", "shape"], ["y"], name="flat")
    path = fixed_inside(tmp_path / "net.onnx", [flat], shape=np.array([4, 3]))
    source = resolve(str(path), input_shape=None, weights=None)
    artifact = onnx_at_batch(source, batch=1, asked=False, precision=Precision.FP32, root=tmp_path)
    assert artifact.fixed_batch == 4
    assert "a batch of 4 only: node flat (Reshape) makes 4x3 of x" in artifact.warnings[-1]
    assert all(hop.passed for hop in artifact.hops)
    with pytest.raises(UsageError) as caught:
        made(str(path), tmp_path, 1)
    assert caught.value.remedy == "give --batch 4"
    assert made(str(path), tmp_path, 4).fixed_batch == 4
    assert graph_from_source(source, root=tmp_path)[0].batch == 4  # as 'flops' counts it


def test_a_state_of_one_sample_is_the_batch_though_a_less_strict_judge_spreads_it(tmp_path: Path) -> None:
    """onnx's evaluator does, ONNX Runtime does not: what is derived of the file would fail."""
    weights = {
        "w": np.full((1, 16, 3), 0.1, np.float32),
        "r": np.full((1, 16, 4), 0.1, np.float32),
        "state": np.ones((1, 1, 4), np.float32),
    }
    layer = helper.make_node("LSTM", ["t", "w", "r", "", "", "state", "state"], ["", "h"], hidden_size=4)
    turn = helper.make_node("Unsqueeze", ["x", "first"], ["t"])
    last = helper.make_node("Squeeze", ["h", "first"], ["y"])
    path = fixed_inside(tmp_path / "net.onnx", [turn, layer, last], first=np.array([0]), **weights)
    source = resolve(str(path), input_shape=None, weights=None)
    for precision in (Precision.FP32, Precision.FP16):
        artifact = onnx_at_batch(source, batch=1, asked=False, precision=precision, root=tmp_path)
        assert artifact.fixed_batch == 1
        assert "runs at a batch of 1 only" in artifact.warnings[0]
        assert artifact.expected_by.startswith("onnxruntime")


def test_a_batch_that_no_constant_says_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], name="turn"),
        helper.make_node("MatMul", ["t", "w"], ["y"], name="over_samples"),
    ]
    path = fixed_inside(tmp_path / "net.onnx", nodes, w=np.ones((5, 2), np.float32))
    with pytest.raises(ArtifactError, match="does not run") as caught:
        made(str(path), tmp_path, 2)
    assert "over_samples" in caught.value.values
    assert "x 2x3" in caught.value.values
    assert "--batch N" in caught.value.remedy
    assert made(str(path), tmp_path, 5).fixed_batch == 5


def test_batch_sizes_that_a_fixed_file_does_not_take_are_refused(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 3])],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    source = resolve(str(path), input_shape=None, weights=None)
    wide, own = (BatchRange(minimum=low, optimum=4, maximum=high) for low, high in ((1, 8), (4, 4)))
    with pytest.raises(UsageError, match="does not take these batch sizes") as caught:
        onnx_from_source(source, precision=Precision.FP32, root=tmp_path, batch=wide)
    assert caught.value.remedy == "leave --batch out, or give --batch 4"
    assert onnx_from_source(source, precision=Precision.FP32, root=tmp_path, batch=own).fixed_batch == 4


@pytest.mark.parametrize(
    ("ids", "kind", "words"),
    [
        ([[899, 9], [0, 10]], UsageError, "at place 1 of axis 1 they are 9 to 10, the table there has rows 0 to 9"),
        ([[899, 9], [0, 0]], None, ""),
    ],
)
def test_real_samples_stay_in_the_table_of_their_place(
    ids: list[list[int]], kind: type[Exception] | None, words: str, tmp_path: Path
) -> None:
    nodes = [
        helper.make_node("Split", ["ids"], ["a", "b"], axis=1),
        helper.make_node("Gather", ["large", "a"], ["c"]),
        helper.make_node("Gather", ["small", "b"], ["d"]),
        helper.make_node("Concat", ["c", "d"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2, 2])],
        [
            numpy_helper.from_array(np.ones((rows, 2), np.float32), name)
            for name, rows in (("large", 900), ("small", 10))
        ],
    )
    path, samples = tmp_path / "net.onnx", tmp_path / "ids.npz"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    np.savez(samples, ids=np.array(ids))
    source = resolve(str(path), input_shape=None, weights=None, inputs=InputChoice(samples=str(samples)))
    if kind is None:
        assert onnx_from_source(source, precision=Precision.FP32, root=tmp_path).hops[0].passed
        return
    with pytest.raises(kind) as caught:
        onnx_from_source(source, precision=Precision.FP32, root=tmp_path)
    assert words in str(caught.value)


def test_samples_that_were_given_are_not_advised_again() -> None:
    given = Values(drawn=Drawn.FILE, text="3 samples of x.npz, in turn", path="x.npz")
    spec = TensorSpec(name="x", dtype="float32", shape=(None, 3), values=given)
    error = does_not_run(Path("net.onnx"), "out of bounds", [spec])
    assert error.what == "net.onnx does not run on these inputs"
    assert "FILE.npz" not in error.remedy
    assert "FILE.npz" in does_not_run(Path("net.onnx"), "out of bounds", [replace(spec, values=None)]).remedy
