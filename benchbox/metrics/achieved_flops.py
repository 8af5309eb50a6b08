"""How much of the paper's work is done per second? analytical FLOPs of the batch over the median latency, per process.

In modes offline and multi-stream over the time that a batch takes of the whole. In mode server the arrivals decide how
much is done: there it does not characterise the network, and is absent. So it is for a network without FLOPs
(lookups, crops) and for one whose analytical cost is not wholly known.
"""

from __future__ import annotations

from benchbox.metrics.metric import METRICS, Metric, steady
from benchbox.metrics.workload import Workload
from benchbox.schema.reading import Better
from benchbox.schema.trial import Pass, Trial
from benchbox.stats.quantile import percentile


def flops_per_s(trial: Trial, workload: Workload) -> float:
    """FLOPs (2·MAC plus elementwise) of one inference over its median time, in 1/s."""
    if trial.loadgen is not None and (workload.inferences_per_sample > 1 or not trial.samples_ns):
        return workload.flops * trial.loadgen.completed_per_s / workload.batch
    return workload.flops / (percentile(sorted(steady(trial, trial.samples_ns)), 0.5) * 1e-9)


METRICS.register(
    "achieved_flops",
    Metric(
        name="achieved_flops",
        unit="1/s",
        better=Better.HIGHER,
        pass_=Pass.TIMING,
        value=flops_per_s,
        on_paper=True,
        applies=lambda trial: trial.loadgen is None or trial.loadgen.offered_per_s is None,
    ),
)
