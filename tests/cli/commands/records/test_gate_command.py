"""``benchbox gate`` on stored nights: its table, its files, its exit status."""

from __future__ import annotations

import dataclasses
import re
import shlex
import xml.etree.ElementTree as tree
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sample_nights import NEW_DRIVER, level, nights
from sample_records import ENVIRONMENT, trials

from benchbox.schema.record import Record
from benchbox.store.records import append, record_files

STEP = [*level(20, 1e-3), *level(3, 1.2e-3, 1)]


def stored(root: Path, values: Sequence[float], model: str = "lenet5", **fields: Any) -> list[Record]:
    made = []
    for number, entry in enumerate(nights(values, flags=(), **fields)):
        key = dataclasses.replace(entry.key, model=model)
        identifier = f"{entry.id[:-8]}{zlib.crc32(model.encode()) % 10000:04d}{number:04d}"
        made.append(dataclasses.replace(entry, key=key, id=identifier))
        append(root, made[-1], trials())
    return made


def test_a_slower_night_ends_with_1_and_says_what_to_do(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP)
    ran = benchbox("gate")
    assert ran.status == 1
    lines = ran.out.splitlines()
    assert lines[0].startswith("night of 2026-01-23: ✖ 1 slower")
    assert max(map(len, lines)) <= 100
    assert "commits c019..c020" in ran.out
    assert lines[-1] == "exit 1: 1 case slower"
    assert benchbox("gate", "--no-exit").status == 0
    assert benchbox("gate", "--night", "2026-01-20").status == 0


