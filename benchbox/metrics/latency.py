"""How long does a request take? Percentiles and mean of the steady samples, in seconds, per process.

``latency_p99_bound``: the least order statistic that lies above the 99th percentile with 95 % confidence, whatever the
distribution; absent where too few samples were taken for one. MLPerf LoadGen's early stopping rests on the same and
takes the next larger sample: ``latency_early_stopping``. In mode offline all samples wait for the last: none of these.
"""

from __future__ import annotations

from benchbox.metrics.metric import METRICS, Metric, issued_by, steady
from benchbox.metrics.workload import Workload
from benchbox.schema.reading import Better
from benchbox.schema.trial import Pass, Trial
from benchbox.stats.quantile import percentile, samples_needed
from benchbox.stats.tail import percentile_upper_bound

PERCENTILES = {"latency_p50": 0.50, "latency_p90": 0.90, "latency_p99": 0.99}


def _has_times(trial: Trial) -> bool:
    return bool(trial.samples_ns)


def _percentile_metric(name: str, probability: float) -> Metric:
    def value(trial: Trial, _: Workload) -> float:
        return percentile(sorted(steady(trial, trial.samples_ns)), probability) * 1e-9

    return Metric(
        name=name, unit="s", better=Better.LOWER, pass_=Pass.TIMING, value=value, applies=_has_times, method=issued_by
    )


def _mean(trial: Trial, _: Workload) -> float:
    samples = steady(trial, trial.samples_ns)
    return sum(samples) / len(samples) * 1e-9


for _name, _probability in PERCENTILES.items():
    METRICS.register(_name, _percentile_metric(_name, _probability))
METRICS.register(
    "latency_mean",
    Metric(
        name="latency_mean",
        unit="s",
        better=Better.LOWER,
        pass_=Pass.TIMING,
        value=_mean,
        applies=_has_times,
        method=issued_by,
    ),
)


def _p99_bound(trial: Trial, _: Workload) -> float:
    bound = percentile_upper_bound(sorted(steady(trial, trial.samples_ns)), 0.99, confidence=0.95)
    assert bound is not None, "applies() has counted the samples"
    return bound * 1e-9


METRICS.register(
    "latency_p99_bound",
    Metric(
        name="latency_p99_bound",
        unit="s",
        better=Better.LOWER,
        pass_=Pass.TIMING,
        value=_p99_bound,
        applies=lambda trial: len(steady(trial, trial.samples_ns)) >= samples_needed(0.99),
    ),
)
