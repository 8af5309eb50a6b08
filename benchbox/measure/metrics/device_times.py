"""How long does the device work on an inference, and how long does the host take to start it?

``gpu_time_p50``: median over inferences of the time between the two events right before and right behind the work of
one inference, on the stream of the work. Gaps that the host leaves between kernels are inside. ``enqueue_time_p50``:
median of the host time of the one call that starts the work. Both per process, in seconds.
"""

from __future__ import annotations

from benchbox.measure.metric import METRICS, Metric, Workload
from benchbox.schema.reading import Better, Pass, Trial
from benchbox.stats.quantile import percentile


def _gpu_time(trial: Trial, _: Workload) -> float:
    return percentile(sorted(trial.gpu_ns), 0.5) * 1e-9


def _enqueue_time(trial: Trial, _: Workload) -> float:
    return percentile(sorted(trial.enqueue_ns), 0.5) * 1e-9


for _name, _value in (("gpu_time_p50", _gpu_time), ("enqueue_time_p50", _enqueue_time)):
    METRICS.register(
        _name,
        Metric(
            name=_name,
            unit="s",
            better=Better.LOWER,
            purpose=Pass.TIMING,
            value=_value,
            applies=lambda trial: bool(trial.gpu_ns),
        ),
    )
