"""How much of the paper's work is done per second? FLOPs of the batch on paper over the median latency, per process."""

from __future__ import annotations

from benchbox.measure.metric import METRICS, Metric, Workload, steady
from benchbox.schema.reading import Better, Pass, Trial
from benchbox.stats.quantile import percentile


def flops_per_s(trial: Trial, workload: Workload) -> float:
    """FLOPs (2·MAC plus elementwise) of one inference over its median time, in 1/s."""
    return workload.flops / (percentile(sorted(steady(trial, trial.samples_ns)), 0.5) * 1e-9)


METRICS.register(
    "achieved_flops",
    Metric(name="achieved_flops", unit="1/s", better=Better.HIGHER, purpose=Pass.TIMING, value=flops_per_s),
)
