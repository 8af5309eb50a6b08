"""Which numbers of a side go into a verdict?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchbox.gate.comparable import Measured
from benchbox.metrics.metric import Metric
from benchbox.metrics.workload import Workload, workload_of
from benchbox.schema.reading import Severity
from benchbox.schema.record import Record
from benchbox.schema.trial import Pass, Trial
from benchbox.stats.again import Round


def values_of(side: Sequence[Measured], metric: Metric) -> list[float]:
    """One value per process; of a metric that is replicated within a process, one per replicate."""
    return [
        value
        for entry in side
        if metric.fits(_workload(entry.record))
        for trial in entry.trials
        if trial.pass_ is metric.pass_ and metric.applies(trial)
        for value in _values_of(trial, metric, _workload(entry.record))
    ]


def paired_values_of(base: Measured, head: Measured, metric: Metric) -> tuple[list[float], list[float]] | None:
    """The values of processes that took turns with each other, pair by pair; None where processes did not.

    Only for two sides of one run: then processes of one number were a pair.
    """
    sides = (base, head)
    if metric.pass_ is not Pass.TIMING or not all(side.record.plan.turn_s for side in sides):
        return None
    first, second = (
        {
            trial.number: values_of([replace(side, trials=(trial,))], metric)
            for trial in side.trials
            if trial.pass_ is metric.pass_  # processes of every pass are counted from 0
        }
        for side in sides
    )
    both = [number for number in first if len(first[number]) == len(second.get(number, ())) == 1]
    return [first[number][0] for number in both], [second[number][0] for number in both]


def round_of(base: Measured, head: Measured, metric: Metric) -> Round:
    """What two sides of one run say of a metric, for a decision (``stats/again.py``); empty where a side has none."""
    paired = paired_values_of(base, head, metric)
    first, second = paired or (values_of([base], metric), values_of([head], metric))
    return Round(base=tuple(first), head=tuple(second), paired=paired is not None)


def _values_of(trial: Trial, metric: Metric, workload: Workload) -> Sequence[float]:
    return [metric.value(trial, workload)] if metric.replicates is None else metric.replicates(trial, workload)


def note_on_replication(metric: Metric, *sides: Sequence[Measured]) -> str:
    """That the interval lacks the spread between processes, where a side's replicates are all of one process."""
    processes = (sum(trial.pass_ is metric.pass_ for entry in side for trial in entry.trials) for side in sides)
    if metric.pass_ is not Pass.ENERGY or min(processes) > 1:
        return ""
    return "windows of one process: the interval lacks the spread between processes"


def _workload(record: Record) -> Workload:
    analytic = record.analytic
    return workload_of(record.plan, flops=analytic.flops if analytic and not analytic.uncounted else 0)


def flags_about(metric: Metric, entries: Sequence[Measured], severity: Severity) -> list[str]:
    """Codes of a severity on either side: errors void a verdict, warnings are only listed."""
    flags = [flag for entry in entries for flag in entry.record.flags if flag.severity is severity]
    return sorted({flag.code for flag in flags if not flag.metrics or metric.name in flag.metrics})
