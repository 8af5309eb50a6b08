"""How are rows laid out: as an aligned text table, as Markdown?"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column's title; numbers are aligned to the right."""

    title: str
    number: bool = False


def text_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns two spaces apart under a rule; lines are never wrapped."""
    widths = [
        max(_width(text) for text in (column.title, *(row[index] for row in rows)))
        for index, column in enumerate(columns)
    ]
    rule = ["─" * width for width in widths]
    lines = [[column.title for column in columns], rule, *rows]
    return "\n".join(
        "  ".join(
            _padded(text, width, right=column.number) for text, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in lines
    )


def folded_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, keys: int, width: int) -> str:
    """A text table that is as wide as a screen at most: what does not fit stands below, behind the same first columns.

    Args:
        columns: of the whole table.
        rows: with a text for each column.
        keys: how many columns at the beginning name a row.
        width: characters of a line; a single column may still be wider than that.
    """
    parts: list[list[int]] = [[]]
    for index in range(keys, len(columns)):
        tried = [*range(keys), *parts[-1], index]
        if parts[-1] and _table_width(columns, rows, tried) > width:
            parts.append([index])
        else:
            parts[-1].append(index)
    chosen = ([*range(keys), *part] for part in parts)
    return "\n\n".join(
        text_table([columns[index] for index in part], [[row[index] for index in part] for row in rows])
        for part in chosen
    )


def _table_width(columns: Sequence[Column], rows: Sequence[Sequence[str]], chosen: Sequence[int]) -> int:
    widest = (max(_width(text) for text in (columns[index].title, *(row[index] for row in rows))) for index in chosen)
    return sum(widest) + 2 * (len(chosen) - 1)


def markdown_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """A table of GitHub's Markdown; bars in cells are escaped."""
    lines = [
        [column.title for column in columns],
        ["---:" if column.number else "---" for column in columns],
        *([text.replace("|", "\\|").replace("\n", " ") for text in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def _padded(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space
