"""How much of the paper's work is done per second? analytical FLOPs of the batch over the median latency, per process.

In modes offline and multi-stream over the time that a batch takes of the whole. In mode server the arrivals decide how
much is done: there it does not characterise the network, and is absent. So it is for a network without FLOPs
(lookups, crops) and for one whose analytical cost is not wholly known.

``gpu_achieved_flops``: the same over the device's own time of an inference, gated where that was taken: without the
host's part, which the latency of a short network mostly is.
"""

from __future__ import annotations

from benchbox.metrics.device_times import GATED, gpu_work_s
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
METRICS.register(
    "gpu_achieved_flops",
    Metric(
        name="gpu_achieved_flops",
        unit="1/s",
        better=Better.HIGHER,
        pass_=Pass.TIMING,
        value=lambda trial, workload: workload.flops / gpu_work_s(trial),
        on_paper=True,
        applies=lambda trial: bool(trial.gpu_ns) and gpu_work_s(trial) > 0,
        method=lambda trial: "over gpu_compute_time" if GATED in trial.counters else "over gpu_time",
    ),
)
