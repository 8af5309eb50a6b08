"""How many samples per second come out? Batch times inferences over the time of the measured window, per process.

With one request in flight this is what a single caller gets, not what the machine could give to many. Pauses to collect
garbage, to read events or to flush caches are in no window. Where LoadGen issued the requests it is the rate at which
it saw samples answered.
"""

from __future__ import annotations

from benchbox.metrics.metric import METRICS, Metric, issued_by, steady
from benchbox.metrics.workload import Workload
from benchbox.schema.reading import Better
from benchbox.schema.trial import Pass, Trial


def samples_per_s(trial: Trial, workload: Workload) -> float:
    """Samples of the measured inferences over the window from first start to last end, in 1/s.

    Of the window, the share that the steady samples took of all of them.
    """
    if trial.loadgen is not None:
        return trial.loadgen.completed_per_s
    samples = steady(trial, trial.samples_ns)
    window_s = trial.window_ns * 1e-9 * sum(samples) / sum(trial.samples_ns)
    return workload.batch * workload.inferences_per_sample * len(samples) / window_s


METRICS.register(
    "throughput",
    Metric(
        name="throughput",
        unit="1/s",
        better=Better.HIGHER,
        pass_=Pass.TIMING,
        value=samples_per_s,
        method=issued_by,
    ),
)
