"""``benchbox baseline``: levels in git, what was accepted, and what the judge makes of both."""

from __future__ import annotations

import dataclasses
import json
import shlex
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_nights import NEW_DRIVER, level, nights
from sample_records import trials

from benchbox.cli.commands.records.baseline import KINDS
from benchbox.gate.levels import acknowledged
from benchbox.schema.trial import Trial
from benchbox.store.records import append, record_files

STEP = [*level(20, 1e-3), *level(3, 1.2e-3, 1)]
GROUP = "20260121-none-null-fp32-slower"
FOLDER = Path("results/baseline")
KIND = (
    '[[accepted]]\ngroup = "g"\ncases = []\nmetric = "m"\nratio = [1.0, 1.0]\nuntil = 2027-01-01\n'
    'accepted = 2026-01-01\nreason = "r"\nkind = "whim"\n'
)


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


@pytest.mark.parametrize("factor", [0.5, 2])
def test_a_count_that_changed_is_no_new_level(factor: float, benchbox: Callable[..., Any], tmp_path: Path) -> None:
    """Neither a larger nor a smaller one, where there was no level: the night would be green by proposing."""
    for entry in nights(STEP[:20], flags=()):
        assert entry.analytic is not None
        macs = round(entry.analytic.macs * (factor if entry.started_at.startswith("2026-01-20") else 1))
        append(
            tmp_path, dataclasses.replace(entry, analytic=dataclasses.replace(entry.analytic, macs=macs)), runs(1e-3)
        )
    assert benchbox("gate").status == 1
    proposed = benchbox("baseline", "propose").out
    assert ("macs" in proposed, "params" in proposed) == (False, True)
    assert benchbox("gate").status == 1


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
    assert "worse than what was acknowledged, +2" in " ".join(red.out.split())


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


def test_what_a_folder_of_records_flags_is_accepted_against_it(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    """As a pull request is judged: by the records of its base, in one night."""
    stored(tmp_path / "base", STEP[:1])
    stored(tmp_path, [1.2e-3])
    against = ("--against", str(tmp_path / "base" / "results" / "records"))
    assert benchbox("gate").status == 0
    red = benchbox("gate", *against)
    assert red.status == 1
    (group,) = [entry["id"] for entry in benchbox("gate", *against, "--json").document["groups"]]
    assert benchbox("baseline", "accept", group, "--reason", "x").status == 2
    # The command that is printed is that command.
    (line,) = [line for line in red.out.replace("\\\n", "").splitlines() if "baseline accept" in line]
    assert shlex.split(line)[3:6] == [group, *against]
    words = shlex.split(line)[1:]
    assert benchbox(*words).status == 2, "it says where the reason goes, not which"
    assert benchbox(*words[:-1], "two Casts").status == 0
    assert benchbox("gate", *against).status == 0


def test_what_was_noise_counts_as_a_false_alarm(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP)
    document = benchbox("baseline", "accept", GROUP, "--reason", "x", "--kind", "noise", "--json").document
    assert (document["schema"], document["accepted"][0]["kind"]) == ("benchbox.accepted/1", "noise")
    ran = benchbox("gate")
    assert "of 1 accepted alarm 1 was noise or the machine" in " ".join(ran.out.split())
    assert benchbox("gate", "--json").document["accepted_alarms"] == {"accepted": 1, "false": 1}
    assert KINDS == acknowledged.KINDS


def test_an_acknowledgement_is_shown_also_where_nothing_needs_it(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP)
    benchbox("baseline", "accept", GROUP, "--reason", "x", "--issue", "https://x/1", "--until", "2026-02-10")
    headline = " ".join(benchbox("gate").out.split("\n\n")[0].split())
    assert "1 acknowledged, oldest 0 days" in headline
    stored(tmp_path, [*STEP, *level(4, 1e-3, 4)], first=len(STEP))
    ran = benchbox("gate")
    said = " ".join(ran.out.split())
    assert (ran.status, "until 2026-02-10: x (https://x/1); nothing needs it tonight" in said) == (0, True)
    (entry,) = benchbox("gate", "--json").document["acknowledged"]
    assert (entry["standing"], entry["days"], entry["issue"]) == ("unused", 4, "https://x/1")
    # What has lapsed and is not needed is of the past.
    assert "acknowledged" not in benchbox("gate", "--night", "2026-02-11").out


def test_a_pattern_may_not_cover_what_nobody_looked_at(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    for place in range(21):
        for entry, value in zip(
            nights([*STEP[:8], 1.2e-3, 1.2e-3], flags=()), [*STEP[:8], 1.2e-3, 1.2e-3], strict=True
        ):
            key = dataclasses.replace(entry.key, model=f"net{place}")
            append(tmp_path, dataclasses.replace(entry, key=key, id=f"{entry.id[:-4]}{place:04d}"), runs(value))
    group = benchbox("gate", "--json").document["groups"][0]["id"]
    assert benchbox("baseline", "accept", group, "--reason", "x").status == 0
    assert benchbox("gate").status == 0, "named one by one, they may be many"
    path = tmp_path / FOLDER / "acknowledged.toml"
    begin, end = (path.read_text().index(sign) for sign in ("cases", "metric"))
    text = path.read_text()
    path.write_text(f'{text[:begin]}cases = ["net*"]\n{text[end:]}')
    ran = benchbox("gate")
    assert (ran.status, "a pattern that covers 21 cases" in " ".join(ran.out.split())) == (1, True)
    path.write_text(path.read_text() + "wide = true\n")
    assert benchbox("gate").status == 0


def test_proposals_for_programs_and_pull_requests(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP[:20])
    document = benchbox("baseline", "propose", "--json", "--markdown", str(tmp_path / "p.md")).document
    assert (document["schema"], document["night"], len(document["files"])) == ("benchbox.proposals/1", "2026-01-20", 1)
    assert {"name", "metric", "before", "level"} == set(document["proposals"][0])
    text = (tmp_path / "p.md").read_text()
    assert "| `lenet5/null/fp32/b1/isolated/t1/virtual@none` | latency_p50 | new |" in text
    pinned = benchbox("baseline", "pin", "v1", "--json").document
    assert (pinned["schema"], pinned["name"], len(pinned["cases"])) == ("benchbox.pinned/1", "v1", 1)
    assert "No level to write." in benchbox("baseline", "propose", "--markdown", "/dev/stdout").out
    assert benchbox("baseline", "pin", " ").status == 2


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
    (group,) = document["groups"]
    assert group["id"].endswith("-drift")
    # The alarm of the night before is the same one, and has the night from which on it is too far away.
    (before,) = benchbox("gate", "--json", "--night", "2026-02-28").document["groups"]
    assert (before["id"], before["place"]["night"]) == (group["id"], group["place"]["night"])
    assert group["place"]["night"] < "2026-02-28"
    # The level's own record need not be stored any more: no command then asks for it.
    compare = f"benchbox compare {group['place']['records'][0]} "
    assert compare in benchbox("gate").out
    next(path for path in record_files(tmp_path) if path.stem == group["place"]["records"][0]).unlink()
    assert "benchbox compare" not in benchbox("gate").out
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
        ("acknowledged.toml", KIND, "kind 'whim' is none of expected, vendor, infra, noise"),
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
