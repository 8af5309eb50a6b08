"""Which numbers of a side go into a verdict?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.gate.comparable import (
    Measured,
)
from benchbox.metrics.metric import Metric
from benchbox.metrics.workload import Workload, workload_of
from benchbox.schema.reading import Severity
from benchbox.schema.record import Record


def values_of(side: Sequence[Measured], metric: Metric) -> list[float]:
    """One value per process."""
    return [
        metric.value(trial, _workload(entry.record))
        for entry in side
        for trial in entry.trials
        if trial.pass_ is metric.pass_ and metric.applies(trial)
    ]


def _workload(record: Record) -> Workload:
    return workload_of(record.plan, flops=record.analytic.flops if record.analytic else 0)


def flags_about(metric: Metric, entries: Sequence[Measured], severity: Severity) -> list[str]:
    """Codes of a severity on either side: errors void a verdict; what warnings are about is in the spread already."""
    flags = [flag for entry in entries for flag in entry.record.flags if flag.severity is severity]
    return sorted({flag.code for flag in flags if not flag.metrics or metric.name in flag.metrics})
