"""Does a file that only a runtime's optimiser gets wrong, or that claims what is not so, stay measurable?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.errors import ArtifactError, UsageError
from benchbox.export import own_outputs
from benchbox.export.exporting import artifact_from_source
from benchbox.export.verification import Evaluated
from benchbox.jobs.prepare import own_precision
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


def _artifact(path: Path, precision: Precision = Precision.FP32) -> OnnxArtifact:
    source = resolve(str(path), input_shape=None, weights=None)
    return artifact_from_source(source, precision=precision, root=path.parent)


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
    assert caught.value.values.endswith("RuntimeError: no kernel")


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


def test_a_file_in_fp64_is_measured_in_fp64_and_in_nothing_else(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"], name="product"), helper.make_node("Relu", ["h"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["batch", 3])],
        [numpy_helper.from_array(np.linspace(-1, 1, 12).reshape(4, 3), "w")],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    source = resolve(str(path), input_shape=None, weights=None)
    assert own_precision(source) is Precision.FP64
    artifact = artifact_from_source(source, precision=Precision.FP64, root=tmp_path)
    assert (artifact.precision, artifact.inputs[0].dtype, artifact.outputs[0].dtype) == ("fp64", "float64", "float64")
    assert artifact.hops[-1].passed
    for other in (Precision.FP32, Precision.FP16):
        with pytest.raises(UsageError, match=f"is in fp64, not in {other}") as caught:
            artifact_from_source(source, precision=other, root=tmp_path)
        assert caught.value.remedy == "ask for --precision fp64"


def test_nothing_is_converted_to_fp64(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is in fp32, not in fp64") as caught:
        artifact_from_source(resolve("lenet5", input_shape=None, weights=None), precision=Precision.FP64, root=tmp_path)
    assert "nothing is converted to fp64" in caught.value.values
    with pytest.raises(UsageError, match="is in fp32, not in fp64"):
        _artifact(_file(tmp_path / "net.onnx"), Precision.FP64)
