"""How are records written for programs that want everything?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.records.base import FORMATS, USUAL, Format, View
from benchbox.schema.record import Record
from benchbox.store.documents import document_from_record, json_text


def render(records: Sequence[Record], *, width: int | None = None, view: View = USUAL) -> str:
    """One document of kind ``benchbox.report/1`` with the records as ``benchbox run --json`` prints them."""
    document = {"schema": "benchbox.report/1", "records": [document_from_record(record) for record in records]}
    return json_text(document) + "\n"


FORMATS.register("json", Format(name="json", suffix=".json", render=render))