def test_commands_for_another_root_name_it(
    benchbox: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder of the root they need not; elsewhere they would find no records."""
    stored(tmp_path, STEP)
    assert "--root" not in benchbox("gate").out
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    monkeypatch.delenv("BENCHBOX_ROOT")
    out = benchbox("gate", "--root", "..", "--junit", "gate.xml", "--markdown", "gate.md").out.replace("\\\n", "")
    commands = [line.strip() for line in out.splitlines() if line.startswith("  benchbox ")]
    assert len(commands) == 4
    for text in (out, Path("gate.xml").read_text(), Path("gate.md").read_text()):
        for line in (line for line in text.splitlines() if re.match(r"\s*(if it is on purpose: )?benchbox ", line)):
            assert "--root .." in line, line
    assert benchbox(*shlex.split(commands[0])[1:]).status == 0
    assert benchbox(*shlex.split(commands[-1])[1:-1], "padding").status == 0
    assert benchbox("gate", "--root", "..").status == 0


def test_the_rule_names_only_references_that_count(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP[:20])
    assert "rule: slower: at least 2 nights in a row" in benchbox("gate").out
    said = " ".join(benchbox("gate", "--against", "results/records", "--night", "2026-01-20").out.split())
    assert "rule: drifted: more than the effect off a level; counts may not change (docs/nightly.md)" in said
    assert (
        "compared with: 14 nights, 2026-01-06 to 2026-01-19, commit c018; levels of 1 case in results/records" in said
    )


def test_the_commands_it_prints_exist(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP)
    shown = benchbox("gate").out.replace("\\\n", "")
    printed = [line.strip() for line in shown.splitlines() if line.startswith("  benchbox ")]
    assert [line.split()[1] for line in printed] == ["history", "compare", "run", "baseline"]
    for line in printed[:2]:
        assert benchbox(*shlex.split(line)[1:]).status == 0
    assert benchbox(*shlex.split(printed[2])[1:], "--help").status == 0


def test_json_is_as_published(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP)
    document = benchbox("gate", "--json").document
    assert document["schema"] == "benchbox.gate/1"
    assert set(document) >= {"verdicts", "outcome", "groups", "coverage", "selftest", "acknowledged", "policy_sha256"}
    assert set(document["selftest"]) >= {"aa", "injected", "believed"}
    assert (document["exit"], document["outcome"], document["machines"]) == (1, "slower", ["none"])
    assert benchbox("gate", "--json", "--night", "2026-01-20").document["outcome"] == "same"
    assert set(document["coverage"]) == {"expected", "seen", "missing", "failed", "new"}
    first = document["verdicts"][0]
    assert set(first) >= {"key", "metric", "outcome", "ratio", "low", "high", "mde", "n_base", "n_head", "reason"}
    assert (first["outcome"], first["group"]) == ("slower", document["groups"][0]["id"])


def test_files_for_people_and_ci(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP, model='a<b>&"c%\nd')
    ran = benchbox("gate", "--markdown", "gate.md", "--junit", "gate.xml", "--annotations")
    assert ran.status == 1
    root = tree.parse(tmp_path / "gate.xml").getroot()
    assert (root.get("failures"), root.get("errors")) == ("1", "0")
    (failure,) = root.iter("failure")
    assert "+2" in (failure.get("message") or "")
    assert "benchbox history" in (failure.text or "")
    (annotation,) = [line for line in ran.out.splitlines() if line.startswith("::error")]
    assert "c%25%0Ad" in annotation
    text = (tmp_path / "gate.md").read_text()
    assert text.startswith("**night of 2026-01-23: ✖ 1 slower")
    assert "benchbox baseline" not in text.splitlines()[0]
    assert "lenet" not in text


def test_the_policy_says_what_is_written_without_flags(
    benchbox: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path, STEP)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "benchbox.toml").write_text('[outputs]\nmarkdown = "one.md"\nannotations = true\n')
    assert "::error title=slower" in benchbox("gate").out
    assert (tmp_path / "one.md").read_text().startswith("**night of ")
    assert benchbox("gate", "--markdown", "other.md").status == 1
    assert (tmp_path / "other.md").read_text() == (tmp_path / "one.md").read_text()


def test_a_first_night_is_called_new(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, [1e-3])
    ran = benchbox("gate")
    assert (ran.status, "inconclusive" in ran.out) == (0, False)
    assert " new, with too few nights to be judged — none, environment unchanged" in ran.out.splitlines()[0]


def test_five_thousand_rows_fit_a_summary() -> None:
    from benchbox.gate.formats.annotations import annotations_of
    from benchbox.gate.formats.markdown import MOST_BYTES, markdown_of
    from benchbox.gate.nightly import judge_night
    from benchbox.gate.policy import Policy

    base = nights(STEP[-8:], flags=())
    records = [
        dataclasses.replace(entry, id=f"{entry.id}-{number}", key=dataclasses.replace(entry.key, model=f"net{number}"))
        for number in range(5000)
        for entry in base[:1]
    ]
    gone = dataclasses.replace(base[1], key=dataclasses.replace(base[1].key, model="other"))
    report = judge_night([*records, gone], Policy(), process_values=lambda *_: ())
    assert len(report.coverage.missing) == 5000
    text = markdown_of(report)
    assert 100_000 < len(text.encode()) < MOST_BYTES
    assert "</details>\n\n---\n" in text
    assert len(annotations_of(report)) == 9


def test_a_new_driver_ends_with_8(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP[:21], environment=lambda night: NEW_DRIVER if night == 20 else ENVIRONMENT)
    ran = benchbox("gate")
    assert ran.status == 8
    assert "new environment on none: driver absent → 560" in ran.out


def test_nothing_is_a_failure(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    ran = benchbox("gate", "--junit", "gate.xml")
    assert ran.status == 5
    assert "there are no records" in ran.out
    assert tree.parse(tmp_path / "gate.xml").getroot().get("errors") == "1"


def test_a_silent_night_is_a_failure(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP[:20])
    ran = benchbox("gate", "--night", "today")
    assert ran.status == 5
    assert "0 of 1" in ran.out or "nothing was judged" in ran.out


def test_a_damaged_record_is_named_and_the_others_are_judged(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP)
    damaged = record_files(tmp_path)[3]
    damaged.write_bytes(damaged.read_bytes()[:100])
    ran = benchbox("gate")
    assert ran.status == 1
    assert damaged.name in ran.err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--night", "yesterday"), 2, "2026-11-28"),
        (("--against", "rollin"), 2, "did you mean 'rolling'"),
        (("--policy", "no.toml"), 2, "cannot be read"),
        (("--policy", "bad.toml"), 2, "line 2"),
        (("--where", "modle=x"), 2, "did you mean"),
        (("--markdown", "no/such/gate.md"), 6, "cannot be written"),
    ],
)
def test_bad_input(
    arguments: tuple[str, ...], status: int, said: str, benchbox: Callable[..., Any], tmp_path: Path
) -> None:
    stored(tmp_path, STEP[:3])
    (tmp_path / "bad.toml").write_text("[gate]\nfalse_alarm = 1\n")
    ran = benchbox("gate", *arguments)
    assert ran.status == status
    assert said in ran.err
