"""What is a report format?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchbox.errors import UsageError
from benchbox.registry import Registry
from benchbox.schema.record import Record


@dataclass(frozen=True, kw_only=True)
class View:
    """What a person wants to see of records beyond the usual.

    Attributes:
        wide: every column that some record has a text for, instead of those that answer "how fast?".
        columns: titles of columns to show in this order instead of the usual ones; empty for those.
        notes: every flag in words, instead of the most severe ones.
        quick: the records were taken with --quick just now: advice says so.
        paired: they are sides of --ab, measured in turn just now: verdicts compare them, not their rows.
    """

    wide: bool = False
    columns: tuple[str, ...] = ()
    notes: bool = False
    quick: bool = False
    paired: bool = False


USUAL = View()


class Render(Protocol):
    """Writes records as text."""

    def __call__(self, records: Sequence[Record], *, width: int | None = None, view: View = USUAL) -> str:
        """The text; ``width`` is that of the screen in characters, None where it goes to a file or a pipe."""
        ...


@dataclass(frozen=True, kw_only=True)
class Format:
    """A way to write records as text, registered in ``FORMATS`` by its file in ``report/records/``.

    ``suffix`` is the ending of files in this format.
    """

    name: str
    suffix: str
    render: Render


FORMATS: Registry[Format] = Registry("format", "benchbox.report.records")
# Pages with pictures are made of more than records: ``report/page/``.
PAGE = "html"
PAGES = {".htm": PAGE, ".html": PAGE}


def format_of_file(name: str) -> str:
    """The format that a file's ending means, the table for a name without one; raises UsageError for an unknown one."""
    suffix = Path(name).suffix.lower()
    by_suffix = {known.suffix: known.name for known in FORMATS} | PAGES
    if not suffix or suffix in by_suffix:
        return by_suffix.get(suffix, "table")
    raise UsageError(
        f"no format has the ending '{suffix}'",
        values=f"got {name}; known: {', '.join(sorted(by_suffix))}",
        remedy=f"use one of these endings, or say the format: --format {'|'.join(dict.fromkeys(by_suffix.values()))}",
    )
