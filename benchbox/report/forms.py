"""In which forms can every view be written?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchbox.registry import require_known
from benchbox.report.table import csv_text
from benchbox.store.documents import json_text

FORMS = ("table", "md", "csv", "json")


def require_form(form: str) -> str:
    """The form's name if there is such a one, else a UsageError with the nearest."""
    return require_known("format", form, FORMS)


def render_form(
    form: str,
    *,
    document: Callable[[], object],
    lines: Callable[[], Sequence[Mapping[str, object]]],
    body: Callable[[str], str],
) -> str:
    """A view as text.

    Args:
        form: one of ``FORMS``.
        document: makes the JSON document.
        lines: makes the rows of the CSV.
        body: makes the text for people, its tables in the form "table" or "md".
    """
    if form == "json":
        return json_text(document())
    return csv_text(lines()) if form == "csv" else body(form)
