"""How are records written for a page of Markdown?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.records.base import FORMATS, Format
from benchbox.report.records.rows import columns_and_rows, notes_from_records
from benchbox.report.table import markdown_table
from benchbox.schema.record import Record


def render(records: Sequence[Record], *, width: int | None = None) -> str:
    """A table and, below it, a list of reasons and flags."""
    columns, rows, _ = columns_and_rows(records)
    table = markdown_table(columns, rows)
    notes = notes_from_records(records)
    return table + ("\n\n" + "\n".join(f"- {note}" for note in notes) if notes else "") + "\n"


FORMATS.register("md", Format(name="md", suffix=".md", render=render))
