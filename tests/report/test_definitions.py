"""Definitions are read off the tables of the pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbox.errors import StoreError
from benchbox.report import definitions as home
from benchbox.report.definitions import definitions_of, known_names
from benchbox.report.records.rows import titles_of_columns

PAGE = """# Numbers

| metric | unit | what |
|---|---|---|
| `one` `two` (`--flag`) | s | **bold** and `code`, [a link](there.md), a \\| bar |
| `kind_WORD` | 1 | any word |
| no name | s | left out |

## Others

| flag | do |
|---|---|
| `ALL_CAPS` | — |
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in home.PAGES:
        (tmp_path / name).write_text(PAGE if name == home.PAGES[0] else "", encoding="utf-8")
    monkeypatch.setattr(home, "_COPIES", tmp_path)


@pytest.mark.usefixtures("page")
def test_rows_become_definitions() -> None:
    assert known_names() == ("one", "two", "kind_WORD", "ALL_CAPS")
    (found,) = definitions_of("TWO")
    assert found.names == ("one", "two")
    assert found.kind == "metric"
    assert found.facts == (("unit", "s"), ("what", "bold and code, a link, a | bar"))
    assert found.place == "docs/metrics.md, Numbers"


@pytest.mark.usefixtures("page")
def test_a_word_in_capitals_stands_for_any() -> None:
    assert definitions_of("kind_p90") == definitions_of("kind_WORD")
    assert definitions_of("kind_") == ()
    assert definitions_of("ALL_OTHER") == ()
    (flag,) = definitions_of("all_caps")
    assert flag.facts == ()


def test_missing_pages_are_an_error_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "_COPIES", tmp_path / "none")
    monkeypatch.setattr(home, "_CHECKOUT", tmp_path / "none either")
    with pytest.raises(StoreError, match="definitions are missing"):
        known_names()


def test_every_column_of_the_table_is_defined_or_names_a_part_of_the_case() -> None:
    of_the_case = {"model", "network", "backend", "variant", "batch", "mode", "threads", "transfer", "wait"}
    words = {"status", "flags", "id", "MACs", "params", "GPU p50", "enqueue p50", "J/sample"}
    words |= {"trtexec latency", "trtexec GPU", "trtexec qps"}
    known = set(known_names())
    titles = {title.replace(" ", "_") for title in set(titles_of_columns()) - of_the_case - words}
    assert titles <= known
