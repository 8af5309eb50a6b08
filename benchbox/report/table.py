"""How are rows laid out: as an aligned text table, as Markdown, as CSV?"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from benchbox.units import ABSENT

Row = TypeVar("Row")
# Columns that a comment on GitHub has room for.
MOST_IN_A_COMMENT = 9


@dataclass(frozen=True, kw_only=True)
class Column(Generic[Row]):
    """A column's title and its text in a row; numbers are aligned to the right.

    An optional column is left out where no row has a text other than "" and the dash for what is absent. Where a table
    is wider than the screen, those that need be said only ``once``, having one text in all rows, are said below it;
    then columns of the highest ``rank`` are left out first, those of rank 0 never; then the texts of one that may
    ``fold`` take several lines.
    """

    title: str
    cell: Callable[[Row], str] = str
    number: bool = False
    optional: bool = False
    rank: int = 0
    fold: bool = False
    once: bool = False


def texts_of(columns: Sequence[Column[Row]], rows: Sequence[Row]) -> tuple[list[Column[Row]], list[list[str]]]:
    """The columns that these rows need, and the texts of each row."""
    whole = [[column.cell(row) for column in columns] for row in rows]
    needed = [
        place
        for place, column in enumerate(columns)
        if not column.optional or any(texts[place] not in {"", ABSENT} for texts in whole)
    ]
    return [columns[place] for place in needed], [[texts[place] for place in needed] for texts in whole]


def csv_text(rows: Sequence[Mapping[str, object]], *, empty: Sequence[str] = ("name",)) -> str:
    """One line per row under the names of the first row's entries, or ``empty`` without rows; no newline at the end.

    Lists are joined by spaces, nested documents are left out, None is an empty cell.
    """
    flat = [{key: _csv_cell(value) for key, value in row.items() if not isinstance(value, Mapping)} for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(flat[0]) if flat else list(empty), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue().rstrip("\n")


def _csv_cell(value: object) -> object:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return "" if value is None else value


def text_table(columns: Sequence[Column[Any]], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns two spaces apart under a rule; lines are never wrapped."""
    widths = widths_of(columns, rows)
    rule = ["─" * width for width in widths]
    lines = [[column.title for column in columns], rule, *rows]
    return "\n".join(
        "  ".join(
            _padded(text, width, right=column.number) for text, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in lines
    )


def widths_of(columns: Sequence[Column[Any]], rows: Sequence[Sequence[str]]) -> list[int]:
    """How many characters each column takes on a screen."""
    return [
        max(_width(text) for text in (column.title, *(row[index] for row in rows)))
        for index, column in enumerate(columns)
    ]


def folded_table(columns: Sequence[Column[Any]], rows: Sequence[Sequence[str]], *, keys: int, width: int) -> str:
    """A text table of at most a screen's width: columns that do not fit follow below, after the same first columns.

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


def said_once(
    columns: Sequence[Column[Any]],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None = None,
    most: int | None = None,
) -> tuple[list[Column[Any]], list[list[str]], list[str]]:
    """A table that is too wide without what may be said once for all rows, the widest column first.

    Args:
        columns: of the whole table.
        rows: with a text for each column.
        width: characters of a line, None for no limit.
        most: how many columns there may be, None for any number.

    Returns:
        The columns that stay, their texts, and what is said instead of the others: "batch 1".
    """
    alike = [index for index, column in enumerate(columns) if column.once and len({row[index] for row in rows}) == 1]
    widths = widths_of(columns, rows)
    kept = list(range(len(columns)))
    for index in sorted(alike, key=lambda index: -widths[index]):
        wide = width is not None and _table_width(columns, rows, kept) > width
        if wide or (most is not None and len(kept) > most):
            kept.remove(index)
    said = [f"{columns[index].title} {rows[0][index]}" for index in alike if index not in kept]
    return [columns[index] for index in kept], [[row[index] for index in kept] for row in rows], said


def fitted(
    columns: Sequence[Column[Any]], rows: Sequence[Sequence[str]], *, width: int | None, most: int | None = None
) -> tuple[list[Column[Any]], list[list[str]], list[str]]:
    """The columns that fit a screen, highest ranks left out first: columns, texts of rows, titles left out.

    Args:
        columns: of the whole table.
        rows: with a text for each column.
        width: characters of a line, None for no limit. Columns of rank 0 stay, however wide they are.
        most: how many columns there may be, None for any number.
    """

    def fits(chosen: Sequence[int]) -> bool:
        narrow = width is None or _table_width(columns, rows, chosen) <= width
        return narrow and (most is None or len(chosen) <= most)

    kept = list(range(len(columns)))
    while not fits(kept):
        ranked = [index for index in kept if columns[index].rank]
        if not ranked:
            break
        kept.remove(max(ranked, key=lambda index: (columns[index].rank, index)))
    left_out = [column.title for index, column in enumerate(columns) if index not in kept]
    return [columns[index] for index in kept], [[row[index] for index in kept] for row in rows], left_out


def comment_table(columns: Sequence[Column[Row]], rows: Sequence[Row], *, remedy: str) -> str:
    """A Markdown table as a comment shows it without scrolling; below it what is the same in all rows, or left out.

    ``remedy`` is what shows the columns that are left out: "--format csv shows all".
    """
    shown, texts = texts_of(columns, rows)
    shown, texts, same = said_once(shown, texts, most=MOST_IN_A_COMMENT)
    shown, texts, left_out = fitted(shown, texts, width=None, most=MOST_IN_A_COMMENT)
    below = [f"in {'all rows' if len(rows) > 1 else 'this row'}: {', '.join(same)}"] if same else []
    below += [f"left out: {', '.join(left_out)} ({remedy})"] if left_out else []
    return "\n\n".join([markdown_table(shown, texts), *below])


def folded_away(title: str, lines: Sequence[str]) -> str:
    """Sentences of a Markdown comment that a click shows."""
    listed = "\n".join(f"- {line}" for line in lines)
    return f"<details><summary>{title}</summary>\n\n{listed}\n\n</details>"


def _table_width(columns: Sequence[Column[Any]], rows: Sequence[Sequence[str]], chosen: Sequence[int]) -> int:
    widths = widths_of(columns, rows)
    return sum(widths[index] for index in chosen) + 2 * (len(chosen) - 1)


def markdown_table(columns: Sequence[Column[Any]], rows: Sequence[Sequence[str]]) -> str:
    """A table of GitHub's Markdown; bars in cells are escaped, and numbers stay on one line with their units."""

    def cell(column: Column[Any], text: str) -> str:
        text = text.replace("|", "\\|").replace("\n", " ")
        return text.replace(" ", "\N{NO-BREAK SPACE}") if column.number else text

    lines = [
        [column.title for column in columns],
        ["---:" if column.number else "---" for column in columns],
        *([cell(column, text) for column, text in zip(columns, row, strict=True)] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def _padded(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space
