"""How are records shown to a person at a terminal?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.records.base import FORMATS, USUAL, Format, View
from benchbox.report.records.notes import machine_lines, notes_from_records, skips_and_failures
from benchbox.report.records.rows import columns_and_rows
from benchbox.report.screen import screen_table, wrapped
from benchbox.report.table import folded_table, text_table
from benchbox.schema.record import Record, Status

LEGEND = "±: 95 % interval over fresh processes{more}. 'benchbox explain NAME' defines a column or flag"
_SPEED_UP = "; speed-up: samples/s against the first row of the network"
WIDE_LEGEND = (
    "p50, p90, p99: latency in the row's mode. interval: 95 % of p50 over n fresh processes. MDE: smallest change of "
    "p50 that two such runs could detect (in offline mode interval and MDE are of samples/s). analytical: weights + "
    "peak live activations, in bytes. achieved: analytical FLOPs / p50. executed: MACs by executed type, where not all "
    "ran in the precision. 'benchbox explain NAME' defines a column or flag"
)


def render(records: Sequence[Record], *, width: int | None = None, view: View = USUAL) -> str:
    """A table that fits the width, then reasons, flags in words, the machine, and what the columns mean."""
    if not records:
        return "no records; 'benchbox run' makes some"
    measured = [record for record in records if record.status is not Status.SKIPPED or view.wide]
    parts = [_table(measured, width, view)] if measured else []
    parts.append("\n".join(wrapped(line, width) for line in skips_and_failures(records)))
    parts.append("\n".join(wrapped(line, width) for line in notes_from_records(records, view)))
    if measured:
        usual = LEGEND.format(more=_SPEED_UP if "speed-up" in parts[0] else "")
        legend = [*machine_lines(measured), WIDE_LEGEND if view.wide else usual]
        parts.append("\n".join(wrapped(line, width) for line in legend))
    return "\n\n".join(filter(None, parts))


def _table(records: Sequence[Record], width: int | None, view: View) -> str:
    """One table, with a line about what was left out; the wide one, and one of chosen columns, is folded instead."""
    columns, rows, naming = columns_and_rows(records, view, narrow=width is not None)
    if view.wide or view.columns:
        return text_table(columns, rows) if width is None else folded_table(columns, rows, keys=naming, width=width)
    return screen_table(columns, rows, width=width, remedy="--wide shows all")


FORMATS.register("table", Format(name="table", suffix=".txt", render=render))
