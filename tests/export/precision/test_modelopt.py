"""NVIDIA ModelOpt as another converter: refused by name where it is missing, checked like ours where it is there."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from benchbox.errors import UsageError
from benchbox.export.exporting import artifact_from_source
from benchbox.export.reuse import cached_artifact
from benchbox.jobs.prepare import graph_precision
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.derivation import CalibrationMethod, Converter, Derivation
from benchbox.schema.model import Precision

LENET = resolve("lenet5", input_shape=None, weights=None)
OTHER = Derivation(converter=Converter.MODELOPT)
CONVERTED = (Precision.FP16, Precision.BF16, Precision.INT8, Precision.FP8)


def present() -> bool:
    try:
        importlib.metadata.version("nvidia-modelopt")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


needed = pytest.mark.skipif(not present(), reason="runs where NVIDIA ModelOpt is installed (extra modelopt)")


@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("command", [("export",), ("run", "--backend", "onnxruntime")])
def test_a_missing_package_names_its_extra(
    command: tuple[str, ...], precision: str, benchbox: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchbox.export.precision import modelopt

    monkeypatch.setattr(modelopt, "_DISTRIBUTION", "a-package-that-nobody-has")
    ran = benchbox(*command, "lenet5", "--precision", precision, "--converter", "modelopt")
    assert ran.status == 3, ran.err
    assert "NVIDIA ModelOpt is not installed" in ran.err
    assert "pip install 'benchbox[modelopt]'" in ran.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--precision", "fp16", "--converter", "modelopd"), "did you mean 'modelopt'?"),
        (("--precision", "fp32", "--converter", "modelopt"), "have no effect with --precision fp32"),
    ],
)
def test_words_that_make_no_sense(flags: tuple[str, ...], words: str, benchbox: Callable) -> None:
    ran = benchbox("export", "lenet5", *flags)
    assert ran.status == 2
    assert words in ran.err


def test_records_of_both_converters_never_mix() -> None:
    assert OTHER.variant == "converter=modelopt"
    assert OTHER.for_precision(Precision.FP16) == OTHER
    assert OTHER.for_precision(Precision.FP32) == Derivation()
    assert graph_precision("openvino", Precision.BF16) is Precision.FP32
    assert graph_precision("openvino", Precision.BF16, OTHER) is Precision.BF16, "its graph is what was asked for"


def test_no_precision_that_needs_no_conversion(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not convert to fp32"):
        artifact_from_source(LENET, precision=Precision.FP32, root=tmp_path, derivation=OTHER)


@needed
@pytest.mark.parametrize("precision", CONVERTED)
def test_its_graphs_pass_the_same_checks(precision: Precision, lenet: OnnxArtifact, export_root: Path) -> None:
    ours = artifact_from_source(LENET, precision=precision, root=export_root)
    theirs = artifact_from_source(LENET, precision=precision, root=export_root, derivation=OTHER)
    assert theirs.variant == "converter=modelopt"
    assert (theirs.recipe != ours.recipe, theirs.sha256 != ours.sha256) == (True, True)
    assert theirs.hops[:-1] == lenet.hops
    assert theirs.hops[-1].passed
    assert cached_artifact(LENET, precision=precision, root=export_root, derivation=OTHER) == theirs
    proto = onnx.load(str(export_root / theirs.path))
    onnx.checker.check_model(proto)
    assert [value.type.tensor_type.elem_type for value in (*proto.graph.input, *proto.graph.output)] == [1, 1]
    if theirs.quantization is not None:
        assert theirs.quantization.synthetic
        assert 0 < theirs.quantization.quantized <= theirs.quantization.quantizable == 4


@needed
def test_nodes_can_be_left_out(lenet: OnnxArtifact, export_root: Path) -> None:
    choice = Derivation(converter=Converter.MODELOPT, exclude=("fc*",))
    made = artifact_from_source(LENET, precision=Precision.INT8, root=export_root, derivation=choice)
    assert made.quantization is not None
    # It leaves the first convolution out by itself.
    assert 0 < made.quantization.quantized <= 2
    nodes = {node.name: node for node in onnx.load(str(export_root / made.path)).graph.node}
    assert nodes["fc1"].input[1] == "fc1.weight", "as it was"
    assert made.variant == "exclude=fc* converter=modelopt"


@needed
def test_a_method_that_it_lacks_is_refused(lenet: OnnxArtifact, export_root: Path) -> None:
    choice = Derivation(converter=Converter.MODELOPT, method=CalibrationMethod.PERCENTILE)
    with pytest.raises(UsageError, match="has no calibration method percentile"):
        artifact_from_source(LENET, precision=Precision.INT8, root=export_root, derivation=choice)
