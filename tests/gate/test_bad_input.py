"""What a judge gets to see some day: nothing, too little, damage, clocks that went back, strange names, thousands."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_nights import level, nights
from sample_records import trials

from benchbox.gate.formats.annotations import annotations_of
from benchbox.gate.formats.junit import junit_of
from benchbox.gate.formats.markdown import MOST_BYTES, markdown_of
from benchbox.gate.formats.table import render_night
from benchbox.gate.night import Qualifier
from benchbox.gate.nightly import judge_night
from benchbox.gate.policy import Policy, policy_from_text
from benchbox.schema.verdict import Outcome
from benchbox.store.records import append, record_files

STEP = [*level(20, 1e-3), *level(3, 1.2e-3, 1)]


def stored(root: Path, values: Any = STEP) -> None:
    for entry in nights(values, flags=()):
        append(root, entry, trials())


def test_no_records_are_a_failure_that_says_so(benchbox: Callable[..., Any]) -> None:
    ran = benchbox("gate", "--junit", "gate.xml", "--markdown", "gate.md", "--bmf", "b.json", "--otava", "o")
    assert (ran.status, "there are no records" in ran.out) == (5, True)


def test_one_night_is_new(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, [1e-3])
    ran = benchbox("gate", "--json")
    (row,) = [row for row in ran.document["verdicts"] if row["metric"] == "latency_p50"]
    assert (ran.status, row["outcome"], row["qualifiers"]) == (0, "inconclusive", ["new"])


def test_a_policy_that_matches_nothing_judges_nothing(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path)
    (tmp_path / "benchbox.toml").write_text(
        '[gate]\ndefaults = false\n[[gate.rule]]\nwhere = { model = "vgg*" }\neffect = 0.05\n'
    )
    ran = benchbox("gate")
    said = "1 case was measured in the night of 2026-01-23, and no rule of benchbox.toml matches"
    assert (ran.status, said in " ".join(ran.out.split())) == (5, True)


def test_conditions_that_match_nothing_are_wrong_usage(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, [1e-3])
    ran = benchbox("gate", "--where", "model=vgg*")
    assert (ran.status, "none of 1 record matches model=vgg*" in ran.err) == (2, True)


def test_a_night_without_records_says_which_is_the_newest(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, [1e-3, 1e-3])
    ran = benchbox("gate", "--night", "2026-02-01")
    said = " ".join(ran.out.split())
    assert (ran.status, "the newest records are of the night of 2026-01-02" in said) == (5, True)


def test_a_damaged_record_is_named_and_the_others_are_judged(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path)
    for place, damage in ((3, b""), (4, b"PAR1 no parquet PAR1"), (5, None)):
        path = record_files(tmp_path)[place]
        # The last one: the record's own text is damaged, the file is whole.
        data = path.read_bytes().replace(b'"status"', b'"sta\x00us"') if damage is None else damage
        path.write_bytes(data)
    ran = benchbox("gate", "--json")
    assert ran.status == 1
    names = [record_files(tmp_path)[place].name for place in (3, 4, 5)]
    assert all(name in ran.err for name in names)
    assert ran.document["unreadable"] == names
    assert [reason["exit"] for reason in ran.document["reasons"]] == [1, 6]
    assert all(name in ran.document["reasons"][1]["text"] for name in names)


def test_a_damaged_record_alone_is_no_good_night(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, level(20, 1e-3))
    path = record_files(tmp_path)[3]
    path.write_bytes(path.read_bytes()[:-9])
    ran = benchbox("gate")
    said = " ".join(ran.out.split())
    assert (ran.status, f"exit 6: 1 record cannot be read: {path.name}" in said) == (6, True)
    path.unlink()
    assert benchbox("gate").status == 0


def test_samples_that_are_damaged_are_a_damaged_record_too(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    """Its headline is whole; the level in git asks for the processes behind it. Another case is judged all the same."""
    stored(tmp_path, level(20, 1e-3))
    for entry in nights(STEP[3:], flags=()):
        key = dataclasses.replace(entry.key, model="other")
        append(tmp_path, dataclasses.replace(entry, key=key, id=f"{entry.id[:-8]}{'f' * 8}"), trials())
    assert benchbox("baseline", "propose").status == 0
    path = next(path for path in record_files(tmp_path) if path.name == "20260120T021700Z-00000019.parquet")
    whole = path.read_bytes()
    rows = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")  # what is before the footer
    path.write_bytes(b"\0" * rows + whole[rows:])
    ran = benchbox("gate", "--json")
    assert ran.status == 1, ran.err
    assert ran.err.count(path.name) == 1
    assert ran.document["unreadable"] == [path.name]
    assert [reason["exit"] for reason in ran.document["reasons"]] == [1, 5, 6]
    outcomes = {(row["key"]["model"], row["outcome"]) for row in ran.document["verdicts"]}
    assert {("lenet5", "missing"), ("other", "slower")} <= outcomes
    # Alone it is still the night that was judged, and not the one before.
    ran = benchbox("gate", "--where", "model=lenet5", "--json")
    assert (ran.status, ran.document["night"]) == (5, "2026-01-20")


def test_a_night_to_come_is_judged_with_a_warning(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    """A clock was ahead once: its record would be the newest for years."""
    stored(tmp_path, level(20, 1e-3))
    ahead = dataclasses.replace(nights([1e-3], flags=())[0], id="ahead", started_at="2999-01-01T02:00:00+00:00")
    append(tmp_path, ahead, trials())
    ran = benchbox("gate")
    assert ran.out.startswith("night of 2999-01-01")
    assert "the night of 2999-01-01 has not come yet" in ran.err
    ran = benchbox("gate", "--night", "2026-01-20")
    assert (ran.status, ran.err) == (0, "")


def test_clocks_that_went_back_make_nights_of_the_past(tmp_path: Path) -> None:
    """The record of tonight says 1970: tonight it is missing, and nobody takes it for a night of today."""
    records = nights(level(20, 1e-3), flags=())
    back = dataclasses.replace(records[-1], started_at="1970-01-01T00:00:00+00:00")
    report = judge_night([*records[:-1], back], Policy(), process_values=lambda *_: (), night="2026-01-20")
    (gap,) = [finding for finding in report.findings if finding.is_gap]
    assert (gap.verdict.outcome, report.exit) == (Outcome.MISSING, 5)
    for text in (render_night(report), markdown_of(report)):
        assert "benchbox run lenet5 --backend null --precision fp32 --batch 1 --threads 1" in text
        assert "into coverage of benchbox.toml" in " ".join(text.split())


def test_a_name_of_two_lines_is_one_line_of_a_reason() -> None:
    records = nights(level(20, 1e-3), flags=())
    named = [dataclasses.replace(entry, key=dataclasses.replace(entry.key, model="a\nb")) for entry in records]
    report = judge_night(
        [*named[:-1], dataclasses.replace(records[-1], id="x")], Policy(), process_values=lambda *_: ()
    )
    ((_, text),) = [reason for reason in report.reasons if reason[0] == 5]
    assert text == "1 case missing: a b/null/fp32/b1/isolated/t1/virtual@none"


def test_two_runs_in_one_night_are_one_night(tmp_path: Path) -> None:
    records = nights(STEP[:21], flags=())
    again = dataclasses.replace(records[-1], id="again", started_at="2026-01-21T05:00:00+00:00")
    report = judge_night([*records, again], Policy(), process_values=lambda *_: ())
    (found,) = [finding for finding in report.findings if finding.verdict.metric == "latency_p50"]
    assert (found.qualifiers, report.exit) == ((Qualifier.SUSPICIOUS,), 0)
    other = dataclasses.replace(again, readings=records[0].readings)
    report = judge_night([*records, other], Policy(), process_values=lambda *_: ())
    (found,) = [finding for finding in report.findings if finding.verdict.metric == "latency_p50"]
    assert re.search(r"; its 2 records are (19|20)\.\d % apart$", found.verdict.reason)


@pytest.mark.parametrize("name", ['<&">', "100%", "a\nb", "a|b`c`", "ä/ö", "../../x"])
def test_strange_names_stay_what_they_are(name: str, benchbox: Callable[..., Any], tmp_path: Path) -> None:
    for entry in nights(STEP[:6], flags=()):
        append(tmp_path, dataclasses.replace(entry, key=dataclasses.replace(entry.key, model=name)), trials())
    flags = ("--junit", "g.xml", "--markdown", "g.md", "--openmetrics", "m", "--otava", "o", "--annotations")
    assert benchbox("gate", *flags).status == 0
    assert benchbox("baseline", "propose").status == 0
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["baseline", "records"]
    (row, *_) = benchbox("gate", "--json").document["verdicts"]
    assert row["key"]["model"] == name
    assert all(line.startswith("no level") for line in benchbox("baseline", "propose").out.splitlines())


def many(count: int, values: Any) -> Any:
    """Nights of as many cases, each a bit slower at the end than the one before."""
    base = nights(values, flags=())
    return [
        dataclasses.replace(
            entry,
            id=f"{entry.id}{number}",
            key=dataclasses.replace(entry.key, model=f"network-with-quite-a-long-name-{number}"),
            readings=tuple(
                dataclasses.replace(one, value=factor * one.value, low=None, high=None) for one in entry.readings
            ),
        )
        for number in range(count)
        for place, entry in enumerate(base)
        for factor in [1 + (place == len(base) - 1) * number / count]
    ]


@pytest.mark.nightly
def test_five_thousand_slower_rows_fit_and_the_worst_is_first(tmp_path: Path) -> None:
    one_night = policy_from_text("[gate]\nrolling = { nights = 2, min_nights = 2, persist = 1 }\n", origin="x")
    count = 5000
    report = judge_night(many(count, [1e-3, 1e-3, 1.5e-3]), one_night, process_values=lambda *_: ())
    slower = [row for row in report.findings if row.is_alarm]
    assert len(slower) == count
    assert [row.name.split("/")[0].rpartition("-")[2] for row in slower[:3]] == ["4999", "4998", "4997"]
    text = markdown_of(report)
    assert 100_000 < len(text.encode()) < MOST_BYTES
    rows = [int(number) for number in re.findall(r"^\| `network-with-quite-a-long-name-(\d+)/", text, re.MULTILINE)]
    assert rows == sorted(rows, reverse=True)
    assert "smaller ones are left out" in text
    assert "compared with:" in text.splitlines()[-1]
    assert len(report.groups) == 1
    assert len(annotations_of(report)) == 9
    assert len(junit_of(report).encode()) < 30_000_000, "GitLab reads no larger file"
    # An alarm a case is shown as far as there is room, too.
    alone = policy_from_text(
        '[gate]\nrolling = { nights = 2, min_nights = 2, persist = 1 }\ngroups = ["model"]\n', origin="x"
    )
    report = judge_night(many(2000, [1e-3, 1e-3, 1.5e-3]), alone, process_values=lambda *_: ())
    assert len(report.groups) == 2000
    assert len(markdown_of(report).encode()) < MOST_BYTES
    assert len(render_night(report).splitlines()) < 250


def test_five_thousand_counts_that_changed_fit_too(tmp_path: Path) -> None:
    records = many(3000, [1e-3, 1e-3])
    changed = [
        dataclasses.replace(entry, analytic=dataclasses.replace(entry.analytic, macs=7, params=7, weight_bytes=7))
        if entry.started_at.startswith("2026-01-02")
        else entry
        for entry in records
    ]
    report = judge_night(changed, Policy(), process_values=lambda *_: ())
    assert sum(row.is_alarm for row in report.findings) == 9000
    assert len(markdown_of(report).encode()) < MOST_BYTES


def test_a_baseline_of_another_schema_is_named(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP[:6])
    path = tmp_path / "results" / "baseline" / "none" / "lenet5.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"schema": "benchbox.baseline/9"}')
    for command in (("gate",), ("baseline", "show"), ("baseline", "pin", "v1")):
        ran = benchbox(*command)
        assert (ran.status, "another version" in ran.err, "lenet5.json" in ran.err) == (6, True, True)


def test_pin_and_show_take_the_policy_of_another_file(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    stored(tmp_path, STEP[:6])
    (tmp_path / "other.toml").write_text('[gate]\nanchor = { baseline = "levels" }\n')
    assert benchbox("baseline", "propose", "--policy", "other.toml").status == 0
    assert (tmp_path / "levels" / "none" / "lenet5.json").is_file()
    assert benchbox("baseline", "pin", "v1", "--policy", "other.toml").status == 0
    assert "v1" in benchbox("baseline", "show", "--policy", "other.toml").out
    assert benchbox("baseline", "pin", "v1").status == 2
