"""What trtexec would print, computed from synthetic traces; and which plan measures it."""

from __future__ import annotations

import numpy as np
import pytest
from builders import QUIET_GPU, trial

from benchbox.errors import UsageError
from benchbox.measure.loop.presets import PRESETS, backend_like, plan_like
from benchbox.measure.loop.sampling import sample
from benchbox.measure.loop.timing import Block
from benchbox.measure.loop.warmup import warm_up
from benchbox.metrics.readings import readings_from_trials
from benchbox.metrics.trtexec import STATISTICS, TIMES
from benchbox.metrics.workload import Workload
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.trial import Trial


def _query(index: int) -> tuple[int, int, int]:
    """Copy in, compute and copy out of one query in ns: compute grows, one query in ten copies slowly."""
    return (20_000 if index % 10 else 90_000), 100_000 + 10 * index, 5_000


def _trace(count: int = 1000, *, copies: bool = True, like: str = "trtexec-10") -> Trial:
    """Queries end to end: copies overlap compute, so the window is that of the compute plus the first and last copy."""
    h2d, compute, d2h = zip(*map(_query, range(count)), strict=True)
    window = sum(compute) + (h2d[0] + d2h[-1] if copies else 0)
    return trial(
        like=like,
        counters=QUIET_GPU,
        samples_ns=(200_000,) * count,
        window_ns=window,
        device_window_ns=window,
        steady_from=200,
        gpu_ns=compute,
        enqueue_ns=(7_000,) * count,
        h2d_ns=h2d if copies else (),
        d2h_ns=d2h if copies else (),
    )


def _readings(*trials: Trial) -> dict[str, float]:
    return {reading.metric: reading.value for reading in readings_from_trials(trials, Workload(batch=8, flops=1000))}


def test_a_trace_with_copies() -> None:
    found = _readings(_trace())
    ns = 1e-9
    # Compute is 100000 + 10 i; all of it counts, the first 200 too: trtexec does not look where a warm-up ends.
    assert found["trtexec_gpu_time_min"] == pytest.approx(100_000 * ns)
    assert found["trtexec_gpu_time_max"] == pytest.approx(109_990 * ns)
    assert found["trtexec_gpu_time_mean"] == pytest.approx(104_995 * ns)
    assert found["trtexec_gpu_time_median"] == pytest.approx(104_995 * ns)
    assert found["trtexec_gpu_time_p90"] == pytest.approx((100_000 + 10 * 899) * ns)
    assert found["trtexec_gpu_time_p99"] == pytest.approx((100_000 + 10 * 990) * ns)
    assert found["trtexec_h2d_time_median"] == pytest.approx(20_000 * ns)
    assert found["trtexec_h2d_time_mean"] == pytest.approx(27_000 * ns)
    assert found["trtexec_d2h_time_max"] == pytest.approx(5_000 * ns)
    assert found["trtexec_enqueue_time_median"] == pytest.approx(7_000 * ns)
    # One query in ten takes 70000 more: above the 90th percentile are only those.
    slow = sorted(sum(_query(index)) for index in range(0, 1000, 10))
    quick = sorted(sum(_query(index)) for index in range(1000) if index % 10)
    assert found["trtexec_latency_p90"] == pytest.approx(quick[899] * ns)
    assert found["trtexec_latency_p99"] == pytest.approx(slow[90] * ns)
    assert found["trtexec_latency_mean"] == pytest.approx((27_000 + 104_995 + 5_000) * ns)
    window_s = (sum(_query(index)[1] for index in range(1000)) + 90_000 + 5_000) * ns
    assert found["trtexec_throughput"] == pytest.approx(1000 / window_s), "queries, whatever the batch"


def test_without_copies_latency_is_compute() -> None:
    found = _readings(_trace(copies=False, like="trtexec-11"))
    for statistic in STATISTICS:
        assert found[f"trtexec_latency_{statistic}"] == found[f"trtexec_gpu_time_{statistic}"]
        assert f"trtexec_h2d_time_{statistic}" not in found


def test_benchboxs_own_way_has_none_of_it() -> None:
    assert not [name for name in _readings(_trace(like="")) if name.startswith("trtexec")]


