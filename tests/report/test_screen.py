"""A table fits the screen: columns are left out by rank, texts are folded, and it says so."""

from __future__ import annotations

import pytest

from benchbox.report.screen import folded, screen_table, table_of
from benchbox.report.table import Column

COLUMNS = (
    Column(title="name"),
    Column(title="rare", rank=2),
    Column(title="often", rank=1),
    Column(title="paper", fold=True),
)
ROWS = [["a", "1" * 8, "2" * 8, "one two three four five six"], ["b", "3" * 8, "4" * 8, "seven"]]


def test_the_highest_rank_goes_first_and_is_named() -> None:
    whole = screen_table(COLUMNS, ROWS, width=None, remedy="--wide")
    assert len(whole.splitlines()) == 4
    lines = screen_table(COLUMNS, ROWS, width=45, remedy="--wide").splitlines()
    assert lines[0].split() == ["name", "often", "paper"]
    assert lines[-1] == "left out at 45 columns: rare (--wide)"
    assert max(map(len, lines[:-1])) <= 45


def test_then_one_text_is_folded() -> None:
    lines = screen_table(COLUMNS, ROWS, width=24, remedy="--wide").splitlines()
    assert lines[0].split() == ["name", "paper"]
    assert lines[2:] == [
        "a     one two three four",
        "      five six",
        "b     seven",
        "left out at 24 columns:",
        "  rare, often (--wide)",
    ]


def test_where_one_is_not_enough_the_next_is_folded_too() -> None:
    columns = [Column(title="A", fold=True), Column(title="B", fold=True)]
    lines = screen_table(columns, [["onnxruntime fp32", "onnxruntime int8"]], width=30, remedy="").splitlines()
    assert lines[2:] == ["onnxruntime  onnxruntime", "fp32         int8"]


def test_where_all_that_is_not_enough_names_are_folded_but_no_number() -> None:
    columns = [Column(title="model"), Column(title="backend"), Column(title="p50", number=True)]
    rows = [["shufflenet_v2_x1_0", "onnxruntime", "12.345 ms"]]
    lines = screen_table(columns, rows, width=38, remedy="").splitlines()
    assert lines[2:] == ["shufflenet_v2_  onnxruntime  12.345 ms", "x1_0"]


def test_a_row_that_many_short_columns_name_fits_too() -> None:
    """Each is narrower than what a cell is folded to at first; the widest is folded further, titles stay whole."""
    columns = [Column(title="model"), Column(title="precision"), Column(title="variant", fold=True), Column(title="id")]
    rows = [["mynets.small", "int8 98.4 %", "input=3x32x32", "20261129T200019Z-0"], ["lenet5", "fp32", "", "2026"]]
    for width in (60, 52, 45):
        lines = screen_table(columns, rows, width=width, remedy="").splitlines()
        assert max(map(len, lines)) <= width, lines
        assert lines[0].split() == ["model", "precision", "variant", "id"]


def test_what_is_the_same_in_all_rows_is_said_once() -> None:
    columns = [Column(title="name"), Column(title="kind", once=True), Column(title="paper", rank=1)]
    rows = [["a", "alike", "one two"], ["b", "alike", "three"]]
    assert screen_table(columns, rows, width=24, remedy="--wide").splitlines()[0] == "name  kind   paper"
    lines = screen_table(columns, rows, width=19, remedy="--wide").splitlines()
    assert lines == ["name  paper", "────  ───────", "a     one two", "b     three", "in all rows: kind", "  alike"]
    assert screen_table(columns, rows[:1], width=19, remedy="--wide").splitlines()[-2:] == [
        "in this row: kind",
        "  alike",
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("it took 12 ms of all", ["it took", "12 ms of", "all"]),
        ("in all 38 % more", ["in all", "38 % more"]),
        ("test p = 0.03 here", ["test", "p = 0.03", "here"]),
        ("of 8 files, 3 seen", ["of 8", "files, 3", "seen"]),
    ],
)
def test_what_is_one_thing_stays_on_one_line(text: str, lines: list[str]) -> None:
    assert folded(text, 9) == lines


def test_names_are_not_broken_at_their_hyphens() -> None:
    assert folded("single-stream is one", 14) == ["single-stream", "is one"]


def test_a_file_gets_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    columns: list[Column[str]] = [Column(title="a", cell=lambda row: row * 30), Column(title="b", rank=1)]
    assert table_of(columns, ["x", "y"]).splitlines()[0].split() == ["a", "b"]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert table_of(columns, ["x", "y"]).splitlines()[0].split() == ["a"]
