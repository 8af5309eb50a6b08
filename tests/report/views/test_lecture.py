"""The lecture's table as text, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io

from benchbox.cost.lecture.table import LectureRow, RowKind
from benchbox.report.views.lecture import document_from_rows, render_lecture

ROWS = (
    LectureRow(
        name="conv", kind=RowKind.CONV, in_c=3, in_hw=(227, 227), out_c=64, out_hw=(56, 56), filters=64,
        kernel=(11, 11), stride=(4, 4), pad=(2, 2, 2, 2), params=23_296, flops=72_855_552,
    ),
    LectureRow(name="wide", kind=RowKind.POOL, in_c=64, in_hw=(4, 6), out_c=64, out_hw=(2, 2), kernel=(2, 3)),
    LectureRow(name="fc", kind=RowKind.FC, in_c=256, in_hw=(), out_c=1000, out_hw=(), filters=1000),
)  # fmt: skip


def test_numbers_are_rounded_as_the_lecture_does() -> None:
    lines = render_lecture(ROWS, title="net", form="table").splitlines()
    assert lines[2].split() == ["conv", "3", "227", "64", "11", "4", "2", "64", "56", "784", "23", "73"]
    assert "4x6" in lines[3]
    assert "2x3" in lines[3]
    assert lines[5].split() == ["total", "789", "23", "73"]


def test_formats() -> None:
    assert render_lecture(ROWS, title="net", form="md").startswith("| layer")
    rows = list(csv.DictReader(io.StringIO(render_lecture(ROWS, title="net", form="csv"))))
    assert [row["out C"] for row in rows] == ["64", "64", "1000"]
    document = document_from_rows(ROWS)
    assert document[0]["memory_bytes"] == 802_816
    assert document[2]["kernel"] == []
