"""Processes that take turns: only one works at a time, and whatever ends one of them, the others do not wait."""

from __future__ import annotations

import dataclasses
import itertools
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from acting import acting, let_workers_import_this

from benchbox.errors import BenchboxError, MeasurementError, StoreError
from benchbox.measure.loop.timing import Block
from benchbox.measure.loop.turns import TURNS, Turn, taking_turns
from benchbox.measure.process import together
from benchbox.measure.process.together import run_trials_together
from benchbox.measure.process.trials import TrialRequest, WorkerHungError, answer_of
from benchbox.models.sources import resolve
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.trial import Pass, Trial

LENET = resolve("lenet5", input_shape=None, weights=None)
PLAN = MeasurementPlan(
    threads=1, trials=2, memory_trials=0, warmup_s=0.01, warmup_max_s=0.1, min_time_s=0.3, max_time_s=0.3,
    turn_s=0.05, timeout_s=60.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("together")


@pytest.fixture(scope="module")
def artifact(root: Path, exports: Any) -> OnnxArtifact:
    return exports.copy_to(root, "lenet5")  # type: ignore[no-any-return]


def request(artifact: OnnxArtifact, root: Path, **fields: Any) -> TrialRequest:
    return dataclasses.replace(
        TrialRequest(
            pass_=Pass.TIMING, number=0, backend="onnxruntime", precision=Precision.FP32, plan=PLAN, artifact=artifact,
            source=LENET, root=root,
        ),
        **fields,
    )  # fmt: skip


@pytest.mark.parametrize("sides", [2, 3])
def test_all_bring_back_their_trials_and_had_their_turns(
    sides: int, artifact: OnnxArtifact, root: Path, tmp_path: Path
) -> None:
    begin = time.perf_counter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path))
        found = run_trials_together([request(artifact, root, number=place) for place in range(sides)])
    wall_s = time.perf_counter() - begin
    trials = [one for one in found if isinstance(one, Trial)]
    assert [one.number for one in trials] == list(range(sides))
    for one in trials:
        assert one.counters[TURNS] >= 2, "0.3 s in turns of 0.05 s: six where the machine does nothing else"
        assert len(one.samples_ns) >= 3
        # Its own time, without that of the others.
        assert one.counters["window_s"] < one.duration_s
    assert sum(one.duration_s for one in trials) <= wall_s
    assert not list(tmp_path.iterdir()), "the FIFOs are gone"


class _Clock:
    """An issuer on a clock of its own that writes down who works, and from when to when."""

    def __init__(self, name: str, log: list[tuple[str, float, float]]) -> None:
        self.name, self.log = name, log
        self.now_ns = time.perf_counter_ns

    def block(self, count: int) -> Block:
        begin = time.perf_counter()
        time.sleep(0.002)
        self.log.append((self.name, begin, time.perf_counter()))
        return Block(times_ns=[1] * count, window_ns=count)  # type: ignore[arg-type]


def test_only_one_works_at_a_time_and_clocks_stand_meanwhile(tmp_path: Path) -> None:
    turns = [Turn(folder=tmp_path, place=place, of=2) for place in range(2)]
    for one in turns:
        os.mkfifo(one.fifo(one.place))
    log: list[tuple[str, float, float]] = []
    spans: dict[str, tuple[float, float]] = {}

    def work(name: str, turn: Turn) -> None:
        with taking_turns(tuple(turn)) as mine:  # type: ignore[arg-type]
            assert mine is not None
            plain = _Clock(name, log)
            issuer = mine.around(plain)
            begin, own = time.perf_counter(), issuer.now_ns()
            for _ in range(5):
                issuer.block(1)
                mine.change(issuer, typical_ns=1e6)
            spans[name] = (time.perf_counter() - begin, (issuer.now_ns() - own) * 1e-9)

    threads = [threading.Thread(target=work, args=entry) for entry in zip("ab", turns, strict=True)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    assert not log, "nobody has the turn yet"
    with turns[0].fifo(0).open("wb", buffering=0) as first:
        first.write(b"t")
        for thread in threads:
            thread.join(timeout=30)
    assert [name for name, *_ in log[:6]] == ["a", "b", "a", "a", "b", "b"], "after a return one block warms up"
    ordered = sorted(log, key=lambda entry: entry[1])
    assert all(one[2] <= two[1] for one, two in itertools.pairwise(ordered))
    for wall_s, own_s in spans.values():
        assert own_s < wall_s


def test_a_process_that_takes_no_turns_waits_for_none() -> None:
    with taking_turns(None) as mine:
        assert mine is None


@pytest.mark.parametrize(
    ("place", "way", "words"), [(0, "killed", "SIGKILL"), (1, "killed", "SIGKILL"), (1, "leave", "status 3")]
)
def test_where_one_ends_early_the_other_is_ended_too_and_not_blamed(
    place: int, way: str, words: str, artifact: OnnxArtifact, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_workers_import_this(monkeypatch)
    asked = [request(artifact, root) for _ in range(2)]
    asked[place] = acting(asked[place], way)
    found = run_trials_together(asked)
    assert found[1 - place] is None
    assert isinstance(found[place], MeasurementError)
    assert words in str(found[place])


# The second hangs when its turn comes, which is when the first is warm.
@pytest.mark.parametrize(("place", "timeout_s"), [(0, 2.0), pytest.param(1, 8.0, marks=pytest.mark.nightly)])
def test_of_two_that_get_no_further_the_one_whose_turn_it_is_is_blamed(
    place: int, timeout_s: float, artifact: OnnxArtifact, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_workers_import_this(monkeypatch)
    plan = dataclasses.replace(PLAN, timeout_s=timeout_s)  # of each
    asked = [request(artifact, root, plan=plan) for _ in range(2)]
    asked[place] = acting(asked[place], "hang")
    found = run_trials_together(asked)
    assert found[1 - place] is None
    assert isinstance(found[place], WorkerHungError)


def test_a_network_that_fails_is_the_error_of_its_side(
    artifact: OnnxArtifact, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_workers_import_this(monkeypatch)
    found = run_trials_together([acting(request(artifact, root), "error"), request(artifact, root)])
    assert isinstance(found[0], BenchboxError)
    assert "layer 7 is broken" in found[0].values
    assert found[1] is None


def test_a_process_of_an_older_benchbox_is_named(
    artifact: OnnxArtifact, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def older(folder: Path, status: int) -> Trial:
        answer = answer_of(folder, status)
        assert isinstance(answer, Trial)
        counters = {name: value for name, value in answer.counters.items() if name != TURNS}
        return dataclasses.replace(answer, counters=counters)

    monkeypatch.setattr(together, "answer_of", older)
    found = run_trials_together([request(artifact, root) for _ in range(2)])
    (error,) = [one for one in found if one is not None]
    assert isinstance(error, MeasurementError)
    assert error.what == "a process took no turns"
    assert "--ab-order ABBA" in error.remedy


def test_what_cannot_be_written_is_no_sides_error(artifact: OnnxArtifact, root: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
        with pytest.raises(StoreError, match="files of a worker"):
            run_trials_together([request(artifact, root)] * 2)
