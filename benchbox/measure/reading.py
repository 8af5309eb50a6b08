"""What do the processes of a case say together, metric by metric?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.measure.metric import METRICS, Metric, Workload
from benchbox.schema.reading import Pass, Reading, Trial
from benchbox.stats.interval import log_t_interval, t_interval


def readings_from_trials(trials: Sequence[Trial], workload: Workload) -> tuple[Reading, ...]:
    """A reading of every metric that all trials of its pass have; a metric whose pass was not run has none."""
    readings = []
    for metric in METRICS:
        taken = [trial for trial in trials if trial.purpose is metric.purpose]
        if taken and all(map(metric.applies, taken)):
            readings.append(reading_from_trials(metric, taken, workload))
    return tuple(readings)


def reading_from_trials(metric: Metric, trials: Sequence[Trial], workload: Workload) -> Reading:
    """One metric: the geometric mean over processes and its 95 % interval; one value a process goes in.

    Of a metric that is replicated within a process: the mean of the replicates and its interval.
    """
    taken = [trial for trial in trials if trial.purpose is metric.purpose]
    if metric.replicates is None:
        values = [metric.value(trial, workload) for trial in taken]
        centre, low, high = log_t_interval(values)
    else:
        values = [value for trial in taken for value in metric.replicates(trial, workload)]
        centre, low, high = t_interval(values)
    return Reading(
        metric=metric.name,
        unit=metric.unit,
        value=centre,
        low=low,
        high=high,
        n=len(values),
        better=metric.better,
        method=metric.method(taken[0]),
    )


def timing_trials(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """The trials that were timed."""
    return tuple(trial for trial in trials if trial.purpose is Pass.TIMING)