def test_processes_are_replicated_which_trtexec_does_not_do() -> None:
    trials = [_trace(), _trace(), _trace()]
    by_name = {reading.metric: reading for reading in readings_from_trials(trials, Workload(batch=1, flops=1000))}
    assert by_name["trtexec_gpu_time_median"].n == 3
    assert by_name["trtexec_gpu_time_median"].method == "as trtexec-10 computes it"


def test_every_time_has_every_statistic() -> None:
    found = _readings(_trace())
    assert {f"trtexec_{time}_{statistic}" for time in TIMES for statistic in STATISTICS} <= set(found)


@pytest.mark.parametrize(
    ("name", "transfer", "wait"), [("trtexec-10", "inside", "blocking"), ("trtexec-11", "resident", "spin")]
)
def test_plans(name: str, transfer: str, wait: str) -> None:
    plan = plan_like(MeasurementPlan(trials=4, max_trials=10, threads=3), name)
    assert (plan.like, plan.mode, plan.transfer, plan.wait, plan.input_slots) == (
        name,
        Mode.PIPELINED,
        transfer,
        wait,
        1,
    )
    assert (plan.warmup_s, plan.min_time_s, plan.min_samples) == (0.2, 3.0, 10)
    assert (plan.trials, plan.max_trials, plan.threads) == (4, 4, 3)
    assert plan_like(MeasurementPlan(), name, duration_s=8.0).min_time_s == 8.0


@pytest.mark.parametrize(
    ("name", "backend", "runs"),
    [
        ("trtexec-10", "tensorrt", "tensorrt"),
        ("trtexec-11", "tensorrt", "tensorrt-graph"),
        ("trtexec-11", "tensorrt-graph", "tensorrt-graph"),
        ("trtexec-11", "tensorrt-rtx", "tensorrt-rtx-graph"),
    ],
)
def test_the_graph_is_the_presets(name: str, backend: str, runs: str) -> None:
    assert backend_like(name, backend) == runs


@pytest.mark.parametrize(
    ("name", "backend", "words"),
    [
        ("trtexec-10", "onnxruntime", "for engines of TensorRT"),
        ("trtexec-11", "pytorch-cuda", "for engines of TensorRT"),
        ("trtexec-10", "tensorrt-graph", "launches no CUDA graph"),
        ("trtexec-9", "tensorrt", "unknown preset 'trtexec-9'"),
    ],
)
def test_what_cannot_be_is_refused(name: str, backend: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        backend_like(name, backend)


class _Issuer:
    """Requests of a fixed time on a clock of its own."""

    def __init__(self, each_s: float) -> None:
        self.each_ns = int(each_s * 1e9)
        self.at_ns = 0

    def now_ns(self) -> int:
        return self.at_ns

    def block(self, count: int) -> Block:
        self.at_ns += count * self.each_ns
        return Block(times_ns=np.full(count, self.each_ns), window_ns=count * self.each_ns)


@pytest.mark.parametrize(("each_s", "warm", "least", "most"), [(0.001, 200, 3000, 3100), (0.5, 1, 10, 14)])
@pytest.mark.parametrize("name", PRESETS)
def test_at_least_three_seconds_and_ten_requests(name: str, each_s: float, warm: int, least: int, most: int) -> None:
    plan = plan_like(MeasurementPlan(), name)
    issuer = _Issuer(each_s)
    warmth = warm_up(issuer, plan)
    assert warm <= len(warmth.times_ns) <= 1.5 * warm, "0.2 s, and no search for a steady state"
    assert warmth.settled
    result = sample(issuer, plan, typical_ns=warmth.typical_ns)
    assert least <= len(result.times_ns) <= most
    assert result.stopped_by == "min_time"


def test_looks_come_between_parts_of_a_second() -> None:
    issuer = _Issuer(0.001)
    looks: list[int] = []
    plan = plan_like(MeasurementPlan(), "trtexec-11")
    sample(issuer, plan, typical_ns=1e6, look=lambda: looks.append(issuer.now_ns()))
    assert looks == [1_000_000_000 * (number + 1) for number in range(3)]
