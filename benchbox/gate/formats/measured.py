"""Which numbers of a night do other programs draw: of each case, every metric that has a rule?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchbox.gate.policy import Policy
from benchbox.gate.series import CaseSeries, case_series, error_flags
from benchbox.gate.tonight import rule_for
from benchbox.metrics.metric import METRICS
from benchbox.schema.reading import Better, Reading
from benchbox.schema.record import Record


@dataclass(frozen=True, kw_only=True)
class MeasuredValue:
    """One reading of a case, by the record that it is of; ``name`` is the case as the gate prints it."""

    name: str
    series: CaseSeries
    record: Record
    reading: Reading

    @property
    def smaller_is_better(self) -> bool:
        """Of its metric."""
        return METRICS.get(self.reading.metric).better is Better.LOWER


def values_of_night(records: Sequence[Record], policy: Policy, night: str) -> tuple[MeasuredValue, ...]:
    """The valid readings of a night's newest records, by case, in the order of the metrics."""
    return tuple(value for series in all_series(records, policy) for value in values_of_case(series, policy, night))


def all_series(records: Sequence[Record], policy: Policy) -> tuple[CaseSeries, ...]:
    """The cases, by name."""
    return tuple(sorted(case_series(records, night_starts=policy.night_starts), key=lambda series: series.name))


def values_of_case(series: CaseSeries, policy: Policy, night: str) -> Iterator[MeasuredValue]:
    """The valid readings of one case in a night."""
    for record in series.measured(night)[-1:]:
        found = {reading.metric: reading for reading in record.readings}
        for metric in METRICS.names():
            if metric in found and not error_flags([record], metric) and rule_for(policy, series, metric) is not None:
                yield MeasuredValue(name=series.name, series=series, record=record, reading=found[metric])
