"""How wide is the screen, and how does a table fit it?"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from benchbox.report.table import Column, Row, fitted, markdown_table, text_table, texts_of, widths_of

# Narrower than this a folded cell is harder to read than a line that wraps.
_LEAST_FOLDED = 16


def screen_width() -> int | None:
    """Characters of a line where standard output is a terminal, None where it is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def screen_table(
    columns: Sequence[Column[Any]], rows: Sequence[Sequence[str]], *, width: int | None, remedy: str
) -> str:
    """One aligned table of at most a screen's width, and a line about the columns that were left out.

    Args:
        columns: those of the highest rank are left out first; the widest of those that may be folded is then folded.
        rows: with a text for each column.
        width: characters of a line, None for no limit.
        remedy: what shows the columns that are left out, "--wide shows all".
    """
    columns, shown, left_out = fitted(columns, rows, width=width)
    if width is not None:
        shown = _folded(columns, shown, width)
    table = text_table(columns, shown)
    return f"{table}\nleft out at {width} columns: {', '.join(left_out)} ({remedy})" if left_out else table


def table_of(
    columns: Sequence[Column[Row]], rows: Sequence[Row], *, last: Sequence[str] = (), form: str = "table"
) -> str:
    """The rows as text that fits the screen ("table") or Markdown ("md"); ``last`` are the texts of one more row."""
    shown, texts = texts_of(columns, rows)
    whole = [*texts, *([last] if last else [])]
    if form == "md":
        return markdown_table(shown, whole)
    return screen_table(shown, whole, width=screen_width(), remedy="a wider screen or --format csv shows all")


def _folded(columns: Sequence[Column[Any]], rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """The rows with the widest column that may be folded made as narrow as needed: each row becomes several lines."""
    widths = widths_of(columns, rows)
    surplus = sum(widths) + 2 * (len(widths) - 1) - width
    foldable = [index for index, column in enumerate(columns) if column.fold]
    if surplus <= 0 or not foldable:
        return [list(row) for row in rows]
    place = max(foldable, key=lambda index: widths[index])
    room = max(widths[place] - surplus, _LEAST_FOLDED)
    lines: list[list[str]] = []
    for row in rows:
        first, *more = textwrap.wrap(row[place], room) or [""]
        lines.append([*row[:place], first, *row[place + 1 :]])
        lines += [[*[""] * place, text, *[""] * (len(row) - place - 1)] for text in more]
    return lines
