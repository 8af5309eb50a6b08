"""How long does a lone request take? Percentiles and mean of isolated inferences, in seconds, per process."""

from __future__ import annotations

from benchbox.measure.metric import METRICS, Metric, Workload
from benchbox.schema.reading import Better, Pass, Trial
from benchbox.stats.quantile import percentile

PERCENTILES = {"latency_p50": 0.50, "latency_p90": 0.90, "latency_p99": 0.99}


def _percentile_metric(name: str, probability: float) -> Metric:
    def value(trial: Trial, _: Workload) -> float:
        return percentile(sorted(trial.samples_ns), probability) * 1e-9

    return Metric(name=name, unit="s", better=Better.LOWER, purpose=Pass.TIMING, value=value)


def _mean(trial: Trial, _: Workload) -> float:
    return sum(trial.samples_ns) / len(trial.samples_ns) * 1e-9


for _name, _probability in PERCENTILES.items():
    METRICS.register(_name, _percentile_metric(_name, _probability))
METRICS.register(
    "latency_mean", Metric(name="latency_mean", unit="s", better=Better.LOWER, purpose=Pass.TIMING, value=_mean)
)
