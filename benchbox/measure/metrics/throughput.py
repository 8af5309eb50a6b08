"""How many samples per second come out? Batch times inferences over the time of the measured window, per process.

With one request in flight this is what a lone caller gets, not what the machine could give to many.
"""

from __future__ import annotations

from benchbox.measure.metric import METRICS, Metric, Workload
from benchbox.schema.reading import Better, Pass, Trial


def samples_per_s(trial: Trial, workload: Workload) -> float:
    """Samples of all measured inferences over the window from first start to last end, in 1/s."""
    return workload.batch * len(trial.samples_ns) / (trial.window_ns * 1e-9)


METRICS.register(
    "throughput",
    Metric(name="throughput", unit="1/s", better=Better.HIGHER, purpose=Pass.TIMING, value=samples_per_s),
)
