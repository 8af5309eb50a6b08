"""What the processes say together; each flag with a case that raises it and one that does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from builders import QUIET, evidence, seen, trial
from scipy import stats

from benchbox.backends.eight_bit import MAY_SATURATE, SUMS_OPTION
from benchbox.flags.case import flags_of
from benchbox.flags.energy import ENERGY_METRICS
from benchbox.flags.seen import Seen
from benchbox.metrics.metric import METRICS
from benchbox.metrics.probes import ARITHMETIC, counter_name
from benchbox.metrics.readings import readings_from_trials, sampling_from_trials
from benchbox.metrics.workload import Workload
from benchbox.schema.artifact import Hop
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.proof import OtherLayer, Proof
from benchbox.schema.reading import Better, Flag, Severity
from benchbox.schema.trial import Pass

WORKLOAD = Workload(batch=8, flops=2_000_000)


def test_metrics_by_hand() -> None:
    samples = tuple(range(1_000_000, 2_000_000, 10_000))
    timed = [
        trial(number=number, samples_ns=samples, window_ns=200_000_000, warmup_ns=(7_000_000, 1), load_s=0.25)
        for number in range(3)
    ]
    phases = {"runtime": 3_000_000, "load": 4_500_000, "first": 4_750_000, "run": 5_000_000, "steady": 4_200_000}
    heavy = [trial(Pass.MEMORY, number=number, peak_host_bytes=5_000_000, host_bytes=phases) for number in range(2)]
    readings = {reading.metric: reading for reading in readings_from_trials([*timed, *heavy], WORKLOAD)}
    elsewhere = {name for name in METRICS.names() if "device" in name} | {
        *ENERGY_METRICS,
        "probe_arithmetic",
        "probe_handover",
        "enqueue_time_p50",
        "graph_capture_time",
        "h2d_time_p50",
        "d2h_time_p50",
        "latency_p99_bound",
        "latency_early_stopping",
        "offered_rate",
        "over_bound_share",
    }
    elsewhere |= {name for name in METRICS.names() if name.startswith(("trtexec_", "gpu_"))}
    assert set(readings) == set(METRICS.names()) - elsewhere, "what a CPU does not have is absent, not zero"
    found = [readings[f"host_memory_{phase}"].value for phase in phases]
    assert found == pytest.approx([3e6, 1.5e6, 0.25e6, 0.5e6, 4.2e6])
    assert readings["load_time"].value == pytest.approx(0.25)
    assert readings["first_inference"].value == pytest.approx(7e-3)
    assert readings["latency_p50"].value == pytest.approx(1.5e-3)
    assert readings["latency_p90"].value == pytest.approx(1.9e-3)
    assert readings["latency_p99"].value == pytest.approx(1.99e-3)
    assert readings["latency_mean"].value == pytest.approx(np.mean(samples) * 1e-9)
    assert readings["throughput"].value == pytest.approx(8 * 100 / 0.2)
    assert readings["achieved_flops"].value == pytest.approx(2_000_000 / 1.5e-3)
    assert readings["peak_host_memory"].value == pytest.approx(5_000_000)
    assert (readings["latency_p50"].n, readings["peak_host_memory"].n) == (3, 2)
    assert readings["throughput"].better is Better.HIGHER
    assert readings["latency_p50"].better is Better.LOWER


def test_samples_of_the_warm_up_are_in_no_number() -> None:
    cold = trial(samples_ns=(9_000_000,) * 50 + (1_000_000,) * 350, window_ns=1_600_000_000, steady_from=50)
    readings = {reading.metric: reading.value for reading in readings_from_trials([cold], WORKLOAD)}
    assert readings["latency_p99"] == readings["latency_mean"] == readings["latency_p99_bound"] == pytest.approx(1e-3)
    assert readings["throughput"] == pytest.approx(8 * 350 / (1.6 * 350 / 800)), "the window's share of those samples"


def test_outputs_with_nothing_in_them_are_flagged() -> None:
    assert "OUTPUT_EMPTY" not in {flag.code for flag in flags_of(seen([trial()]))}
    (flag,) = [one for one in flags_of(seen([trial()], empty=("boxes", "scores"))) if one.code == "OUTPUT_EMPTY"]
    assert (flag.severity, flag.message.partition(":")[0]) == (Severity.WARNING, "boxes, scores")


def test_rows_in_another_order_are_told() -> None:
    hop = Hop(source="a", target="b", max_abs_error=0.0, rel_l2_error=0.0, cosine=1.0, passed=True)
    assert "ROWS_REORDERED" not in {flag.code for flag in flags_of(seen([trial()], hops=(hop,)))}
    moved = dataclasses.replace(hop, target="c", reordered=4)
    (flag,) = [one for one in flags_of(seen([trial()], hops=(hop, moved))) if one.code == "ROWS_REORDERED"]
    assert (flag.severity, flag.size) == (Severity.INFO, 4)
    assert "4 rows" in flag.message
    assert "a -> c" in flag.message


def test_how_samples_were_taken_is_told() -> None:
    spiky = (1_000_000,) * 200 + (1_000_001,) * 196 + (1_000_003, 9_000_000, 9_000_000, 9_000_000)
    trials = [
        trial(number=n, samples_ns=spiky, steady_from=5, stopped_by=rule, floor_ns=150, warmup_ns=(1, 2))
        for n, rule in enumerate(["precision", "max_time", "precision"])
    ]
    told = sampling_from_trials([*trials, trial(Pass.MEMORY)])
    assert told is not None
    assert told.stopped_by == {"precision": 2, "max_time": 1}
    assert (told.processes, told.samples, told.warmup, told.not_steady) == (3, 1200, 6, 15)
    assert (told.mild_outliers, told.severe_outliers) == (3, 9)
    assert told.floor_s == pytest.approx(150e-9)
    assert sampling_from_trials([trial(Pass.MEMORY)]) is None


def test_the_interval_is_over_processes_not_over_samples() -> None:
    levels = [1.00e6, 1.02e6, 0.99e6, 1.05e6]
    trials = [trial(number=i, samples_ns=(int(level),) * 10_000) for i, level in enumerate(levels)]
    (p50,) = [reading for reading in readings_from_trials(trials, WORKLOAD) if reading.metric == "latency_p50"]
    logs = np.log([level * 1e-9 for level in levels])
    low, high = np.exp(stats.t.interval(0.95, 3, loc=logs.mean(), scale=stats.sem(logs)))
    assert (p50.value, p50.low, p50.high) == pytest.approx((stats.gmean(levels) * 1e-9, low, high))


def spread(*levels_ns: int) -> Seen:
    return seen([trial(number=number, samples_ns=(level,) * 400) for number, level in enumerate(levels_ns)])


def counted(**counters: float) -> Seen:
    return seen([trial(number=number, counters={**QUIET, **counters}) for number in range(3)])


def scattered(between: float, *, inside: float) -> Seen:
    """Processes that differ by ``between``, whose samples differ by ``inside`` (standard deviations, as ratios)."""
    draw = np.random.default_rng(3)
    levels = 1e6 * (1 + between * np.array([-1.2, -0.4, 0.1, 0.5, 1.0]))
    return seen(
        [
            trial(number=number, samples_ns=tuple(draw.normal(level, inside * level, 400).astype(int).tolist()))
            for number, level in enumerate(levels)
        ]
    )


def referred(*references_s: float) -> Seen:
    """Processes beside which the same arithmetic took this long."""
    names = [counter_name(ARITHMETIC, when) for when in ("before", "after")]
    counters = [{**QUIET, **dict.fromkeys(names, reference_s)} for reference_s in references_s]
    return seen([trial(number=number, counters=grown) for number, grown in enumerate(counters)])


def proof(asked: Precision, macs: dict[str, float], *, passed: bool | None, **fields: Any) -> Proof:
    share = macs.get("fp32" if asked is Precision.TF32 else asked.value, 0.0)
    return Proof(asked=asked, required=0.9, share=share, macs=macs, bytes=macs, passed=passed, **fields)


NOISY = tuple(1_000_000 + 400_000 * (index % 2) for index in range(400))
CASES = {
    "VIRTUAL_CLOCK": (seen(virtual=True), seen(), Severity.ERROR),
    "PRECISION_NOT_EXECUTED": (
        seen(proof=proof(Precision.FP16, {"fp16": 0.0, "fp32": 1.0}, passed=False)),
        seen(proof=proof(Precision.FP16, {"fp16": 0.95, "fp32": 0.05}, passed=True)),
        Severity.ERROR,
    ),
    "PRECISION_PARTIAL": (
        seen(proof=proof(Precision.INT8, {"int8": 0.95, "fp32": 0.05}, passed=True)),
        seen(proof=proof(Precision.INT8, {"int8": 1.0}, passed=True)),
        Severity.INFO,
    ),
    "SUMS_MAY_SATURATE": (
        seen(evidence=evidence(options={SUMS_OPTION: MAY_SATURATE})),
        seen(evidence=evidence(options={SUMS_OPTION: "exact"})),
        Severity.WARNING,
    ),
    "PROVIDER_FALLBACK": (seen(evidence=evidence(providers=("Other",))), seen(), Severity.ERROR),
    "THREADS_NOT_GIVEN": (seen(evidence=evidence(threads=1)), seen(), Severity.ERROR),
    "OVERSUBSCRIBED": (
        seen(plan=MeasurementPlan(threads=4), evidence=evidence(threads=4)),
        seen(plan=MeasurementPlan(threads=2)),
        Severity.ERROR,
    ),
    "CGROUP_THROTTLED": (counted(cgroup_throttled=2.0), counted(), Severity.ERROR),
    "CPU_STEAL": (counted(steal_ticks=2.0), counted(steal_ticks=0.5), Severity.WARNING),
    "CPU_CONTENDED": (counted(run_delay_s=0.1), counted(run_delay_s=0.01), Severity.WARNING),
    "MACHINE_SHIFTED": (referred(1e-3, 1e-3, 1.3e-3), referred(1e-3, 1e-3, 1.05e-3), Severity.WARNING),
    "NOISY": (seen([trial(number=n, samples_ns=NOISY) for n in range(3)]), seen(), Severity.WARNING),
    "RECOMPILED": (counted(compilations=1.0), counted(compilations=0.0), Severity.ERROR),
    "SINGLE_PROCESS": (seen([trial()]), seen(), Severity.WARNING),
    "WIDE_INTERVAL": (
        spread(1_000_000, 1_100_000, 900_000),
        spread(1_000_000, 1_001_000, 999_000),
        Severity.WARNING,
    ),
    "PROCESSES_DIFFER": (scattered(0.03, inside=0.005), scattered(0.03, inside=0.08), Severity.INFO),
    "TAIL_UNDERSAMPLED": (
        seen([trial(number=n, samples_ns=(1_000_000,) * 298) for n in range(3)]),
        seen([trial(number=n, samples_ns=(1_000_000,) * 299) for n in range(3)]),
        Severity.INFO,
    ),
}


@pytest.mark.parametrize("code", CASES)
def test_each_flag_is_raised_when_it_must_and_only_then(code: str) -> None:
    raising, quiet, severity = CASES[code]
    raised = {flag.code: flag for flag in flags_of(raising)}
    assert raised[code].severity is severity
    assert len(raised[code].message) > 20
    assert raised[code].size is not None or "%" not in raised[code].message, "notes are about the worst case"
    assert code not in {flag.code for flag in flags_of(quiet)}


@pytest.mark.parametrize("code", CASES)
def test_advice_knows_what_was_asked(code: str) -> None:
    """What was asked for is not advised, and of --quick the advice is to leave it out."""
    raising = dataclasses.replace(CASES[code][0], quick=True, paired=True)
    (flag,) = [flag for flag in flags_of(raising) if flag.code == code]
    assert "one run (--ab)" not in flag.message
    assert "longer --max-time" not in flag.message.replace("a longer --max-time does not help", "")
    assert "use more --trials" not in flag.message


def test_a_quiet_case_has_no_flags() -> None:
    assert flags_of(seen()) == ()


def test_small_or_few_differences_between_processes_are_no_news() -> None:
    for case in (scattered(0.005, inside=0.001), spread(1_000_000, 1_100_000)):
        assert "PROCESSES_DIFFER" not in {flag.code for flag in flags_of(case)}


def test_an_interrupted_case_says_what_it_lacks() -> None:
    for trials, words in ((8, "after 3 of at least 8 timed processes"), (3, "before those for memory")):
        found = flags_of(seen(plan=MeasurementPlan(threads=2, trials=trials), interrupted=True))
        (message,) = [flag.message for flag in found if flag.code == "INTERRUPTED"]
        assert words in message


def test_a_case_that_quick_ended_says_how_many_processes_ran() -> None:
    slow = [trial(number=number, duration_s=40.0) for number in range(2)]
    planned = MeasurementPlan(threads=2, trials=5, max_trials=6)
    (flag,) = [flag for flag in flags_of(seen(slow, plan=planned, quick=True)) if flag.code == "CUT_SHORT"]
    assert flag.message.startswith("2 of 5 processes were timed: they took 80 s, and --quick ends")
    for other in ({"quick": False}, {"quick": True, "interrupted": True}):
        assert "CUT_SHORT" not in {flag.code for flag in flags_of(seen(slow, plan=planned, **other))}
    assert "CUT_SHORT" not in {flag.code for flag in flags_of(seen(slow, plan=MeasurementPlan(trials=2), quick=True))}


@pytest.mark.parametrize(("spread", "noisy"), [(0.02, False), (0.03, True)])
def test_times_of_a_device_vary_less_before_they_are_noisy(spread: float, noisy: bool) -> None:
    """The device's own times decide where there are some: those of the host vary more."""
    times = tuple(round(1_000_000 * (1 + spread * (-1) ** place)) for place in range(400))
    found = flags_of(seen([trial(number=number, gpu_ns=times) for number in range(3)]))
    messages = [flag.message for flag in found if flag.code == "NOISY"]
    assert [text[:22] for text in messages] == (["inferences on the devi"] if noisy else [])


