"""What follows from all processes of a case, metric by metric?"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from benchbox.metrics.metric import METRICS, Metric
from benchbox.metrics.workload import Workload
from benchbox.schema.reading import Reading
from benchbox.schema.record import Sampling
from benchbox.schema.trial import Pass, Trial
from benchbox.stats.interval import log_t_interval, t_interval
from benchbox.stats.outliers import outliers_in
from benchbox.stats.rank import minimum_detectable_effect


def readings_from_trials(trials: Sequence[Trial], workload: Workload) -> tuple[Reading, ...]:
    """A reading of every metric that all trials of its pass have; a metric whose pass was not run has none."""
    readings = []
    for metric in METRICS:
        taken = metric.taken(trials)
        if taken and metric.fits(workload) and all(map(metric.applies, taken)):
            readings.append(reading_from_trials(metric, taken, workload))
    return tuple(readings)


def reading_from_trials(metric: Metric, trials: Sequence[Trial], workload: Workload) -> Reading:
    """One metric: the geometric mean over processes and its 95 % interval; one value a process goes in.

    Of a metric that is replicated within a process: the mean of the replicates and its interval.
    """
    taken = metric.taken(trials)
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
        mde=minimum_detectable_effect(values, values) if min(values) > 0 else None,
    )


def sampling_from_trials(trials: Sequence[Trial]) -> Sampling | None:
    """How the samples of the timed trials were taken; None if none was timed."""
    timed = timing_trials(trials)
    if not timed:
        return None
    found = [outliers_in(trial.samples_ns) for trial in timed if trial.samples_ns]
    return Sampling(
        processes=len(timed),
        # In mode offline no sample has a time of its own; how many were computed is still known.
        samples=sum(len(trial.samples_ns) or (trial.loadgen.samples if trial.loadgen else 0) for trial in timed),
        warmup=sum(len(trial.warmup_ns) for trial in timed),
        not_steady=sum(trial.steady_from for trial in timed),
        stopped_by=dict(Counter(trial.stopped_by for trial in timed)),
        mild_outliers=sum(outliers.mild_low + outliers.mild_high for outliers in found),
        severe_outliers=sum(outliers.severe_low + outliers.severe_high for outliers in found),
        floor_s=statistics.median(trial.floor_ns for trial in timed) * 1e-9,
    )


def timing_trials(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """The trials that were timed."""
    return tuple(trial for trial in trials if trial.pass_ is Pass.TIMING)
