"""Definitions are read off the tables of the pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
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


def titles_in_the_source() -> set[str]:
    """Every title of a column that the package writes down."""
    found = set()
    for path in (Path(home.__file__).parents[1]).rglob("*.py"):
        if {"plots", "page", "backends"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in MAKERS:
                titles = [*(word.value for word in node.keywords if word.arg == "title"), *node.args[:1]]
                found |= {
                    each.value for each in titles if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
    return found


# What makes a column of a table, its title being the first argument or called so.
MAKERS = {"Column", "column", "_reading", "_known", "_certainty", "_analytical", "_of_engine"}


def test_every_column_of_every_table_is_defined() -> None:
    """As its title is written: "'benchbox explain NAME' defines a column" stands below the tables."""
    titles = {*titles_in_the_source(), *titles_of_columns()}
    assert len(titles) > 100
    titles |= {"ratio to A", "side", "side id", "B/A"}  # written where it is known how many sides there are
    assert {title for title in titles if not definitions_of(title)} == set()


def test_every_flag_is_defined() -> None:
    """Also those that only ``benchbox doctor`` shows."""
    found = set()
    for path in (Path(home.__file__).parents[1] / "flags").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                words = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "code")]
                texts = [word.value for word in words if isinstance(word, ast.Constant)]
                found |= {text for text in texts if isinstance(text, str) and re.fullmatch(r"[A-Z][A-Z0-9_]{4,}", text)}
    assert {"LOADED", "VIRTUALIZED", "CUT_SHORT", "NOISY"} <= found
    assert {code for code in found if not definitions_of(code)} == set()


def test_a_title_of_several_words_needs_no_quotes(benchbox: Callable) -> None:
    ran = benchbox("explain", "least", "traffic")
    assert ran.status == 0
    assert "bytes that a kernel must move" in ran.out


def test_options_in_a_first_cell_name_nothing(benchbox: Callable) -> None:
    """Between the code marks of two options stands a comma, which no one asks for."""
    listed = benchbox("explain").out.split()
    assert {"isolated", "pipelined"} <= set(listed)
    assert not [name for name in listed if name.startswith("-") and name != "--mode:"]
    assert "," not in listed
