"""How is the lecture's table of a network shown?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.cost.lecture.table import LectureRow
from benchbox.report.screen import lines_below, table_of
from benchbox.report.table import Column, csv_text
from benchbox.store.documents import plain


def _whole(number: float) -> str:
    """KB, k and M as the lecture prints them: rounded half up to whole numbers."""
    return str(int(number + 0.5))


def _same(sizes: tuple[int, ...]) -> str:
    """One number where all are equal, as for square maps and kernels."""
    return str(sizes[0]) if len(set(sizes)) == 1 else "x".join(map(str, sizes))


_COLUMNS: tuple[Column[LectureRow], ...] = (
    Column(title="layer", cell=lambda row: row.name),
    Column(title="in C", rank=2, cell=lambda row: str(row.in_c), number=True),
    Column(title="in H/W", rank=2, cell=lambda row: _same(row.in_hw), number=True),
    Column(title="filters", cell=lambda row: "" if row.filters is None else str(row.filters), number=True),
    Column(title="kernel", cell=lambda row: _same(row.kernel), number=True),
    Column(title="stride", cell=lambda row: _same(row.stride), number=True),
    Column(title="pad", rank=1, cell=lambda row: _same(row.pad), number=True),
    Column(title="out C", cell=lambda row: str(row.out_c), number=True),
    Column(title="out H/W", cell=lambda row: _same(row.out_hw), number=True),
    Column(title="memory (KB)", cell=lambda row: _whole(row.memory_bytes / 1024), number=True),
    Column(title="params (k)", cell=lambda row: _whole(row.params / 1000), number=True),
    Column(title="flop (M)", cell=lambda row: _whole(row.flops / 1e6), number=True),
)


def render_lecture(rows: Sequence[LectureRow], *, title: str, form: str) -> str:
    """The table as text ("table"), Markdown ("md") or CSV ("csv").

    Args:
        rows: of the network, for one sample.
        title: said below the table.
        form: of the output.
    """
    if form == "csv":
        return csv_text([{column.title: column.cell(row) for column in _COLUMNS} for row in rows])
    table = table_of(_COLUMNS, rows, last=("total", *[""] * 8, *_sums(rows)), form=form)
    legend = (
        "a multiply-add is 1 flop, a pool does C·H·W·K²; memory is what a layer writes, 4 bytes an element, "
        "KB of 1024; see docs/lecture.md"
    )
    return f"{table}\n\n{lines_below(title, legend)}"


def document_from_rows(rows: Sequence[LectureRow]) -> list[dict[str, object]]:
    """The rows for the JSON document, in elements, bytes and single operations."""
    return [{**plain(row), "memory_bytes": row.memory_bytes} for row in rows]


def _sums(rows: Sequence[LectureRow]) -> tuple[str, ...]:
    memory_bytes, params, flops = (
        sum(getattr(row, name) for row in rows) for name in ("memory_bytes", "params", "flops")
    )
    return _whole(memory_bytes / 1024), _whole(params / 1000), _whole(flops / 1e6)