def test_much_steal_voids_a_number() -> None:
    (flag,) = [flag for flag in flags_of(counted(steal_ticks=10.0)) if flag.code == "CPU_STEAL"]
    assert flag.severity is Severity.ERROR


def flag_of(made: Proof) -> Flag:
    (flag,) = flags_of(seen(proof=made))
    return flag


def test_the_message_has_the_shares_and_the_first_layers() -> None:
    layers = tuple(OtherLayer(name=f"layer{number}", type="fp32", macs=10) for number in range(7))
    flag = flag_of(proof(Precision.FP16, {"fp32": 0.9999, "fp16": 0.0001}, passed=False, layers=layers))
    assert "fp16 <0.1 %, fp32 >99.9 %" in flag.message, "hardly anything is neither nothing nor everything"
    assert "layer0 (fp32), " in flag.message
    assert "layer4 (fp32) and 2 more, all in proof.layers of the record" in flag.message
    assert "at least 90 % are required" in flag.message


def test_what_the_runtime_does_not_tell_is_a_warning() -> None:
    flag = flag_of(proof(Precision.FP16, {"unreported": 1.0, "fp16": 0.0}, passed=None))
    assert (flag.code, flag.severity) == ("PRECISION_NOT_EXECUTED", Severity.WARNING)


def test_fp32_with_tf32_allowed_is_not_fp32() -> None:
    flag = flag_of(proof(Precision.FP32, {"fp32": 1.0}, passed=False, tf32="allowed"))
    assert (flag.code, flag.severity) == ("PRECISION_NOT_EXECUTED", Severity.ERROR)
    assert "TF32 is allowed" in flag.message
    assert not flags_of(seen(proof=proof(Precision.TF32, {"fp32": 1.0}, passed=True, tf32="allowed")))


