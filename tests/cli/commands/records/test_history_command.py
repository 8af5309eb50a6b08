"""``benchbox history`` on stored records, and what it says where there are none."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_nights import NEW_DRIVER, level, nights
from sample_records import ENVIRONMENT, trials

from benchbox.store.records import append


@pytest.fixture
def forty_nights(tmp_path: Path) -> Path:
    """A step up at night 20, back at 28, and a new driver at 10."""
    values = [*level(20, 1e-3), *level(8, 1.1e-3, 1), *level(12, 1e-3, 2)]
    for record in nights(values, environment=lambda night: NEW_DRIVER if night >= 10 else ENVIRONMENT):
        append(tmp_path, record, trials())
    return tmp_path


def test_steps_are_drawn_between_the_nights(forty_nights: Path, benchbox: Callable[..., Any]) -> None:
    ran = benchbox("history", "lenet5", "--last", "40")
    assert ran.status == 0
    lines = ran.out.splitlines()
    worse, better, driver = (
        next(number for number, line in enumerate(lines) if line.startswith(f"── {word}"))
        for word in ("worse: +10.", "better: -9.", "environment: driver absent → 560")
    )
    assert "c019" in lines[worse - 1]
    assert "c020" in lines[worse + 1]
    assert "taken back later" in lines[worse]
    assert "c027" in lines[better - 1]
    assert "c010" in lines[driver + 1]
    assert lines[-1] == "40 nights, 2 changes of level"
    assert max(map(len, lines)) <= 100


def test_fewer_rows_say_what_they_leave_out(forty_nights: Path, benchbox: Callable[..., Any]) -> None:
    ran = benchbox("history", "--last", "5")
    rows = re.findall(r"^2026-.*ms", ran.out, flags=re.MULTILINE)
    assert len(rows) == 5
    assert "2 of them before the first row shown" in ran.out


def test_json_is_as_published(forty_nights: Path, benchbox: Callable[..., Any]) -> None:
    document = benchbox("history", "--json").document
    assert document["schema"] == "benchbox.history/1"
    (series,) = document["series"]
    assert (series["metric"], series["unit"], len(series["points"])) == ("latency_p50", "s", 40)
    assert set(series["points"][0]) >= {"at", "commit", "value", "low", "high", "n", "env"}
    assert [(change["index"], change["state"]) for change in series["changes"]] == [(20, "reverted"), (28, "new")]
    assert set(series["changes"][0]) >= {"index", "ratio", "low", "high", "commits", "environment", "state"}
    assert series["epochs"] == [{"index": 10, "environment": {"driver": ["", "560"]}}]


def test_a_row_is_a_night_unless_records_are_asked_for(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    for record in nights([1e-3, 1.01e-3]):
        append(tmp_path, record, trials())
        again = dataclasses.replace(record, id=f"{record.id[:-1]}9", started_at=record.started_at.replace("T02", "T03"))
        append(tmp_path, again, trials())
    ran = benchbox("history")
    assert len(re.findall(r"^2026-01-0\d  2026-", ran.out, flags=re.MULTILINE)) == 2
    assert "records" in ran.out.splitlines()[1].split()
    assert "2 nights, one level; 4 records, those of one night" in ran.out
    ran = benchbox("history", "--by", "record")
    assert len(re.findall(r"^2026-01-0\d  2026-", ran.out, flags=re.MULTILINE)) == 4
    assert max(map(len, ran.out.splitlines())) <= 100
    points = benchbox("history", "--json").document["series"][0]["points"]
    assert [(point["night"], point["n"], len(point["records"])) for point in points] == [
        ("2026-01-01", 16, 2),
        ("2026-01-02", 16, 2),
    ]
    assert benchbox("history", "--by", "week").status == 2


def test_where_there_is_nothing_it_says_so(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    assert benchbox("history").out == "no records; 'benchbox run' makes some\n"
    assert benchbox("history", "--json").document == {"schema": "benchbox.history/1", "series": []}


def test_a_metric_that_no_record_has(forty_nights: Path, benchbox: Callable[..., Any]) -> None:
    assert "40 records, none with energy_per_sample" in benchbox("history", "--metric", "energy_per_sample").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lenet",), "did you mean 'lenet5'?"),
        (("--metric", "latency_p5"), "did you mean 'latency_p50'"),
        (("--last", "0"), "--last"),
        (("--min-effect", "3"), "--min-effect"),
        (("--where", "modle=x"), "did you mean 'mode' or 'model'?"),
        (("--format", "csv"), "known: table, json"),
    ],
)
def test_bad_input_is_a_usage_error(
    forty_nights: Path, benchbox: Callable[..., Any], arguments: tuple[str, ...], said: str
) -> None:
    ran = benchbox("history", *arguments)
    assert ran.status == 2
    assert said in ran.err
    assert ran.out == ""
