"""Does a file that only a runtime's optimiser gets wrong, or that claims what is not so, stay measurable?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchbox.errors import ArtifactError
from benchbox.export import own_outputs
from benchbox.export.exporting import artifact_from_source
from benchbox.export.verification import Evaluated
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import Precision


def _file(path: Path, *, claimed: tuple[int, ...] | None = (1, 4), nodes: list[onnx.NodeProto] | None = None) -> Path:
    nodes = nodes or [helper.make_node("Relu", ["x"], ["y"])]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = onnx.ValueInfoProto(name="y")
    if claimed is not None:
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, list(claimed))
    graph = helper.make_graph(nodes, "own", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


def _artifact(path: Path) -> OnnxArtifact:
    source = resolve(str(path), input_shape=None, weights=None)
    return artifact_from_source(source, precision=Precision.FP32, root=path.parent)


def _pretend(monkeypatch: pytest.MonkeyPatch, outputs: dict[str, np.ndarray] | Exception) -> None:
    def made(*_: object, **__: object) -> Evaluated:
        if isinstance(outputs, Exception):
            raise outputs
        return Evaluated(outputs=outputs, evaluator="a runtime", form="onnx-fp32")

    monkeypatch.setattr(own_outputs, "outputs_from_onnx", made)


def test_what_an_optimiser_gets_wrong_leaves_the_judge_to_compare_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend(monkeypatch, {"y": np.full((2, 4), 9, np.float32)})
    artifact = _artifact(_file(tmp_path / "net.onnx"))
    assert "a runtime computes something else when it optimises the graph" in artifact.warnings[0]
    assert (artifact.outputs_path, artifact.hops, artifact.unchecked) == (None, (), "")
    assert artifact.expected_form == "onnx-unoptimised"
    with np.load(tmp_path / str(artifact.expected_path)) as stored:  # every backend is compared with these
        assert stored["y"].shape == (2, 4)
        assert (stored["y"] >= 0).all()


def test_a_runtime_that_fails_behind_its_own_judgement_is_an_error_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend(monkeypatch, RuntimeError("no kernel"))
    with pytest.raises(ArtifactError, match=r"net\.onnx does not run") as caught:
        _artifact(_file(tmp_path / "net.onnx"))
    assert caught.value.values == "RuntimeError: no kernel"


def test_sizes_that_a_file_claims_wrongly_are_those_that_come_out(tmp_path: Path) -> None:
    artifact = _artifact(_file(tmp_path / "net.onnx", claimed=(1, 9)))
    assert artifact.outputs[0].shape == (1, 4)
    assert artifact.hops[-1].passed


def test_what_the_checker_refuses_and_the_runtime_loads_is_measured_with_a_warning(tmp_path: Path) -> None:
    artifact = _artifact(_file(tmp_path / "net.onnx", claimed=None))
    assert artifact.outputs[0].dtype == "float32"
    assert artifact.warnings[0].startswith("onnx.checker refuses the file, and ONNX Runtime loads it")


def test_what_no_runtime_loads_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"], alpha=1.0)]
    with pytest.raises(ArtifactError, match="not a valid ONNX file"):
        _artifact(_file(tmp_path / "net.onnx", nodes=nodes))
