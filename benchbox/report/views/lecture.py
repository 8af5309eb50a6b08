"""How is the lecture's table of a network shown?"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from benchbox.cost.lecture.table import LectureRow
from benchbox.report.table import Column, markdown_table, text_table

_COLUMNS = (
    Column(title="layer"),
    Column(title="in C", number=True),
    Column(title="in H/W", number=True),
    Column(title="filters", number=True),
    Column(title="kernel", number=True),
    Column(title="stride", number=True),
    Column(title="pad", number=True),
    Column(title="out C", number=True),
    Column(title="out H/W", number=True),
    Column(title="memory (KB)", number=True),
    Column(title="params (k)", number=True),
    Column(title="flop (M)", number=True),
)


def render_lecture(rows: Sequence[LectureRow], *, title: str, form: str) -> str:
    """The table as text ("table"), Markdown ("md") or CSV ("csv").

    Args:
        rows: of the network, for one sample.
        title: said below the table.
        form: of the output.
    """
    total = ("total", *[""] * 8, *_sums(rows))
    if form == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column.title for column in _COLUMNS])
        writer.writerows(_cells(row) for row in rows)
        return text.getvalue().rstrip("\n")
    table = (markdown_table if form == "md" else text_table)(_COLUMNS, [*map(_cells, rows), total])
    return (
        f"{table}\n\n{title}\na multiply-add is 1 flop, a pool does C·H·W·K²; memory is what a layer writes, 4 bytes "
        "an element, KB of 1024; see docs/lecture.md"
    )


def document_from_rows(rows: Sequence[LectureRow]) -> list[dict[str, object]]:
    """The rows for the JSON document, in elements, bytes and single operations."""
    return [
        {
            "name": row.name,
            "in_c": row.in_c,
            "in_hw": list(row.in_hw),
            "filters": row.filters,
            "kernel": list(row.kernel),
            "stride": list(row.stride),
            "pad": list(row.pad),
            "out_c": row.out_c,
            "out_hw": list(row.out_hw),
            "memory_bytes": row.memory_bytes,
            "params": row.params,
            "flops": row.flops,
        }
        for row in rows
    ]


def _cells(row: LectureRow) -> tuple[str, ...]:
    return (
        row.name,
        str(row.in_c),
        _same(row.in_hw),
        "" if row.filters is None else str(row.filters),
        _same(row.kernel),
        _same(row.stride),
        _same(row.pad),
        str(row.out_c),
        _same(row.out_hw),
        *_numbers(row.memory_bytes, row.params, row.flops),
    )


def _sums(rows: Sequence[LectureRow]) -> tuple[str, ...]:
    return _numbers(sum(r.memory_bytes for r in rows), sum(r.params for r in rows), sum(r.flops for r in rows))


def _numbers(memory_bytes: int, params: int, flops: int) -> tuple[str, ...]:
    """KB, k and M as the lecture prints them: rounded half up to whole numbers."""
    return tuple(str(int(number + 0.5)) for number in (memory_bytes / 1024, params / 1000, flops / 1e6))


def _same(sizes: tuple[int, ...]) -> str:
    """One number where all are equal, as for square maps and kernels."""
    return str(sizes[0]) if len(set(sizes)) == 1 else "x".join(map(str, sizes))
