"""The order of the stages, and what a case becomes when one of them fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.backends.base import BACKENDS, Availability
from benchbox.errors import ArtifactError, EnvironmentLackError, MeasurementError, UsageError
from benchbox.jobs import run as pipeline
from benchbox.jobs.cases import Case, cases_from_axes
from benchbox.jobs.prepare import exported_sources, onnx_from_source
from benchbox.jobs.run import Outcome, measure_cases, plan_cases
from benchbox.machine.interpreters import environment_of
from benchbox.measure import schedule
from benchbox.measure.case import CaseRequest, CaseResult
from benchbox.models.sources import resolve
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.record import Status
from benchbox.schema.trial import Evidence, Pass, Trial
from benchbox.store import records
from benchbox.store.records import record_files

LENET = resolve("lenet5", input_shape=None, weights=None)


AXES: dict[str, Any] = {
    "sources": (LENET,),
    "backends": ("onnxruntime",),
    "precisions": (Precision.FP32,),
    "batches": (1,),
    "plan": MeasurementPlan(),
}


def cases_of(**axes: Any) -> tuple[Case, ...]:
    return cases_from_axes(**{**AXES, **axes})


class Silent:
    def say(self, text: str) -> None: ...

    def step(self, done: float, total: float, text: str) -> None: ...


def test_planning_stores_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(records, "append", pytest.fail)
    planned = plan_cases(cases_of(precisions=(Precision.FP32, Precision.BF16)))
    assert [record.status for record in planned] == [Status.SKIPPED] * 2
    assert list(tmp_path.iterdir()) == []


def test_a_plan_is_that_of_its_case() -> None:
    (case,) = cases_of()
    other = replace(case, plan=replace(case.plan, threads=7, batch=3, mode=Mode.COLD))
    first, second = plan_cases([case, other])
    assert (first.plan, second.plan) == (case.plan, other.plan)
    assert (second.key.batch, second.key.mode) == (3, Mode.COLD)


def test_a_stage_that_fails_becomes_a_failed_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ArtifactError("the export broke", values="node 7", remedy="mend it")

    monkeypatch.setattr(pipeline, "onnx_at_batch", fail)
    cases = cases_of(precisions=(Precision.FP32, Precision.TF32))
    outcomes = list(measure_cases(cases, root=tmp_path, progress=Silent()))
    assert [outcome.record.status for outcome in outcomes] == [Status.FAILED, Status.SKIPPED]
    assert outcomes[0].record.reason == "the export broke; node 7"
    assert len(record_files(tmp_path)) == 2


def test_a_backend_that_is_missing_skips_its_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Availability(usable=False, reason="not installed", remedy="install it")
    monkeypatch.setattr(BACKENDS.get("pytorch"), "probe", lambda: gone)
    matrix = cases_of(backends=("pytorch",), batches=(1, 2))
    both = list(measure_cases(matrix, root=tmp_path, progress=Silent()))
    assert [outcome.record.reason for outcome in both] == [
        "backend pytorch cannot run on this machine; not installed"
    ] * 2
    alone = cases_of(backends=("pytorch",))
    with pytest.raises(EnvironmentLackError, match="install it"):
        list(measure_cases(alone, root=tmp_path, progress=Silent()))
    assert len(record_files(tmp_path)) == 2


def test_what_was_exported_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert exported_sources(tmp_path) == ()
    onnx_from_source(LENET, precision=Precision.FP16, root=tmp_path)
    assert exported_sources(tmp_path) == (LENET,)
    said: list[str] = []
    onnx_from_source(LENET, precision=Precision.TF32, root=tmp_path, say=said.append)
    assert said == [], "tf32 runs the fp32 graph, which is there already"


def test_a_relative_file_is_found_from_elsewhere_and_one_that_is_gone_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, root = tmp_path / "mine", tmp_path / "root"
    folder.mkdir()
    weight = numpy_helper.from_array(np.ones((4, 3), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [weight],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "mine.onnx")
    monkeypatch.chdir(folder)
    onnx_from_source(resolve("mine.onnx", input_shape=None, weights=None), precision=Precision.FP16, root=root)
    monkeypatch.chdir(tmp_path)
    (found,) = exported_sources(root)
    assert (found.name, found.reference) == ("mine", str(folder / "mine.onnx"))
    (folder / "mine.onnx").unlink()
    (root / "engines" / "onnx" / "damaged.json").write_text("{")
    said: list[str] = []
    assert exported_sources(root, say=said.append) == ()
    assert [word for word in ("damaged.json", "mine was exported") if word not in "".join(said)] == []
    assert len(said) == 2, "a warning for each network, not for each of its files"


def test_pytorch_does_not_run_onnx_files(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"never read")
    source = resolve(str(path), input_shape=None, weights=None)
    case = cases_of(sources=(source,), backends=("pytorch",))
    with pytest.raises(UsageError, match="not ONNX files"):
        list(measure_cases(case, root=tmp_path, progress=Silent()))


def test_a_factory_is_exported_once_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets_made_once.py").write_text("import torch\ndef net(): return torch.nn.Linear(4, 2)\n")
    source = resolve("nets_made_once:net", input_shape=(4,), weights=None)
    plan = MeasurementPlan(trials=1, memory_trials=1, warmup_s=0.01, min_time_s=0.01, max_time_s=0.02)
    cases = cases_of(sources=(source,), batches=(1, 2), plan=plan)
    said: list[str] = []

    class Listening(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    outcomes = list(measure_cases(cases, root=tmp_path, progress=Listening()))
    assert [outcome.record.status for outcome in outcomes] == [Status.OK] * 2
    assert len([text for text in said if "exporting" in text]) == 1


def process(pass_: Pass, at: str, number: int = 0) -> Trial:
    evidence = Evidence(backend="onnxruntime", device="cpu", providers=(), threads=1)
    return Trial(number=number, pass_=pass_, started_at=at, duration_s=1.0, evidence=evidence)


def test_a_record_starts_with_its_first_timed_process_and_knows_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cases are prepared long before they are measured, and are complete in any order."""
    timed = (
        process(Pass.CHECK, "2031-01-01T00:00:00.000+00:00"),
        process(Pass.TIMING, "2031-01-02T00:00:09.750+00:00", 1),
        process(Pass.TIMING, "2031-01-02T00:00:05.250+00:00"),
        process(Pass.MEMORY, "2031-01-02T00:00:01.000+00:00"),
    )

    def results(
        requests: Sequence[CaseRequest], keep: Callable[[int, CaseResult], Outcome], **_: Any
    ) -> Iterator[Outcome]:
        assert len(requests) == 3
        wrong = MeasurementError("the outputs are wrong")
        yield keep(2, CaseResult(trials=timed[:1], error=wrong))
        yield keep(1, CaseResult(trials=(), error=wrong))
        yield keep(0, CaseResult(trials=timed))

    monkeypatch.setattr(schedule, "measure_in_turn", results)
    matrix = cases_of(precisions=(Precision.TF32, Precision.FP32), batches=(1, 2))[1:]  # the first cannot run
    matrix = (*matrix, *cases_of(batches=(3,)))
    outcomes = list(measure_cases(matrix, root=tmp_path, progress=Silent()))
    assert [outcome.place for outcome in outcomes] == [0, 3, 2, 1]
    assert [outcome.record.key.batch for outcome in outcomes] == [2, 3, 2, 1]
    started = [outcome.record.started_at for outcome in outcomes]
    assert started[1] == "2031-01-01T00:00:00+00:00", "no process was timed: the first of all"
    assert started[3] == "2031-01-02T00:00:05+00:00"
    assert started[0] < "2031"
    assert started[2] < "2031", "no process ran: the time of preparation"


def test_both_sides_are_captured_with_the_clocks_that_the_run_locks() -> None:
    (case,) = cases_of(plan=replace(MeasurementPlan(), locked_clocks="1410 MHz"))
    (record,) = plan_cases([case])
    assert record.environment.hardware["gpu_clocks"] == "locked, 1410 MHz"
    other = environment_of((sys.executable,), locked_clocks="1410 MHz")
    assert other.hardware["gpu_clocks"] == "locked, 1410 MHz"
