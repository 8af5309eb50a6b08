"""Flags and metrics of LoadGen's modes, from trials made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builders import seen, trial

from benchbox.flags.case import flags_of
from benchbox.flags.loadgen import flags_of_loadgen
from benchbox.measure.loop.modes import mode_refusal, sessions_of
from benchbox.metrics.metric import METRICS
from benchbox.metrics.readings import readings_from_trials, sampling_from_trials
from benchbox.metrics.workload import workload_of
from benchbox.schema.loadgen import LoadgenRun
from benchbox.schema.plan import LOADGEN_MODES, MeasurementPlan, Mode
from benchbox.schema.reading import Severity
from benchbox.schema.trial import Trial

LEVEL = tuple(np.random.default_rng(5).normal(1e6, 5e3, 400).astype(int).tolist())
GROWING = tuple(range(1_000_000, 401_000_000, 1_000_000))


def loaded(number: int = 0, *, load: dict[str, Any] | None = None, **fields: Any) -> Trial:
    run = {"version": "6.0.17", "samples": 400, "completed_per_s": 1000.0, "valid": True, **(load or {})}
    return trial(number=number, **{"samples_ns": LEVEL, "floor_ns": 3000, "loadgen": LoadgenRun(**run), **fields})


def codes(*trials: Trial, mode: Mode = Mode.SERVER, **plan: Any) -> dict[str, Severity]:
    found = flags_of_loadgen(trials, MeasurementPlan(mode=mode, **plan))
    return {flag.code: flag.severity for flag in found}


def test_a_good_run_only_says_that_it_is_no_mlperf_result() -> None:
    assert codes(loaded(load={"offered_per_s": 1001.0})) == {"NOT_MLPERF": Severity.INFO}
    assert codes(trial()) == {}, "other modes have nothing to do with it"


def test_loadgens_verdict_is_passed_on_in_its_words() -> None:
    against = loaded(load={"valid": False, "reasons": ("Only processed 25 queries.",)}, stopped_by="max_time")
    trials = [loaded(), against]
    found = {flag.code: flag for flag in flags_of_loadgen(trials, MeasurementPlan(mode=Mode.MULTI_STREAM))}
    assert found["LOADGEN_INVALID"].severity is Severity.WARNING
    assert found["LOADGEN_INVALID"].message == (
        "LoadGen reports 1 of 2 runs as invalid: Only processed 25 queries; use a longer --max-time"
    )
    assert "LOADGEN_INVALID" not in codes(loaded(), loaded(1))


@pytest.mark.parametrize(("off_s", "raised"), [(0.5, True), (-0.5, True), (0.015, False), (-0.015, False)])
def test_a_clock_that_steps_voids_the_numbers(off_s: float, raised: bool) -> None:
    found = codes(loaded(load={"clock_off_s": off_s}), loaded(1))
    assert (found.get("CLOCK_STEPPED") is Severity.ERROR) is raised


def test_falling_behind_is_flagged() -> None:
    behind = {"offered_per_s": 1000.0, "completed_per_s": 600.0}
    assert codes(loaded(load=behind, samples_ns=GROWING))["OVERLOADED"] is Severity.WARNING
    assert "OVERLOADED" not in codes(loaded(load=behind)), "only the last samples were late"
    even = {"offered_per_s": 1000.0, "completed_per_s": 990.0}
    assert "OVERLOADED" not in codes(loaded(load=even, samples_ns=GROWING))
    three = [loaded(load=behind, samples_ns=GROWING), loaded(1, load=even), loaded(2, load=even)]
    assert "OVERLOADED" not in codes(*three), "in one of three processes only"


def test_near_the_floor_of_the_scenario() -> None:
    near = loaded(samples_ns=(), floor_ns=200_000)
    assert "NEAR_FLOOR" in codes(near, mode=Mode.OFFLINE)
    assert "NEAR_FLOOR" not in codes(near, mode=Mode.OFFLINE, batch=8), "the inference takes eight times as long"
    for mode in (Mode.SINGLE_STREAM, Mode.MULTI_STREAM, Mode.SERVER):
        plan = MeasurementPlan(threads=2, mode=mode)
        for floor_ns, raised in ((200_000, True), (2_000, False)):
            found = {flag.code for flag in flags_of(seen([loaded(floor_ns=floor_ns)], plan=plan))}
            assert ("NEAR_FLOOR" in found) is raised


def test_waiting_that_varies_is_no_fault_of_a_machine() -> None:
    restless = [loaded(number, samples_ns=GROWING[::2] + GROWING[1::2]) for number in range(3)]
    server = {flag.code for flag in flags_of(seen(restless, plan=MeasurementPlan(threads=2, mode=Mode.SERVER)))}
    single = {flag.code for flag in flags_of(seen(restless, plan=MeasurementPlan(threads=2, mode=Mode.SINGLE_STREAM)))}
    assert not server & {"NOISY", "BIMODAL", "DRIFT", "LEVEL_SHIFT"}
    assert "NOISY" in single


def readings(trials: list[Trial], plan: MeasurementPlan) -> dict[str, Any]:
    return {reading.metric: reading for reading in readings_from_trials(trials, workload_of(plan, flops=8_000))}


def test_offline_has_a_rate_and_no_latencies() -> None:
    trials = [loaded(number, samples_ns=()) for number in range(3)]
    plan = MeasurementPlan(threads=2, mode=Mode.OFFLINE, batch=4)
    found = readings(trials, plan)
    assert not [name for name in found if name.startswith("latency")]
    assert found["throughput"].value == pytest.approx(1000.0)
    assert found["achieved_flops"].value == pytest.approx(8_000 * 1000 / 4)
    sampling = sampling_from_trials(trials)
    assert sampling is not None
    assert (sampling.samples, sampling.severe_outliers) == (1200, 0)
    spread = [
        loaded(n, samples_ns=(), load={"completed_per_s": rate}) for n, rate in enumerate((900.0, 1000.0, 1100.0))
    ]
    given = readings_from_trials(spread, workload_of(plan, flops=8_000))
    miss = [flag for flag in flags_of(seen(spread, plan=plan, readings=given)) if flag.code == "WIDE_INTERVAL"]
    assert "throughput" in miss[0].message


def test_multi_stream_counts_the_samples_of_its_queries() -> None:
    plan = MeasurementPlan(mode=Mode.MULTI_STREAM, streams=8, batch=2)
    load = {"early_stopping_s": 0.002, "early_stopping_percentile": 0.99}
    found = readings([loaded(number, load=load) for number in range(3)], plan)
    assert found["latency_p50"].value == pytest.approx(1e-3, rel=0.01), "of a query"
    assert found["throughput"].value == pytest.approx(1000.0)
    assert found["achieved_flops"].value == pytest.approx(8_000 * 1000 / 2)
    assert found["latency_early_stopping"].value == pytest.approx(0.002)
    assert found["latency_early_stopping"].method == "p99, 99 % confidence"
    some = [loaded(load=load), loaded(1)]
    assert "latency_early_stopping" not in readings(some, plan), "one process had too few queries"


def test_server_tells_the_rate_and_the_share_over_the_bound() -> None:
    plan = MeasurementPlan(mode=Mode.SERVER, rate_per_s=1000.0)
    overs = (0, 4, 8)
    found = readings(
        [loaded(n, load={"offered_per_s": 1020.0, "over_bound": over}) for n, over in enumerate(overs)], plan
    )
    assert found["offered_rate"].value == pytest.approx(1020.0)
    share = found["over_bound_share"]
    assert share.value == pytest.approx(0.01)
    assert (share.n, share.unit) == (3, "1")
    assert share.high - share.value == pytest.approx(share.value - share.low), "Student's t on the shares"
    assert "achieved_flops" not in found, "the arrivals decide how much is done"
    never = readings([loaded(n, load={"offered_per_s": 1020.0, "over_bound": 0}) for n in range(3)], plan)
    assert (never["over_bound_share"].value, never["over_bound_share"].mde) == (0.0, None)
    assert "over_bound_share" not in readings([loaded(load={"offered_per_s": 1020.0})], plan), "no bound was given"


def test_single_stream_is_isolated_with_another_clock() -> None:
    single = readings([loaded()], MeasurementPlan(mode=Mode.SINGLE_STREAM))
    isolated = readings([trial(samples_ns=LEVEL)], MeasurementPlan())
    for metric in ("latency_p50", "latency_p90", "latency_p99", "latency_mean", "achieved_flops"):
        assert single[metric].value == isolated[metric].value
    assert {METRICS.get(name).better for name in single} == {METRICS.get(name).better for name in isolated}


@pytest.mark.parametrize(
    ("mode", "batch", "streams", "words"),
    [
        (Mode.SINGLE_STREAM, 1, 1, None),
        (Mode.SINGLE_STREAM, 8, 1, "queries have one sample"),
        (Mode.MULTI_STREAM, 8, 8, None),
        (Mode.MULTI_STREAM, 3, 8, "not a multiple of --batch 3"),
        (Mode.MULTI_STREAM, 16, 8, "not a multiple of --batch 16"),
        (Mode.OFFLINE, 5, 1, None),
        (Mode.SERVER, 5, 3, None),
    ],
)
def test_what_a_mode_is_refused_for(mode: Mode, batch: int, streams: int, words: str | None) -> None:
    for device in ("cpu", "cuda"):
        refusal = mode_refusal(mode, device=device, batch=batch, streams=streams)
        assert (words or "") in (refusal or ""), refusal
        assert (refusal is None) is (words is None)


def test_no_real_time_passes_on_a_virtual_clock() -> None:
    for mode in LOADGEN_MODES:
        assert "real time" in (mode_refusal(mode, device="virtual") or "")


def test_only_a_server_has_several_sessions() -> None:
    counts = {mode: sessions_of(MeasurementPlan(mode=mode, streams=3)) for mode in LOADGEN_MODES}
    assert counts == {Mode.SERVER: 3, Mode.OFFLINE: 1, Mode.SINGLE_STREAM: 1, Mode.MULTI_STREAM: 1}
