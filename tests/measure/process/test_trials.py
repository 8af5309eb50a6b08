"""A trial is a process of its own: what it brings back, and every way in which it can die."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from acting import acting, let_workers_import_this

from benchbox.errors import ArtifactError, MeasurementError
from benchbox.measure.case import CaseRequest, CaseResult
from benchbox.measure.process import trials
from benchbox.measure.process.trials import TrialRequest, run_trial
from benchbox.measure.process.worker import failure_from_error
from benchbox.measure.schedule import drawn_anew, measure_in_turn
from benchbox.models.sources import resolve
from benchbox.progress import Progress
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.trial import Pass, Trial

LENET = resolve("lenet5", input_shape=None, weights=None)
PLAN = MeasurementPlan(
    threads=1, trials=2, memory_trials=2, warmup_s=0.01, min_time_s=0.02, max_time_s=0.05, timeout_s=60.0
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trials")


@pytest.fixture(scope="module")
def lenet_artifact(root: Path, exports: Any) -> OnnxArtifact:
    return exports.copy_to(root, "lenet5")  # type: ignore[no-any-return]


def trial_request(artifact: OnnxArtifact, root: Path, purpose: Pass, backend: str = "onnxruntime") -> TrialRequest:
    return TrialRequest(
        pass_=purpose, number=0, backend=backend, precision=Precision.FP32, plan=PLAN, artifact=artifact,
        source=LENET, root=root,
    )  # fmt: skip


@pytest.mark.parametrize("backend", ["onnxruntime", pytest.param("pytorch", marks=pytest.mark.nightly)])
def test_each_pass_brings_back_its_own(backend: str, lenet_artifact: OnnxArtifact, root: Path) -> None:
    purposes = (Pass.CHECK, Pass.TIMING, Pass.MEMORY)
    check, timing, memory = (run_trial(trial_request(lenet_artifact, root, purpose, backend)) for purpose in purposes)
    assert check.hop is not None
    assert check.hop.passed
    assert (check.hop.source, check.hop.target) == ("pytorch-fp32", f"{backend}-fp32")
    assert check.evidence.executed == {"fp32": 4}
    assert check.samples_ns == ()
    assert len(timing.samples_ns) >= 3
    assert len(timing.warmup_ns) >= 2, "ten where they do not take longer than the longest measurement"
    assert timing.window_ns >= sum(timing.samples_ns)
    assert timing.peak_host_bytes is None
    assert timing.evidence.executed is None, "a timed session is never opened for inspection"
    assert timing.counters["window_s"] > 0
    assert memory.samples_ns == ()
    assert memory.peak_host_bytes is not None
    assert memory.peak_host_bytes > 20_000_000
    assert len({check.started_at, timing.started_at, memory.started_at}) == 3


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_any_batch_is_checked_against_the_same_samples(batch: int, lenet_artifact: OnnxArtifact, root: Path) -> None:
    request = trial_request(lenet_artifact, root, Pass.CHECK)
    trial = run_trial(dataclasses.replace(request, plan=dataclasses.replace(PLAN, batch=batch)))
    assert trial.hop is not None
    assert trial.hop.passed
    assert trial.hop.rel_l2_error < 1e-5


@pytest.fixture
def ways(tmp_path: Path, exports: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    let_workers_import_this(monkeypatch)
    exports.copy_to(tmp_path, "lenet5")
    return tmp_path


def dying(way: str, artifact: OnnxArtifact, folder: Path, *, timeout_s: float = 60.0) -> TrialRequest:
    request = trial_request(artifact, folder, Pass.CHECK)
    return acting(dataclasses.replace(request, plan=dataclasses.replace(PLAN, timeout_s=timeout_s)), way)


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("abort", "SIGABRT"),
        ("segfault", "SIGSEGV"),
        ("killed", "memory"),
        ("leave", "exit status 3"),
        ("memory", "out of memory"),
        ("error", "layer 7 is broken"),
    ],
)
def test_every_death_is_told(way: str, words: str, lenet_artifact: OnnxArtifact, ways: Path) -> None:
    with pytest.raises(MeasurementError, match=words):
        run_trial(dying(way, lenet_artifact, ways))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "ran out of memory"),
        (RuntimeError("[ONNXRuntimeError] : Failed to allocate memory\nfor requested buffer"), "ran out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "ran out of memory"),
        (RuntimeError("std::bad_alloc"), "ran out of memory"),
        (ValueError("shapes do not fit"), "failed while it ran"),
    ],
)
def test_running_out_of_memory_is_recognised(error: Exception, words: str) -> None:
    assert words in failure_from_error(error).what


def test_a_hanging_worker_is_killed_at_its_timeout(lenet_artifact: OnnxArtifact, ways: Path) -> None:
    with pytest.raises(MeasurementError, match="longer than 5 s"):
        run_trial(dying("hang", lenet_artifact, ways, timeout_s=5.0))


def test_what_a_worker_started_dies_with_it(lenet_artifact: OnnxArtifact, ways: Path) -> None:
    with pytest.raises(MeasurementError):
        run_trial(dying("orphan", lenet_artifact, ways))
    pid = int((ways / "child.pid").read_text())
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_words_on_standard_output_do_no_harm(lenet_artifact: OnnxArtifact, ways: Path) -> None:
    trial = run_trial(dying("chatter", lenet_artifact, ways))
    assert trial.hop is not None
    assert trial.hop.passed


def test_interrupting_the_parent_kills_the_worker(lenet_artifact: OnnxArtifact, ways: Path) -> None:
    """Ctrl-C in the middle of a trial: the parent ends with KeyboardInterrupt, nothing of the worker is left."""
    (ways / "request.pickle").write_bytes(pickle.dumps(trial_request(lenet_artifact, ways, Pass.CHECK)))
    script = (
        "import pathlib, pickle\n"
        "from acting import acting\n"
        "from benchbox.measure.process.trials import run_trial\n"
        "run_trial(acting(pickle.loads(pathlib.Path('request.pickle').read_bytes()), 'child'))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ways, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (ways / "child.pid").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    parent.send_signal(signal.SIGINT)
    _, err = parent.communicate(timeout=30)
    assert b"KeyboardInterrupt" in err
    pid = int((ways / "child.pid").read_text())
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(pid)


def test_a_trial_may_be_run_by_a_thread(lenet_artifact: OnnxArtifact, root: Path) -> None:
    """The kernel kills a worker when the thread that started it ends: that thread waits for the worker's end."""
    request = TrialRequest(
        pass_=Pass.CHECK, number=0, backend="onnxruntime", precision=Precision.FP32, plan=PLAN,
        artifact=lenet_artifact, source=LENET, root=root,
    )  # fmt: skip
    found: list[Trial] = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: found.append(run_trial(request)))
        thread.start()
        thread.join(timeout=120)
    assert [trial.pass_ for trial in found] == [Pass.CHECK, Pass.CHECK]


