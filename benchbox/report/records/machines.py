"""Were the records that stand in one table taken on the same machine, or only on one of the same name?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.metrics.probes import PROBES, SHIFTED
from benchbox.schema.record import Record
from benchbox.units import format_time


def notes_on_machines(records: Sequence[Record]) -> tuple[str, ...]:
    """A note for every reference that differs among records of one environment by more than it does on one machine.

    One over all records of an environment: they were put side by side to be compared.
    """
    environments: dict[str, list[Record]] = {}
    for record in records:
        environments.setdefault(record.environment.hash, []).append(record)
    notes = [_note(alike, name, SHIFTED[kind]) for alike in environments.values() for kind, name in PROBES.items()]
    return tuple(filter(None, notes))


def _note(records: Sequence[Record], metric: str, limit: float) -> str:
    found = sorted(
        ((reading.value, record) for record in records for reading in record.readings if reading.metric == metric),
        key=lambda pair: pair[0],
    )
    if not found or found[-1][0] <= limit * found[0][0]:
        return ""
    (low, first), (high, last) = found[0], found[-1]
    return (
        f"not the same machine all the time: {metric} was {format_time(low)} in {_name(first)} and {format_time(high)} "
        f"in {_name(last)}; do not compare these rows with each other"
    )


def _name(record: Record) -> str:
    return f"{record.key.model} at {record.started_at[:19]}"
