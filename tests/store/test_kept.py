"""Networks of earlier nights stay runnable: a file alone, and one with its weights beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.graph.external import external_files
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.identity import network_from
from benchbox.schema.model import Precision
from benchbox.store.artifact_files import sha256_of
from benchbox.store.external import external_sha256
from benchbox.store.kept import Kept, find_kept, keep


def network(path: Path, *, value: float = 1.0, location: str = "") -> OnnxArtifact:
    """A matrix product, its matrix in another file where there is a location; as an artifact of a user's file."""
    weights = numpy_helper.from_array(np.full((64, 64), value, np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])],
        [weights],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    model = helper.make_model(graph)
    if location:
        (path.parent / location).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / location).unlink(missing_ok=True)
        onnx.save_model(model, str(path), save_as_external_data=True, location=location, size_threshold=0)
    else:
        onnx.save_model(model, str(path))
    return OnnxArtifact(
        model="net", source=str(path), precision=Precision.FP32, opset=20, path=str(path), sha256=sha256_of(path),
        size_bytes=path.stat().st_size, params=None, batch=BatchRange(), inputs=(), outputs=(), exporter="",
        evaluator="", expected_by="", expected_path=None, expected_samples=0, seed=0, recipe="", hops=(),
        weights_sha256=external_sha256(path), asked_shape=(64,),
    )  # fmt: skip


def word(artifact: OnnxArtifact) -> str:
    return network_from(artifact.sha256, artifact.weights_sha256) or ""


@pytest.mark.parametrize("location", ["", "net.data", "weights/net.data"])
def test_a_network_stays_when_its_file_is_overwritten(location: str, tmp_path: Path) -> None:
    path = tmp_path / "mine" / "net.onnx"
    before = network(path, location=location)
    assert keep(tmp_path, {word(before)}, {word(before): before}, files_beside=external_files) == ()
    after = network(path, value=2.0, location=location)
    assert word(after) != word(before)
    # Weights in another file leave the ONNX file as it was: only the word of both tells them apart.
    assert (after.sha256 == before.sha256) is bool(location)

    found = find_kept(tmp_path, word(before), {})
    assert found is not None
    assert found.options == ("--input", "64")
    kept = onnx.load(str(tmp_path / found.path))
    assert numpy_helper.to_array(kept.graph.initializer[0])[0, 0] == 1.0
    assert find_kept(tmp_path, word(after), {word(after): after}) == Kept(path=path, options=("--input", "64"))

    assert keep(tmp_path, {word(before), word(after)}, {word(after): after}, files_beside=external_files) == ()
    assert keep(tmp_path, {word(after)}, {}, files_beside=external_files) == ()
    assert find_kept(tmp_path, word(before), {}) is None
    assert all(entry.stem == word(after) for entry in (tmp_path / "engines" / "kept").iterdir())


def test_damaged_weights_are_not_taken_for_those_of_the_night(tmp_path: Path) -> None:
    artifact = network(tmp_path / "mine" / "net.onnx", location="net.data")
    keep(tmp_path, {word(artifact)}, {word(artifact): artifact}, files_beside=external_files)
    folder = tmp_path / "engines" / "kept" / word(artifact)
    data = folder / "net.data"
    data.write_bytes(data.read_bytes()[:-1])
    assert find_kept(tmp_path, word(artifact), {}) is None
    (folder.parent / f"{word(artifact)}.json").write_text(json.dumps({"options": []}))
    assert find_kept(tmp_path, word(artifact), {}) is None


def test_what_cannot_be_copied_is_said(tmp_path: Path) -> None:
    artifact = network(tmp_path / "mine" / "net.onnx", location="net.data")
    for names in (("../elsewhere",), ("/etc/hostname",), ("gone.data",)):
        lost = keep(tmp_path, {word(artifact)}, {word(artifact): artifact}, files_beside=lambda _, names=names: names)
        assert lost == (word(artifact),)
    assert keep(tmp_path, {"00"}, {}, files_beside=external_files) == ("00",)