def test_a_worker_that_reports_progress_gets_its_timeout_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that only waiting moves: twelve steps of a second within a timeout of three, then none."""
    now_s, told = [0.0], []

    def wait(seconds: float) -> None:
        now_s[0] += seconds
        if now_s[0] <= 12:
            trials.write_progress(tmp_path, now_s[0])

    monkeypatch.setattr(trials, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    (tmp_path / "log").touch()
    request = SimpleNamespace(timeout_s=3.0)
    with pytest.raises(MeasurementError, match="timeout") as caught:
        trials._waited_for(wait, request, tmp_path, told.append)  # type: ignore[arg-type]
    assert told == list(range(1, 13))
    assert "no further than step 12 for 3 s" in caught.value.values
    assert now_s[0] == 15


def case_request(artifact: OnnxArtifact, root: Path, **fields: object) -> CaseRequest:
    request = CaseRequest(
        backend="onnxruntime", precision=Precision.FP32, plan=PLAN, artifact=artifact, source=LENET, root=root,
        flops=13_095_460,
    )  # fmt: skip
    return dataclasses.replace(request, **fields)  # type: ignore[arg-type]


def result_from_case(request: CaseRequest, *, progress: Progress) -> CaseResult:
    ((_, result),) = measure_in_turn(
        [request], order=drawn_anew(0), progress=progress, keep=lambda place, result: (place, result)
    )
    return result


def test_a_case_is_check_then_time_then_memory(lenet_artifact: OnnxArtifact, root: Path) -> None:
    steps: list[tuple[float, float, str]] = []
    result = result_from_case(
        case_request(lenet_artifact, root), progress=lambda done, total, text: steps.append((done, total, text))
    )
    assert result.error is None
    assert [trial.pass_ for trial in result.trials] == [Pass.CHECK, *[Pass.TIMING] * 2, *[Pass.MEMORY] * 2]
    assert result.correctness.passed is True
    assert [done for done, _, _ in steps] == [0, 1, 2, 3, 5], "memory is one step"
    assert {total for _, total, _ in steps} == {5}
    assert {reading.n for reading in result.readings} == {2}


def test_wrong_outputs_have_no_numbers(lenet_artifact: OnnxArtifact, root: Path) -> None:
    with np.load(root / lenet_artifact.expected_path) as stored:
        wrong = {name: stored[name] + 1 for name in stored.files}
    np.savez(root / "wrong.npz", **wrong)
    bent = dataclasses.replace(lenet_artifact, expected_path="wrong.npz")
    result = result_from_case(case_request(bent, root), progress=lambda *_: None)
    assert isinstance(result.error, ArtifactError)
    assert result.readings == ()
    assert result.correctness.passed is False
    assert [trial.pass_ for trial in result.trials] == [Pass.CHECK]


def test_the_null_backend_walks_through_all_of_it(lenet_artifact: OnnxArtifact, root: Path) -> None:
    plan = dataclasses.replace(PLAN, min_time_s=0.5, max_time_s=5.0)
    result = result_from_case(case_request(lenet_artifact, root, backend="null", plan=plan), progress=lambda *_: None)
    p50 = next(reading for reading in result.readings if reading.metric == "latency_p50")
    assert p50.value == pytest.approx(1e-3, rel=0.01)
    assert result.correctness.passed is None
    assert "VIRTUAL_CLOCK" in {flag.code for flag in result.flags}
    assert os.environ.get("OMP_NUM_THREADS") != "1", "the parent's own environment is not touched"
