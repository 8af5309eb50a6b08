"""Were the records that stand in one table taken on the same machine, or only on one of the same name?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.metrics.probes import PROBES, SHIFTED
from benchbox.schema.record import Record
from benchbox.units import format_time

_APART = "do not compare these rows with each other; run --ab measures two sides in turn"


def notes_on_machines(records: Sequence[Record], *, paired: bool = False) -> tuple[str, ...]:
    """A note for every probe that differs among records of one environment by more than it does on one machine.

    One over all records of an environment: they were put side by side to be compared.

    Args:
        records: that stand in one table.
        paired: they are sides of --ab, which met the same machine in turn: their verdicts hold.
    """
    environments: dict[str, list[Record]] = {}
    for record in records:
        environments.setdefault(record.environment.hash, []).append(record)
    advice = "the verdicts compare sides that ran in turn, these rows do not" if paired else _APART
    notes = [
        _note(alike, name, SHIFTED[kind], advice) for alike in environments.values() for kind, name in PROBES.items()
    ]
    return tuple(filter(None, notes))


def _note(records: Sequence[Record], metric: str, limit: float, advice: str) -> str:
    found = sorted(
        ((reading.value, record) for record in records for reading in record.readings if reading.metric == metric),
        key=lambda pair: pair[0],
    )
    if not found or found[-1][0] <= limit * found[0][0]:
        return ""
    (low, first), (high, last) = found[0], found[-1]
    return (
        f"the machine changed between these rows: {metric} was {format_time(low)} in {_name(first)} and "
        f"{format_time(high)} in {_name(last)}; {advice}"
    )


def _name(record: Record) -> str:
    return f"{record.key.model} at {record.started_at[:19]}"
