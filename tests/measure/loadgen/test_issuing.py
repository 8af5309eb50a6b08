"""The real LoadGen around pretended sessions: its words against ours, scipy's and the arithmetic of each scenario."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchbox.errors import EnvironmentLackError, MeasurementError
from benchbox.measure.loadgen import issuing as loadgen
from benchbox.measure.loadgen.issuing import loadgen_floor_ns, run_loadgen
from benchbox.measure.loadgen.logs import DETAIL, TRACE, RunFacts, facts_from_detail, times_from_trace
from benchbox.schema.plan import LOADGEN_MODES, MeasurementPlan, Mode
from benchbox.stats.quantile import percentile

INFERENCE_S = 0.0005
TYPICAL_NS = 600_000.0


class Sleeping:
    """A session whose inference sleeps; the one at ``stalls_at`` for ``stall_s``, the one at ``fails_at`` raises."""

    def __init__(self, *, stalls_at: int = 0, stall_s: float = 0.0, fails_at: int = 0) -> None:
        self.slots: list[int] = []
        self._stalls_at, self._stall_s, self._fails_at = stalls_at, stall_s, fails_at

    def enqueue(self, slot: int) -> None:
        self.slots.append(slot)
        if len(self.slots) == self._fails_at:
            raise RuntimeError("layer 7 is broken")
        time.sleep(self._stall_s if len(self.slots) == self._stalls_at else INFERENCE_S)


def plan(mode: Mode, **fields: Any) -> MeasurementPlan:
    values = {"streams": 1, "min_time_s": 0.1, "max_time_s": 0.4, "rate_per_s": 500.0, "input_slots": 4}
    return MeasurementPlan(mode=mode, **{**values, **fields})


def run(session: Any, wanted: MeasurementPlan, *, number: int = 0) -> loadgen.Loaded:
    return run_loadgen([session], wanted, number=number, typical_ns=TYPICAL_NS)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[RunFacts]:
    """Everything that LoadGen says, run by run."""
    heard: list[RunFacts] = []

    def listening(folder: Path) -> RunFacts:
        heard.append(facts_from_detail(folder))
        return heard[-1]

    monkeypatch.setattr(loadgen, "facts_from_detail", listening)
    return heard


def early_stopping_by_scipy(times: np.ndarray, probability: float) -> int | None:
    """LoadGen's rule: with the most t for which at most t of n samples lie above the true percentile in less than 1 %
    of all runs, the t-th largest sample."""
    count = len(times)
    allowed = [t for t in range(1, count) if stats.binom.cdf(t, count, 1 - probability) < 0.01]
    return int(np.sort(times)[count - max(allowed)]) if allowed else None


def test_single_stream_is_what_loadgen_says(told: list[RunFacts]) -> None:
    session = Sleeping()
    found = run(session, plan(Mode.SINGLE_STREAM, max_time_s=60.0))
    times, (words,) = found.times_ns, told
    assert len(times) == len(session.slots) == words.facts["result_query_count"] >= loadgen.QUERIES_FOR_P90
    assert found.run.samples == len(times)
    assert times.min() >= INFERENCE_S * 1e9
    ordered = sorted(times.tolist())
    for share in (0.50, 0.90, 0.95, 0.97, 0.99, 0.999):
        assert percentile(ordered, share) == words.facts[f"result_{100 * share:.2f}_percentile_latency_ns"]
    assert (ordered[0], ordered[-1]) == (
        words.facts["result_min_latency_ns"],
        words.facts["result_max_latency_ns"],
    )
    assert sum(ordered) // len(ordered) == words.facts["result_mean_latency_ns"]
    assert found.window_ns >= sum(ordered), "one query after another"
    assert found.run.completed_per_s == pytest.approx(len(times) / (found.window_ns * 1e-9))
    assert set(session.slots) == {0, 1, 2, 3}, "drawn from all inputs"
    assert found.run.valid
    assert found.run.reasons == ()
    assert found.stopped_by == "loadgen"
    assert (found.run.offered_per_s, found.run.over_bound) == (None, None)


def test_the_early_stopping_estimate_is_that_of_the_binomial_distribution() -> None:
    single = run(Sleeping(), plan(Mode.SINGLE_STREAM, min_samples=150, max_time_s=60.0))
    estimate = early_stopping_by_scipy(single.times_ns, 0.90)
    assert estimate is not None
    assert single.run.early_stopping_s == pytest.approx(estimate * 1e-9, rel=1e-12)
    assert single.run.early_stopping_percentile == 0.90
    multi = run(_Quick(), plan(Mode.MULTI_STREAM, streams=2, max_time_s=60.0))
    assert len(multi.times_ns) >= loadgen.QUERIES_FOR_P99
    estimate = early_stopping_by_scipy(multi.times_ns, 0.99)
    assert estimate is not None
    assert multi.run.early_stopping_s == pytest.approx(estimate * 1e-9, rel=1e-12)
    assert multi.run.early_stopping_percentile == 0.99
    few = (loadgen.QUERIES_FOR_P90, 0.90), (loadgen.QUERIES_FOR_P99, 0.99)
    for count, probability in few:
        assert early_stopping_by_scipy(np.arange(count), probability) == count - 1
        assert early_stopping_by_scipy(np.arange(count - 1), probability) is None


class _Quick:
    """A session whose inferences take next to nothing, and differ."""

    def __init__(self) -> None:
        self._draw = np.random.default_rng(3)

    def enqueue(self, slot: int) -> None:
        sum(range(int(self._draw.integers(10, 2000))))


@pytest.mark.parametrize(("batch", "inferences"), [(1, 8), (4, 2), (8, 1)])
def test_a_query_of_multi_stream_is_so_many_batches_in_a_row(batch: int, inferences: int, told: list[RunFacts]) -> None:
    session = Sleeping()
    found = run(session, plan(Mode.MULTI_STREAM, streams=8, batch=batch, max_time_s=0.2))
    queries = len(found.times_ns)
    assert len(session.slots) == queries * inferences
    assert max(session.slots) < 4
    assert found.run.samples == 8 * queries
    assert found.times_ns.min() >= inferences * INFERENCE_S * 1e9
    assert found.run.completed_per_s == pytest.approx(8 * queries / (found.window_ns * 1e-9))
    ordered = sorted(found.times_ns.tolist())
    assert percentile(ordered, 0.99) == told[0].facts["result_99.00_percentile_per_query_latency_ns"]


def test_too_few_queries_are_invalid_in_loadgens_words() -> None:
    found = run(Sleeping(), plan(Mode.MULTI_STREAM, streams=8, max_time_s=0.1))
    assert not found.run.valid
    assert found.stopped_by == "max_time"
    assert found.run.early_stopping_s is None
    assert "Need to process at least 662 queries" in " ".join(found.run.reasons)


@pytest.mark.parametrize("batch", [1, 3])
def test_offline_is_one_query_without_times_of_samples(batch: int, told: list[RunFacts]) -> None:
    session = Sleeping()
    found = run(session, plan(Mode.OFFLINE, batch=batch))
    assert len(found.times_ns) == 0
    assert len(session.slots) == -(-found.run.samples // batch), "the last batch is padded"
    assert found.window_ns >= len(session.slots) * INFERENCE_S * 1e9
    assert found.run.completed_per_s == pytest.approx(found.run.samples / (found.window_ns * 1e-9))
    assert found.run.completed_per_s == pytest.approx(told[0].facts["result_samples_per_second"], rel=1e-4)
    assert found.run.valid, "it took longer than the least time"


def test_a_slow_network_gets_a_query_that_ends_in_time() -> None:
    session = Sleeping()
    wanted = plan(Mode.OFFLINE, min_samples=30, min_time_s=0.02, max_time_s=0.02)
    run_loadgen([session], wanted, number=0, typical_ns=10e6)  # seemingly 10 ms: two fit
    assert len(session.slots) <= 3


def test_server_is_what_loadgen_says(told: list[RunFacts]) -> None:
    session = Sleeping()
    found = run(session, plan(Mode.SERVER, latency_bound_s=0.001))
    (words,) = told
    assert len(found.times_ns) == len(session.slots) == words.facts["result_query_count"]
    assert found.run.offered_per_s == pytest.approx(words.facts["result_scheduled_samples_per_sec"], rel=1e-4)
    assert found.run.completed_per_s == pytest.approx(words.facts["result_completed_samples_per_sec"], rel=1e-4)
    assert found.run.over_bound == words.facts["result_overlatency_query_count"]
    assert found.run.over_bound == int((found.times_ns > 1_000_000).sum())
    ordered = sorted(found.times_ns.tolist())
    assert percentile(ordered, 0.99) == words.facts["result_99.00_percentile_latency_ns"]
    assert found.run.early_stopping_s is None


def test_waiting_counts_from_the_scheduled_time() -> None:
    """A closed loop would show one slow sample: the one that stalled. Those that arrived meanwhile waited as well."""
    session = Sleeping(stalls_at=10, stall_s=0.1)
    found = run(session, plan(Mode.SERVER, rate_per_s=400.0))
    assert (found.times_ns > 20_000_000).sum() >= 10, "0.08 s at 400/s"
    assert found.run.over_bound is None, "no bound, no share over it"


def test_arrivals_are_drawn_from_the_seed_and_the_trial() -> None:
    wanted = plan(Mode.SERVER, rate_per_s=2000.0, max_time_s=60.0)
    sessions = [Sleeping() for _ in range(3)]
    pairs = zip(sessions, (0, 0, 1), strict=True)
    runs = [run_loadgen([session], wanted, number=number, typical_ns=1000.0) for session, number in pairs]  # type: ignore[list-item]
    assert runs[0].run.offered_per_s == runs[1].run.offered_per_s != runs[2].run.offered_per_s
    assert sessions[0].slots == sessions[1].slots != sessions[2].slots
    assert runs[0].run.offered_per_s == pytest.approx(2000, rel=0.25), "Poisson: 662 arrivals scatter by 4 %"


def test_several_sessions_serve_one_queue() -> None:
    sessions = [Sleeping() for _ in range(3)]
    wanted = plan(Mode.SERVER, streams=3, rate_per_s=3000.0)
    found = run_loadgen(sessions, wanted, number=0, typical_ns=TYPICAL_NS / 3)  # type: ignore[arg-type]
    assert all(session.slots for session in sessions)
    assert sum(len(session.slots) for session in sessions) == found.run.samples == len(found.times_ns)


def test_a_hopeless_rate_ends_and_says_so() -> None:
    session = Sleeping()
    found = run(session, plan(Mode.SERVER, rate_per_s=20_000.0, min_time_s=2.0, max_time_s=2.0, latency_bound_s=0.01))
    assert found.stopped_by == "overload"
    assert not found.run.valid
    assert len(session.slots) == len(found.times_ns) < 20_000
    assert found.run.completed_per_s < 0.5 * (found.run.offered_per_s or 0)


@pytest.mark.parametrize("mode", sorted(LOADGEN_MODES))
@pytest.mark.parametrize("fails_at", [1, 9])
def test_an_error_of_a_session_comes_out_and_the_run_ends(mode: Mode, fails_at: int) -> None:
    session = Sleeping(fails_at=fails_at)
    with pytest.raises(RuntimeError, match="layer 7 is broken"):
        run(session, plan(mode))
    assert len(session.slots) == fails_at
    assert len(run(Sleeping(), plan(mode)).run.version.split(".")) == 3, "LoadGen can be used again"


@pytest.mark.parametrize("mode", sorted(LOADGEN_MODES))
def test_the_floor_of_a_scenario_is_more_than_nothing(mode: Mode) -> None:
    assert loadgen_floor_ns(plan(mode, batch=1)) > 0


def test_the_clock_was_not_set_meanwhile() -> None:
    assert abs(run(Sleeping(), plan(Mode.SINGLE_STREAM)).run.clock_off_s) < 1.0


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EnvironmentLackError, match=r"pip install 'benchbox\[loadgen\]'"):
        run(Sleeping(), plan(Mode.OFFLINE))


def test_logs_that_are_not_there(tmp_path: Path) -> None:
    for read in (facts_from_detail, times_from_trace):
        with pytest.raises(MeasurementError, match="LoadGen"):
            read(tmp_path)
    (tmp_path / DETAIL).write_text("noise\n")
    (tmp_path / TRACE).write_text("noise\n")
    for read in (facts_from_detail, times_from_trace):
        with pytest.raises(MeasurementError, match="is the disk full"):
            read(tmp_path)


def test_a_trace_by_hand(tmp_path: Path) -> None:
    line = (
        '{{"name":"Sample","cat":"default","ph":"b","pid":1,"id":0,"ts":{ts},"args":{{"sample_seq":{sample},'
        '"query_seq":{query},"sample_idx":0,"issue_start_ns":{issued},"complete_ns":{done}}}}},'
    )
    rows = [
        {"ts": "20.500", "sample": 2, "query": 1, "issued": 7, "done": 900},
        {"ts": "10.001", "sample": 0, "query": 0, "issued": 5, "done": 700},
        {"ts": "10.001", "sample": 1, "query": 0, "issued": 5, "done": 300},
    ]
    (tmp_path / TRACE).write_text("\n".join(line.format(**row) for row in rows))
    times = times_from_trace(tmp_path)
    assert times.scheduled_ns.tolist() == [10_001, 20_500]
    assert times.times_ns.tolist() == [700, 900], "a query is done with its last sample"
    assert times.done_ns.tolist() == [10_701, 21_400]
    assert times.first_issue_ns == 10_006
