"""Workers that print, leave, turn into something else, or start what outlives them, in processes of their own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from acting import acting, let_workers_import_this

from benchbox.errors import MeasurementError, StoreError
from benchbox.measure.process import trials
from benchbox.measure.process.strays import MARK, end_strays, marked, new_mark
from benchbox.measure.process.trials import PARENT, TrialRequest, run_trial
from benchbox.measure.process.worker import failure_from_error
from benchbox.models.sources import resolve
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.trial import Pass, Trial

PLAN = MeasurementPlan(threads=1, warmup_s=0.01, min_time_s=0.02, max_time_s=0.05, timeout_s=120.0)


@pytest.fixture(scope="module")
def request_for(tmp_path_factory: pytest.TempPathFactory, exports: Any) -> Iterator[Callable[..., TrialRequest]]:
    root = tmp_path_factory.mktemp("workers")
    artifact = exports.copy_to(root, "lenet5")
    source = resolve("lenet5", input_shape=None, weights=None)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        let_workers_import_this(patch)

        def build(way: str, *, pass_: Pass = Pass.CHECK, timeout_s: float = 120.0) -> TrialRequest:
            request = TrialRequest(
                pass_=pass_,
                number=0,
                backend="onnxruntime",
                precision=Precision.FP32,
                plan=dataclasses.replace(PLAN, timeout_s=timeout_s),
                artifact=artifact,
                source=source,
                root=root,
            )
            return acting(request, way)

        yield build


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 30
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


@pytest.mark.parametrize("way", ["native_words", "closing", "much"])
def test_whatever_it_prints_or_closes_the_answer_comes(
    way: str, request_for: Callable[..., TrialRequest], capfd: pytest.CaptureFixture[str]
) -> None:
    trial = run_trial(request_for(way))
    assert trial.hop is not None
    assert trial.hop.passed
    assert capfd.readouterr() == ("", ""), "nothing of it reaches this process's output"


def test_printing_without_end_is_ended(
    request_for: Callable[..., TrialRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "MOST_PRINTED_BYTES", 1 << 20)
    with pytest.raises(MeasurementError, match="printed too much") as raised:
        run_trial(request_for("endless"))
    assert len(raised.value.values) < 3000


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("leaving", "exit status 0"),
        ("replaced", "I am somebody else"),
        ("replaced_by_a_thread", "a thread did it"),
    ],
)
def test_leaving_without_an_answer_is_told(way: str, words: str, request_for: Callable[..., TrialRequest]) -> None:
    with pytest.raises(MeasurementError, match="ended without an answer") as raised:
        run_trial(request_for(way))
    assert words in str(raised.value)


@pytest.mark.nightly
def test_a_thread_that_stays_hangs_and_is_killed(request_for: Callable[..., TrialRequest]) -> None:
    """The interpreter waits for its threads: the answer is there, but the process does not end."""
    with pytest.raises(MeasurementError, match="timeout"):
        run_trial(request_for("thread_that_stays", timeout_s=6.0))


@pytest.mark.parametrize("way", ["daemon", "forked"])
def test_what_left_the_process_group_dies_too(way: str, request_for: Callable[..., TrialRequest]) -> None:
    request = request_for(way)
    trial = run_trial(request)
    assert trial.hop is not None
    assert trial.hop.passed, "a child that stays does not spoil the answer"
    assert gone(int((request.root / f"{way}.pid").read_text()))


def test_temporary_files_of_a_worker_go_with_it(
    request_for: Callable[..., TrialRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is killed: ONNX Runtime's profile lies in a folder of its own then."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    request = dataclasses.replace(request_for("silent"), backend="onnxruntime")
    assert run_trial(request).hop is not None
    endless = dataclasses.replace(PLAN, timeout_s=2.0, min_samples=100_000_000)
    with pytest.raises(MeasurementError, match="timeout"):
        run_trial(dataclasses.replace(request, pass_=Pass.LAYERS, plan=endless))
    assert list(tmp_path.iterdir()) == []


def test_only_marked_processes_are_strays() -> None:
    mine, others = new_mark(), new_mark()
    assert mine != others
    with contextlib.ExitStack() as ending:
        children = []
        for mark in (mine, others):
            child = subprocess.Popen(["sleep", "100"], env={**os.environ, MARK: mark}, start_new_session=True)
            ending.callback(child.wait)
            ending.callback(child.kill)
            children.append(child)
        while not marked(mine) or not marked(others):
            time.sleep(0.01)  # between fork and exec a child has its parent's environment
        end_strays(mine)
        assert children[0].wait(30) == -signal.SIGKILL
        assert children[1].poll() is None
        assert marked(others) == (children[1].pid,)


def worker(folder: Path, request: TrialRequest, *, file_bytes: int | None = None, parent: int | None = None) -> int:
    """Runs a worker by hand and returns its exit status; no file that it writes may be larger than ``file_bytes``."""
    (folder / "request").write_bytes(pickle.dumps(request))

    def limit() -> None:
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    command = [sys.executable, "-P", "-m", "benchbox.measure.process.worker", str(folder)]
    environment = {**os.environ, PARENT: "" if parent is None else str(parent)}
    return subprocess.run(command, preexec_fn=limit, env=environment, check=False, timeout=120).returncode


@pytest.mark.parametrize(("file_bytes", "kind"), [(None, Trial), (900, StoreError)])
def test_an_answer_that_does_not_fit_on_the_disk_is_told(
    file_bytes: int | None, kind: type, request_for: Callable[..., TrialRequest], tmp_path: Path
) -> None:
    request = dataclasses.replace(request_for("silent", pass_=Pass.TIMING), backend="onnxruntime")
    assert worker(tmp_path, request, file_bytes=file_bytes) == 0
    answer = pickle.loads((tmp_path / "answer").read_bytes())
    assert isinstance(answer, kind)
    if isinstance(answer, StoreError):
        assert "File too large" in answer.values
        assert str(tmp_path) in answer.values
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".ses") == ["answer", "request"]


@pytest.mark.parametrize(
    ("parent", "answers"),
    [(None, True), (os.getpid(), True), (1 << 30, False)],
    ids=["no parent", "this parent", "another parent"],
)
def test_a_worker_whose_parent_is_gone_does_nothing(
    parent: int | None, answers: bool, request_for: Callable[..., TrialRequest], tmp_path: Path
) -> None:
    request = dataclasses.replace(request_for("silent", pass_=Pass.MEMORY), backend="null")
    assert worker(tmp_path, request, parent=parent) == 0
    assert (tmp_path / "answer").exists() is answers


def test_a_full_temporary_folder_is_told(
    request_for: Callable[..., TrialRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    request = request_for("silent")
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(StoreError, match="No space left"):
        run_trial(request)


@pytest.mark.parametrize(("number", "kind"), [(28, StoreError), (27, StoreError), (2, MeasurementError)])
def test_a_disk_that_fills_while_the_network_runs_is_told(number: int, kind: type) -> None:
    assert type(failure_from_error(OSError(number, os.strerror(number)))) is kind
