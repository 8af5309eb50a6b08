"""The commands that go with an answer: they name the network as it was named, with all that chose it."""

from __future__ import annotations

import dataclasses
import shlex

import pytest
from sample_configurations import measured, reading

from benchbox.choose.candidates import candidates_from_records
from benchbox.choose.choosing import Request, choices_of
from benchbox.choose.limits import objective_from_names
from benchbox.jobs.choose import accuracy_command, emitted, measuring_command
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.derivation import CalibrationMethod, Quantization
from benchbox.schema.model import Precision
from benchbox.schema.record import Record

ARTIFACT = OnnxArtifact(
    model="resnet18", source="resnet18", precision=Precision.FP32, opset=20, path="engines/x.onnx", sha256="a" * 64,
    size_bytes=1, params=None, batch=BatchRange(), inputs=(), outputs=(), exporter="", evaluator="", expected_by="",
    expected_path=None, expected_samples=0, seed=0, recipe="", hops=(),
)  # fmt: skip


def of_network(model: str, variant: str = "") -> Record:
    return measured(model, reading("latency_p50", 1e-3), variant=variant, onnx_sha256="a" * 64)


@pytest.mark.parametrize(
    ("model", "changes", "variant", "words"),
    [
        ("resnet18", {}, "", "resnet18"),
        ("resnet18", {"asked_shape": (3, 224, 224)}, "", "resnet18"),
        ("resnet18", {"weights": "/a b/w.pt"}, "", "resnet18 --weights '/a b/w.pt'"),
        ("resnet18-3x64x64", {"asked_shape": (3, 64, 64)}, "", "resnet18 --input 3x64x64"),
        ("resnet18.layer1", {"part": "layer1"}, "", "resnet18 --module layer1"),
        ("net", {"source": "mine/net.onnx"}, "input=3x64x64 inputs=real.npz@12345678", "mine/net.onnx"),
    ],
)
def test_the_network_is_named_with_what_chose_it(
    model: str, changes: dict[str, object], variant: str, words: str
) -> None:
    artifact = dataclasses.replace(ARTIFACT, **changes)  # type: ignore[arg-type]
    record = of_network(model, variant)
    options = " --input 3x64x64 --inputs real.npz" if variant else ""
    common = "--backend null --precision fp32"
    run = f"benchbox run {words} {common} --batch 1 --threads 1{options}"
    assert measuring_command(record, [artifact]) == run
    assert measuring_command(record, [artifact], trials=9) == f"{run} --trials 9"
    assert accuracy_command(record, [artifact]) == f"benchbox accuracy {words} {common}{options} --data DIR"
    candidates, _ = candidates_from_records([record], facet_of=lambda _: ("here",), name_of=lambda _: model)
    (choice,) = choices_of(candidates, (), Request(limits=(), objective=objective_from_names(None, None)))
    assert choice.answer is not None
    found = emitted(choice.answer, choice, [artifact])
    assert found["build"] == f"benchbox export {words} --precision fp32{options}"
    assert found["verify"] == run
    assert found["onnx_sha256"] == artifact.sha256


def test_without_the_file_the_name_of_the_zoo_will_do() -> None:
    for model, words in (("resnet18", ["resnet18"]), ("resnet18-3x64x64", ["resnet18", "--input", "3x64x64"])):
        assert shlex.split(measuring_command(of_network(model), []))[2 : 2 + len(words)] == words
    assert shlex.split(measuring_command(of_network("my-net"), []))[2] == "my-net"


@pytest.mark.parametrize(("folder", "typed"), [("/data/a b/val", "'/data/a b/val'"), ("", "val")])
def test_calibration_data_are_named_by_where_they_lay(folder: str, typed: str) -> None:
    made = Quantization(
        method=CalibrationMethod.MINMAX, data="12 of 12 images", synthetic=False, digest="b" * 64, samples=12,
        exclude=(), fallback=Precision.FP32, quantized=1, quantizable=1, folder=folder,
    )  # fmt: skip
    artifact = dataclasses.replace(ARTIFACT, precision=Precision.INT8, quantization=made)
    command = measuring_command(of_network("resnet18", "calibration=val"), [artifact])
    assert command.endswith(f" --calibration {typed}")
