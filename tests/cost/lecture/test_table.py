"""Every figure that the lecture prints is reproduced, or is a known slip with its explanation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lecture_figures import Value, figures, printed_from, total
from write_lecture import agreement, notes, page, printed, rounded

from benchbox.cost.lecture.table import RowKind, lecture_rows
from benchbox.graph.graph import Graph

PRINTED = {figure["id"]: figure for figure in printed()}
NOTES = notes()
NOT_COMPUTED = {"fact", "sourced"}


@pytest.fixture(scope="module")
def computed(zoo_graph: Callable[[str], Graph]) -> dict[str, Value]:
    return figures(zoo_graph)


def test_there_are_435_figures() -> None:
    assert len(PRINTED) == len(printed()) == 435


@pytest.mark.parametrize("name", PRINTED)
def test_a_figure_is_reproduced_or_explained(name: str, computed: dict[str, Value]) -> None:
    agrees = agreement(PRINTED[name], computed.get(name))
    label, text = NOTES.get(name, ("", ""))
    if name not in computed:
        assert label in NOT_COMPUTED or PRINTED[name]["kind"] == "empirical"
        assert text
    elif agrees:
        assert label in {"", "remark", "sourced", "convention"}
    else:
        assert label in {"erratum", "convention", "truncated", "false", "answered", "sourced"}
        assert text


def test_a_changed_figure_would_be_noticed(computed: dict[str, Value]) -> None:
    """One unit in the last printed place, and a reproduced number is reproduced no more."""
    numbers = 0
    for name, value in computed.items():
        figure = PRINTED.get(name)
        if figure is None or not agreement(figure, value) or not isinstance(figure["value"], int | float):
            continue
        wanted = figure["value"]
        places = len(str(wanted).partition(".")[2]) if isinstance(wanted, float) else 0
        for step in (1, -1):
            changed = round(wanted + step / 10**places, places)
            assert not agreement({**figure, "value": changed}, value), name
        numbers += 1
    assert numbers > 250


def test_labels_are_the_known_ones(computed: dict[str, Value]) -> None:
    labels = Counter(label for name, (label, _) in NOTES.items() if not agreement(PRINTED[name], computed.get(name)))
    assert labels["erratum"] == 19
    assert labels["false"] == 2
    assert labels["truncated"] == 1
    assert labels["answered"] == 4
    assert set(NOTES) <= set(PRINTED)


def test_slips_are_reproduced_too(zoo_graph: Callable[[str], Graph]) -> None:
    """Where we say how a wrong figure came about, that way gives the printed figure."""
    for name, value in printed_from(zoo_graph).items():
        assert rounded(value, PRINTED[name]["value"]) == PRINTED[name]["value"], name


def test_the_page_is_what_the_tool_writes(zoo_graph: Callable[[str], Graph]) -> None:
    path = Path(__file__).parents[3] / "docs" / "lecture.md"
    assert path.read_text() == page(zoo_graph), "run: python docs/write_lecture.py"


def test_rows_are_of_one_sample(zoo_graph: Callable[[str], Graph], benchbox: Callable[..., Any]) -> None:
    rows = lecture_rows(zoo_graph("lenet5"))
    assert [row.kind for row in rows] == [
        RowKind.CONV, RowKind.POOL, RowKind.CONV, RowKind.POOL, RowKind.FLATTEN, RowKind.FC, RowKind.FC
    ]  # fmt: skip
    assert total(rows, "params") == 1_256_080
    document = benchbox("flops", "lenet5", "--batch", "3", "--convention", "lecture", "--json").document
    assert document["convention"] == "lecture"
    assert sum(row["flops"] for row in document["lecture"]) == total(rows, "flops")
    assert document["count"] == 3 * total(rows, "flops")
    assert document["macs"] == 3 * 6_522_000


def test_no_row_is_a_part_of_a_response_norm(zoo_graph: Callable[[str], Graph]) -> None:
    kinds = Counter(row.kind for row in lecture_rows(zoo_graph("alexnet_paper")))
    assert kinds == {RowKind.CONV: 5, RowKind.POOL: 3, RowKind.FLATTEN: 1, RowKind.FC: 3}
