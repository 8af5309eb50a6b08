"""How are records written for a page of Markdown, a comment on GitHub for one?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.records.base import FORMATS, USUAL, Format, View
from benchbox.report.records.notes import machine_lines, notes_from_records, skips_and_failures
from benchbox.report.records.rows import columns_and_rows
from benchbox.report.table import MOST_IN_A_COMMENT, Column, fitted, folded_away, markdown_table, said_once
from benchbox.schema.record import Record, Status
from benchbox.units import counted


def render(records: Sequence[Record], *, width: int | None = None, view: View = USUAL) -> str:
    """A table of at most nine columns, the machine, and everything in words folded away."""
    shown = [record for record in records if record.status is not Status.SKIPPED or view.wide]
    columns, rows, _ = columns_and_rows(shown, view, narrow=True)
    same: list[str] = []
    left_out: list[str] = []
    if not (view.wide or view.columns):
        every = {column.title for column in columns}
        columns, rows = _without_ids(columns, rows)
        left_out = sorted(every - {column.title for column in columns})
        columns, rows, same = said_once(columns, rows, most=MOST_IN_A_COMMENT)
        columns, rows, more = fitted(columns, rows, width=None, most=MOST_IN_A_COMMENT)
        left_out += more
    below = [f"in all rows: {', '.join(same)}"] if same else []
    below += [f"left out: {', '.join(left_out)} (--wide shows all)"] if left_out else []
    below += machine_lines(shown)
    parts = [markdown_table(columns, rows), *below]
    notes = [*skips_and_failures(records), *notes_from_records(records, view)]
    if notes:
        parts.append(folded_away(counted(len(notes), "note"), notes))
    return "\n\n".join(filter(None, parts)) + "\n"


def _without_ids(
    columns: Sequence[Column[Record]], rows: Sequence[Sequence[str]]
) -> tuple[list[Column[Record]], list[list[str]]]:
    """Where there are too many columns, ids that no row needs go before the names of cases do."""
    kept = [
        place
        for place, each in enumerate(columns)
        if each.title != "id" or not each.rank or len(columns) <= MOST_IN_A_COMMENT
    ]
    return [columns[place] for place in kept], [[row[place] for place in kept] for row in rows]


FORMATS.register("md", Format(name="md", suffix=".md", render=render))
