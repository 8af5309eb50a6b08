"""The order of the stages, and what a case becomes when one of them fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbox.backends.base import BACKENDS, Availability
from benchbox.errors import ArtifactError, EnvironmentLackError, UsageError
from benchbox.jobs import run as pipeline
from benchbox.jobs.prepare import exported_sources, onnx_from_source
from benchbox.jobs.run import cases_from_axes, measure_cases, plan_cases
from benchbox.models.sources import resolve
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.record import Status
from benchbox.store.records import record_files

LENET = resolve("lenet5", input_shape=None, weights=None)


class Silent:
    def say(self, text: str) -> None: ...

    def step(self, done: float, total: float, text: str) -> None: ...


def test_every_combination_once_and_in_order() -> None:
    cases = cases_from_axes(
        sources=(LENET,),
        backends=("onnxruntime", "pytorch"),
        precisions=(Precision.FP32, Precision.FP16),
        batches=(1, 8),
    )
    assert len(cases) == 8
    assert cases[0].title == "lenet5 onnxruntime fp32 b1"
    assert cases[1].batch == 8


def test_a_matrix_that_nothing_can_run_is_refused_with_all_reasons() -> None:
    with pytest.raises(UsageError) as caught:
        cases_from_axes(
            sources=(LENET,), backends=("onnxruntime", "pytorch"), precisions=(Precision.FP8,), batches=(1,)
        )
    assert "onnxruntime fp8" in str(caught.value)
    assert "pytorch fp8" in str(caught.value)


def test_planning_stores_nothing(tmp_path: Path) -> None:
    cases = cases_from_axes(
        sources=(LENET,), backends=("onnxruntime",), precisions=(Precision.FP32, Precision.BF16), batches=(1,)
    )
    records = plan_cases(cases, plan=MeasurementPlan())
    assert [record.status for record in records] == [Status.SKIPPED] * 2
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_fails_becomes_a_failed_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ArtifactError("the export broke", values="node 7", remedy="mend it")

    monkeypatch.setattr(pipeline, "onnx_from_source", fail)
    cases = cases_from_axes(
        sources=(LENET,), backends=("onnxruntime",), precisions=(Precision.FP32, Precision.TF32), batches=(1,)
    )
    outcomes = list(measure_cases(cases, plan=MeasurementPlan(), root=tmp_path, progress=Silent()))
    assert [outcome.record.status for outcome in outcomes] == [Status.FAILED, Status.SKIPPED]
    assert outcomes[0].record.reason == "the export broke; node 7"
    assert len(record_files(tmp_path)) == 2


def test_a_backend_that_is_missing_skips_its_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Availability(usable=False, reason="not installed", remedy="install it")
    monkeypatch.setattr(BACKENDS.get("pytorch"), "probe", lambda: gone)
    axes = {"sources": (LENET,), "precisions": (Precision.FP32,), "batches": (1, 2)}
    both = list(
        measure_cases(
            cases_from_axes(backends=("pytorch",), **axes), plan=MeasurementPlan(), root=tmp_path, progress=Silent()
        )
    )
    assert [outcome.record.reason for outcome in both] == [
        "backend pytorch cannot run on this machine; not installed"
    ] * 2
    alone = cases_from_axes(backends=("pytorch",), sources=(LENET,), precisions=(Precision.FP32,), batches=(1,))
    with pytest.raises(EnvironmentLackError, match="install it"):
        list(measure_cases(alone, plan=MeasurementPlan(), root=tmp_path, progress=Silent()))
    assert len(record_files(tmp_path)) == 2


def test_what_was_exported_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert exported_sources(tmp_path) == ()
    onnx_from_source(LENET, precision=Precision.FP16, root=tmp_path)
    assert exported_sources(tmp_path) == (LENET,)
    said: list[str] = []
    onnx_from_source(LENET, precision=Precision.TF32, root=tmp_path, say=said.append)
    assert said == [], "tf32 runs the fp32 graph, which is there already"


def test_pytorch_does_not_run_onnx_files(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"never read")
    source = resolve(str(path), input_shape=None, weights=None)
    case = cases_from_axes(sources=(source,), backends=("pytorch",), precisions=(Precision.FP32,), batches=(1,))
    with pytest.raises(UsageError, match="not ONNX files"):
        list(measure_cases(case, plan=MeasurementPlan(), root=tmp_path, progress=Silent()))


def test_a_factory_is_exported_once_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets_made_once.py").write_text("import torch\ndef net(): return torch.nn.Linear(4, 2)\n")
    source = resolve("nets_made_once:net", input_shape=(4,), weights=None)
    cases = cases_from_axes(sources=(source,), backends=("onnxruntime",), precisions=(Precision.FP32,), batches=(1, 2))
    plan = MeasurementPlan(trials=1, memory_trials=1, warmup_s=0.01, min_time_s=0.01, max_time_s=0.02)
    said: list[str] = []

    class Listening(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    outcomes = list(measure_cases(cases, plan=plan, root=tmp_path, progress=Listening()))
    assert [outcome.record.status for outcome in outcomes] == [Status.OK] * 2
    assert len([text for text in said if "exporting" in text]) == 1
