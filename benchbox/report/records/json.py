"""How are records written for programs that want everything?"""

from __future__ import annotations

import json
from collections.abc import Sequence

from benchbox.report.records.base import FORMATS, Format
from benchbox.schema.record import Record
from benchbox.store.documents import document_from_record


def render(records: Sequence[Record]) -> str:
    """One document of kind ``benchbox.report/1`` with the records as ``benchbox run --json`` prints them."""
    document = {"schema": "benchbox.report/1", "records": [document_from_record(record) for record in records]}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS.register("json", Format(name="json", render=render))
