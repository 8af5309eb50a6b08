"""``benchbox baseline``: levels in git, what was accepted, and what the judge makes of both."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_nights import NEW_DRIVER, level, nights
from sample_records import trials

from benchbox.schema.trial import Trial
from benchbox.store.records import append

STEP = [*level(20, 1e-3), *level(3, 1.2e-3, 1)]
GROUP = "20260121-none-null-fp32-slower"
FOLDER = Path("results/baseline")


def runs(value: float) -> list[Trial]:
    """Eight processes about a value."""
    timed, _ = trials()
    factors = np.exp(0.003 * np.random.default_rng(int(value * 1e9)).standard_normal(8))
    return [
        dataclasses.replace(timed, number=place, samples_ns=(round(1e9 * value * factor),) * 3)
        for place, factor in enumerate(factors)
    ]


def stored(root: Path, values: Sequence[float], *, first: int = 0, **fields: Any) -> None:
    for entry, value in list(zip(nights(values, flags=(), **fields), values, strict=True))[first:]:
        append(root, entry, runs(value))


def test_propose_accept_pin_and_show(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP[:20])
    assert "no levels" in benchbox("baseline", "show").out
    assert benchbox("baseline", "propose", "--dry-run").out.startswith("new: lenet5/null/fp32")
    assert not (tmp_path / FOLDER).exists()
    assert "wrote" in benchbox("baseline", "propose").out
    path = tmp_path / FOLDER / "none" / "lenet5.json"
    text = path.read_text()
    document = json.loads(text)
    assert document["schema"] == "benchbox.baseline/1"
    ((name, case),) = document["cases"].items()
    assert name == "lenet5/null/fp32/b1/isolated/t1/virtual@none"
    found = case["levels"]["latency_p50"]
    assert (len(found["values"]), found["commit"], found["night"]) == (8, "c019", "2026-01-20")
    assert found["environment"] == "0123456789ab"
    assert list(case["levels"]) == sorted(case["levels"])
    assert benchbox("baseline", "propose").out == "no level to write\n"
    assert path.read_text() == text
    assert benchbox("baseline", "pin", "v1.4").out.endswith("pinned 1 case as v1.4\n")
    shown = benchbox("baseline", "show").out
    assert "v1.4: " in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert benchbox("baseline", "show", "--json").document["schema"] == "benchbox.baseline/1"


def test_an_accepted_change_is_green_until_it_lapses(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP)
    assert benchbox("gate").status == 1
    ran = benchbox("baseline", "accept", GROUP, "--reason", 'a "new"\nlayout', "--issue", "https://x/1", "--by", "me")
    assert ran.status == 0
    assert "acknowledged until 2026-04-23: latency_p50 of 1 case" in ran.out
    (entry,) = tomllib.loads((tmp_path / FOLDER / "acknowledged.toml").read_text())["accepted"]
    assert (entry["group"], entry["reason"], entry["since"]) == (GROUP, 'a "new"\nlayout', "c020")
    green = benchbox("gate")
    assert green.status == 0
    assert "acknowledged:" in green.out
    assert benchbox("gate", "--json").document["acknowledged"][0]["issue"] == "https://x/1"
    stored(tmp_path, [*STEP, *level(2, 1.5e-3, 4)], first=len(STEP))
    red = benchbox("gate")
    assert red.status == 1
    assert "is worse than acknowledged" in red.out.replace("\n", " ")


def test_a_date_that_passed_is_red_again(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP)
    assert benchbox("baseline", "accept", GROUP, "--reason", "x", "--until", "2026-01-24").status == 0
    stored(tmp_path, [*STEP, *level(2, 1.2e-3, 4)], first=len(STEP))
    assert benchbox("gate", "--night", "2026-01-24").status == 0
    assert benchbox("gate").status == 1


def test_an_accepted_level_becomes_the_reference_by_a_commit(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP)
    benchbox("baseline", "accept", GROUP, "--reason", "x", "--until", "2026-01-24")
    assert "lenet5" in benchbox("baseline", "propose").out
    levels = json.loads((tmp_path / FOLDER / "none" / "lenet5.json").read_text())["cases"]
    assert "latency_p50" not in next(iter(levels.values()))["levels"]
    assert benchbox("baseline", "propose", "--accepted").out.startswith("accepted: lenet5/")
    stored(tmp_path, [*STEP, *level(4, 1.2e-3, 4)], first=len(STEP))
    ran = benchbox("gate", "--json")
    (row,) = [
        row for row in ran.document["verdicts"] if row["metric"] == "latency_p50" and row["reference"] == "rolling"
    ]
    assert (row["outcome"], ran.status) == ("same", 0)


def test_drift_below_the_effect_is_found_by_the_anchor(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    creeping = list(1e-3 * np.exp(0.004 * np.maximum(0, np.arange(60) - 10)))
    stored(tmp_path, creeping[:10])
    benchbox("baseline", "propose")
    benchbox("baseline", "pin", "v1")
    stored(tmp_path, creeping, first=10)
    document = benchbox("gate", "--json").document
    rows = {row["reference"]: row for row in document["verdicts"] if row["metric"] == "latency_p50"}
    assert rows["rolling"]["outcome"] != "slower"
    assert (rows["anchor"]["outcome"], rows["anchor"]["qualifiers"]) == ("slower", ["drift"])
    assert rows["anchor"]["low"] > 1.05**2
    assert document["exit"] == 1
    assert document["groups"][0]["id"].endswith("-drift")
    assert benchbox("gate", "--against", "rolling").status != 1
    assert benchbox("gate", "--against", "anchor").status == 1


def test_an_anchor_of_another_environment_is_not_compared(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP[:10])
    benchbox("baseline", "propose")
    stored(tmp_path, STEP[:20], first=10, environment=lambda _: NEW_DRIVER)
    rows = benchbox("gate", "--json").document["verdicts"]
    (row,) = [row for row in rows if row["reference"] == "anchor" and row["metric"] == "latency_p50"]
    assert (row["outcome"], row["ratio"]) == ("incomparable", None)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("accept", "20260121-none-null-fp32-slow", "--reason", "x"), 2, f"did you mean '{GROUP}'"),
        (("accept", GROUP), 2, "--reason"),
        (("accept", GROUP, "--reason", " "), 2, "--reason is empty"),
        (("accept", GROUP, "--reason", "x", "--until", "2026-01-01"), 2, "--until has passed"),
        (("accept", GROUP, "--reason", "x", "--until", "soon"), 2, "--until takes a date"),
        (("pin", "v1"), 2, "no level to pin"),
    ],
)
def test_bad_input(
    arguments: tuple[str, ...], status: int, said: str, benchbox: Callable[..., Any], tmp_path: Path
) -> None:
    stored(tmp_path, STEP)
    ran = benchbox("baseline", *arguments)
    assert ran.status == status
    assert said in ran.err


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("none/lenet5.json", "{", "cannot be read"),
        ("none/lenet5.json", '{"schema": "benchbox.baseline/9"}', "another version"),
        ("none/lenet5.json", '{"schema": "benchbox.baseline/1", "cases": {"a": {}}}', "cannot be read"),
        ("acknowledged.toml", "[[accepted]", "cannot be read"),
        ("acknowledged.toml", '[[accepted]]\ngroup = "g"\n', "cannot be read"),
    ],
)
def test_damaged_files_are_named(file: str, text: str, said: str, benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP[:3])
    path = tmp_path / FOLDER / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    ran = benchbox("gate")
    assert ran.status == 6
    assert path.name in ran.err
    assert said in ran.err
