"""How wide is the screen, and how does a table fit it?"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from benchbox.report.table import (
    MOST_IN_A_COMMENT,
    Column,
    Row,
    fitted,
    markdown_table,
    said_once,
    text_table,
    texts_of,
    widths_of,
)

# Narrower than this a folded cell is harder to read than a line that wraps.
_LEAST_FOLDED = 14
# But where so many columns name a row that nothing else helps, a line that the terminal breaks is harder still.
_LEAST_OF_MANY = 8
# A terminal that says that it is narrower is not looked at by anybody.
_LEAST_WIDTH = 20
_UNBROKEN = "\N{NO-BREAK SPACE}"
# A blank that no line ends at: between a number and its unit, and around an equals sign.
_GLUE = re.compile(
    r"(?<=[0-9]) (?=(?:%|[kMGTmµn]?s|[KMGT]i?B|B|[kMGTP]?FLOP/[sB]|[kMG]?B/s|[KMG]iB/s)(?:[\s,;:.)]|$))|(?<==) | (?==)"
)


def screen_width() -> int | None:
    """Characters of a line where standard output is a terminal, None where it is a file or a pipe."""
    return max(shutil.get_terminal_size().columns, _LEAST_WIDTH) if sys.stdout.isatty() else None


def screen_table(
    columns: Sequence[Column[Any]], rows: Sequence[Sequence[str]], *, width: int | None, remedy: str
) -> str:
    """One aligned table of at most a screen's width, then what is the same in all rows, and what was left out.

    Args:
        columns: what the same text in all rows may be said once for, is; then those of the highest rank are left out
            first; the widest of those that may be folded is then folded.
        rows: with a text for each column.
        width: characters of a line, None for no limit.
        remedy: what shows the columns that are left out, "--wide shows all".
    """
    if width is None:
        return text_table(columns, rows)
    columns, shown, same = said_once(columns, rows, width=width)
    columns, shown, left_out = fitted(columns, shown, width=width)
    lines = [f"in {'all rows' if len(rows) > 1 else 'this row'}: {', '.join(same)}"] if same else []
    lines += [f"left out at {width} columns: {', '.join(left_out)} ({remedy})"] if left_out else []
    return "\n".join([text_table(columns, _folded(columns, shown, width)), *(wrapped(line, width) for line in lines)])


def wrapped(line: str, width: int | None) -> str:
    """The line as lines of at most a width, the second and later ones set back; as it is without a width."""
    if width is None:
        return line
    return "\n".join(folded(line, width, indent="  "))


def shell_lines(command: str, width: int | None) -> str:
    """A command set back, over several lines of at most a width if need be, as a shell takes them."""
    lines = [""]
    for part in command.replace(" --", "\n--").split("\n"):
        if width is not None and lines[-1] and len(lines[-1]) + len(part) > width - 6:
            lines.append("")
        lines[-1] = f"{lines[-1]} {part}".strip()
    return " \\\n    ".join([f"  {lines[0]}", *lines[1:]])


def folded(text: str, width: int, *, first: str = "", indent: str = "") -> list[str]:
    """The text in lines; a number and its unit stay together, and so do the sides of an equals sign."""
    kept = _GLUE.sub(_UNBROKEN, text)
    lines = textwrap.wrap(kept, width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)
    return [line.replace(_UNBROKEN, " ") for line in lines]


def lines_below(*lines: str) -> str:
    """Sentences that stand below a table, one under the other, wrapped where standard output is a terminal."""
    width = screen_width()
    return "\n".join(wrapped(line, width) for line in lines if line)


def set_back(text: str, *, by: int = 2) -> str:
    """A sentence that stands under a title, further right, wrapped where standard output is a terminal."""
    width = screen_width()
    lines = [text] if width is None else folded(text, width - by)
    return "\n".join(f"{' ' * by}{line}" for line in lines)


def table_of(
    columns: Sequence[Column[Row]],
    rows: Sequence[Row],
    *,
    last: Sequence[str] = (),
    form: str = "table",
    remedy: str = "a wider screen or --format csv shows all",
) -> str:
    """The rows as text that fits the screen ("table") or as Markdown that fits a comment ("md").

    Args:
        columns: of the table.
        rows: what the columns have texts of.
        last: the texts of one more row.
        form: "table" or "md".
        remedy: what shows the columns that are left out on a narrow screen.
    """
    shown, texts = texts_of(columns, rows)
    whole = [*texts, *([list(last)] if last else [])]
    if form == "md":
        shown, whole, left_out = fitted(shown, whole, width=None, most=MOST_IN_A_COMMENT)
        below = f"left out: {', '.join(left_out)} ({remedy.removeprefix('a wider screen or ')})" if left_out else ""
        return "\n\n".join(filter(None, (markdown_table(shown, whole), below)))
    return screen_table(shown, whole, width=screen_width(), remedy=remedy)


def _folded(columns: Sequence[Column[Any]], rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """The rows with columns that may be folded made as narrow as needed, the widest first: each takes several lines.

    Where these do not suffice, other texts are folded too: a name over two lines is better than a line that the
    terminal breaks wherever it ends.
    """
    widths = widths_of(columns, rows)
    surplus = sum(widths) + 2 * (len(widths) - 1) - width
    rooms: dict[int, int] = {}
    texts = [index for index, column in enumerate(columns) if column.fold or not column.number]
    texts.sort(key=lambda index: (not columns[index].fold, -widths[index]))
    for least in (_LEAST_FOLDED, _LEAST_OF_MANY):
        for index in texts:
            known = rooms.get(index, widths[index])
            room = max(known - surplus, least, len(columns[index].title))
            if surplus > 0 and room < known:
                rooms[index] = room
                surplus -= known - room
        texts.sort(key=lambda index: -rooms.get(index, widths[index]))
    lines: list[list[str]] = []
    for row in rows:
        cells = [(folded(text, rooms[index]) or [""]) if index in rooms else [text] for index, text in enumerate(row)]
        height = max(map(len, cells))
        lines += [[cell[line] if line < len(cell) else "" for cell in cells] for line in range(height)]
    return lines
