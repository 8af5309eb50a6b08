"""What does LoadGen report beside times and rates?

``latency_early_stopping``: its estimate of the 90th percentile (single-stream) or the 99th (multi-stream), in seconds:
an order statistic that lies above the true one with 99 % confidence. ``offered_rate``: samples a second that the
schedule of mode server contained, as drawn. ``over_bound_share``: the share of samples that took longer than the bound
of mode server; its interval is Student's t on the shares themselves, as a share may be 0. All per process.
"""

from __future__ import annotations

from benchbox.metrics.metric import METRICS, Metric
from benchbox.metrics.workload import Workload
from benchbox.schema.loadgen import LoadgenRun
from benchbox.schema.reading import Better
from benchbox.schema.trial import Pass, Trial


def _run(trial: Trial) -> LoadgenRun:
    assert trial.loadgen is not None, "applies() has looked"
    return trial.loadgen


def _early_stopping(trial: Trial, _: Workload) -> float:
    found = _run(trial).early_stopping_s
    assert found is not None, "applies() has looked"
    return found


def _offered(trial: Trial, _: Workload) -> float:
    found = _run(trial).offered_per_s
    assert found is not None, "applies() has looked"
    return found


def _over_bound(trial: Trial, _: Workload) -> float:
    over = _run(trial).over_bound
    assert over is not None, "applies() has looked"
    return over / len(trial.samples_ns)


def _percentile(trial: Trial) -> str:
    return f"p{100 * (_run(trial).early_stopping_percentile or 0):g}, 99 % confidence"


METRICS.register(
    "latency_early_stopping",
    Metric(
        name="latency_early_stopping",
        unit="s",
        better=Better.LOWER,
        pass_=Pass.TIMING,
        value=_early_stopping,
        applies=lambda trial: trial.loadgen is not None and trial.loadgen.early_stopping_s is not None,
        method=_percentile,
    ),
)
METRICS.register(
    "offered_rate",
    Metric(
        name="offered_rate",
        unit="1/s",
        better=Better.HIGHER,
        pass_=Pass.TIMING,
        value=_offered,
        applies=lambda trial: trial.loadgen is not None and trial.loadgen.offered_per_s is not None,
    ),
)
METRICS.register(
    "over_bound_share",
    Metric(
        name="over_bound_share",
        unit="1",
        better=Better.LOWER,
        pass_=Pass.TIMING,
        value=_over_bound,
        replicates=lambda trial, workload: (_over_bound(trial, workload),),
        applies=lambda trial: trial.loadgen is not None and trial.loadgen.over_bound is not None,
        method=lambda _: "share of samples",
    ),
)
