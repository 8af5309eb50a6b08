"""How are records written for spreadsheets and other programs?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.records.base import FORMATS, USUAL, Format, View
from benchbox.schema.record import Record


def render(records: Sequence[Record], *, width: int | None = None, view: View = USUAL) -> str:
    """One line per record (RFC 4180), unrounded, in base SI units; empty cells are what was not measured."""
    from benchbox.store.frame import frame_from_records, table_from_frame

    return table_from_frame(frame_from_records(records)).to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%S%z")


FORMATS.register("csv", Format(name="csv", suffix=".csv", render=render))
