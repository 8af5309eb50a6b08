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
