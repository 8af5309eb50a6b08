"""How are records shown to a person at a terminal?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.base import FORMATS, Format
from benchbox.report.rows import columns_and_rows, notes_from_records
from benchbox.report.table import text_table
from benchbox.schema.record import Record

LEGEND = (
    "p50, p90, p99: latency in the row's mode. 95 %: interval of p50 over n fresh processes. MDE: least change of p50 "
    "that two such rows would show; in mode offline both of samples/s. achieved: FLOPs on paper / p50. Definitions: "
    "docs/metrics.md"
)


def render(records: Sequence[Record]) -> str:
    """A table, then reasons and flags in words, then what the columns mean."""
    if not records:
        return "no records; 'benchbox run' makes some"
    parts = [text_table(*columns_and_rows(records))]
    notes = notes_from_records(records)
    if notes:
        parts.append("\n".join(notes))
    return "\n\n".join([*parts, LEGEND])


FORMATS.register("table", Format(name="table", render=render))