def test_a_network_without_macs_is_judged_by_its_bytes() -> None:
    made = dataclasses.replace(proof(Precision.FP16, {}, passed=False), bytes={"fp32": 1.0, "fp16": 0.0}, share=0.0)
    assert "of the bytes" in flag_of(made).message


def test_device_metrics_by_hand() -> None:
    timed = [
        trial(number=number, samples_ns=(5000,) * 3, window_ns=20_000, gpu_ns=(2000, 3000, 9000), enqueue_ns=(7, 8, 9))
        for number in range(3)
    ]
    device_bytes = {"device_delta": 900, "declared_weights": 500, "declared_context": 40, "pool_peak": 0}
    device_bytes |= {"held_load": 600, "held_first": 750, "held_steady": 700}
    heavy = [trial(Pass.MEMORY, number=number, peak_host_bytes=5, device_bytes=device_bytes) for number in range(2)]
    readings = {reading.metric: reading for reading in readings_from_trials([*timed, *heavy], WORKLOAD)}
    assert readings["gpu_time_p50"].value == pytest.approx(3e-6)
    assert readings["enqueue_time_p50"].value == pytest.approx(8e-9)
    assert readings["peak_device_memory"].value == pytest.approx(900)
    assert readings["device_memory_declared"].value == pytest.approx(540)
    phases = [readings[f"device_memory_{phase}"].value for phase in ("load", "first", "steady")]
    assert phases == pytest.approx([600, 150, 700])
    assert "device_memory_pool" not in readings, "a pool that nobody used says nothing"
    assert "device_memory_process" not in readings
