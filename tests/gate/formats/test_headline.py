"""The first line of a night: what, where, by how much and how sure, for whoever is woken by it. Cases are counted."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as tree
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sample_nights import NEW_DRIVER, level, nights
from sample_records import ENVIRONMENT

from benchbox.gate.again import Remeasured, again_of
from benchbox.gate.formats.annotations import annotations_of
from benchbox.gate.formats.headline import headline
from benchbox.gate.formats.junit import junit_of
from benchbox.gate.formats.markdown import markdown_of
from benchbox.gate.formats.table import render_night
from benchbox.gate.levels.baseline import Expected, Level
from benchbox.gate.night import Acknowledgement, NightReport
from benchbox.gate.nightly import judge_night
from benchbox.gate.policy import policy_from_text
from benchbox.gate.selftest import Selftest
from benchbox.gate.series import case_series
from benchbox.schema.reading import Flag, Severity
from benchbox.schema.record import Record, Status
from benchbox.stats.again import Round, decide

STEP = [*level(20, 1e-3), *level(2, 1.2e-3, 1)]
QUIET = level(22, 1e-3, 2)
NAME = "slow/null/fp32/b1/isolated/t1/virtual"
ONE_NIGHT = "[gate]\nrolling = { persist = 1 }\n"
END = " — none, environment unchanged, no self-test of the gate"


def series(model: str, values: Sequence[float], **fields: Any) -> list[Record]:
    return [
        dataclasses.replace(entry, id=f"{entry.id}{model}", key=dataclasses.replace(entry.key, model=model))
        for entry in nights(values, flags=(), **fields)
    ]


def judged(records: Sequence[Record], policy: str = "", **more: Any) -> NightReport:
    return judge_night(
        records, policy_from_text(policy, origin="x"), **{"process_values": lambda *_: (1e-3,) * 5, **more}
    )


def remeasured(records: Sequence[Record], factor: float) -> Any:
    base = tuple(1e-3 * (1 + 0.001 * place) for place in range(8))
    head = tuple(factor * value for value in reversed(base))
    entry = Remeasured(
        night="2026-01-22",
        name=f"{NAME}@none",
        metric="latency_p50",
        reference="rolling",
        flagged=1,
        rounds=(Round(base=base, head=head),),
    )
    return judged([*records, *series("quiet", QUIET)], again=again_of([entry]))


def test_a_red_night_says_what_where_by_how_much_and_how_sure() -> None:
    report = judged([*series("slow", STEP), *series("quiet", QUIET)])
    said = headline(report)
    assert said.startswith(f"night of 2026-01-22: ✖ 1 slower: {NAME} latency_p50 +20.8 % (95 %: +19.4 to +22.1 %) · ")
    assert said.endswith(f"· ● 1 same · ∅ 0 missing{END}"), "cases, not the five counts and the time of each"


def test_of_several_the_largest_is_named() -> None:
    report = judged([*series("slow", STEP), *series("less", [*level(20, 1e-3), *level(2, 1.1e-3)])])
    assert headline(report).startswith(f"night of 2026-01-22: ✖ 2 slower, the largest {NAME} latency_p50 +20.8 % (")
    assert report.reasons[0] == (1, "2 cases slower")


def test_what_is_missing_or_failed_comes_before_what_is_the_same() -> None:
    quiet = series("quiet", QUIET)
    gone = judged([*series("slow", QUIET[:-1]), *quiet])
    assert headline(gone) == f"night of 2026-01-22: ∅ 1 missing: {NAME} · ● 1 same{END}"
    assert gone.reasons == ((5, f"1 case missing: {NAME}@none"),)
    records = series("slow", QUIET)
    records[-1] = dataclasses.replace(records[-1], status=Status.FAILED, reason="no", readings=())
    failed = judged([*records, *quiet])
    assert headline(failed) == f"night of 2026-01-22: ✖ 1 failed: {NAME} · ● 1 same · ∅ 0 missing{END}"
    assert failed.reasons == ((5, f"1 case failed: {NAME}@none"),)
    for text in (render_night(failed), markdown_of(failed)):
        assert "ee the first failure again" in text
        assert "benchbox.toml" not in text, "it is measured, and not missing"
    for text in (render_night(gone), markdown_of(gone)):
        assert "log of that night's 'benchbox run'" in " ".join(text.split())


def test_a_count_is_neither_slower_nor_faster() -> None:
    for macs, change in ((7_000_000, "+7.3 %"), (6_000_000, "-8.0 %")):
        records = series("slow", QUIET)
        assert records[-1].analytic is not None
        records[-1] = dataclasses.replace(records[-1], analytic=dataclasses.replace(records[-1].analytic, macs=macs))
        report = judged(records)
        assert headline(report).startswith(f"night of 2026-01-22: ✖ 1 with another count: {NAME} macs {change} · ")
        for text in (render_night(report), markdown_of(report), *annotations_of(report)):
            assert "count changed" in text
            assert not {"slower", "faster"} & {word.strip("(),:|*`") for word in text.split("rule:")[0].split()}


def test_a_count_that_changed_without_a_commit_is_not_the_machine() -> None:
    records = series("slow", QUIET)
    same = [
        dataclasses.replace(entry, environment=dataclasses.replace(entry.environment, observed={"commit": "c1"}))
        for entry in records
    ]
    slow = judged([*same[:-1], dataclasses.replace(same[-1], readings=series("slow", STEP)[-1].readings)], ONE_NIGHT)
    assert slow.groups[0].cause == "no commit in between (c1 on both sides): look at the machine"
    assert same[-1].analytic is not None
    same[-1] = dataclasses.replace(same[-1], analytic=dataclasses.replace(same[-1].analytic, macs=7_000_000))
    (group,) = judged(same).groups
    assert group.cause == "no commit in between (c1 on both sides): look at the versions of what exports it"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("c0", "c1", "commits c0..c1"),
        ("c1", "c1", "no commit in between (c1 on both sides): look at the versions of what exports it"),
        ("", "c1", "since commit c1; the one before is not known"),
        ("c0", "", "since commit c0; the one of tonight is not known"),
        ("", "", "no commit was recorded"),
    ],
)
def test_a_count_against_a_level_names_the_level_s_commit(before: str, after: str, said: str) -> None:
    """As with records of a good commit in another folder: the night itself has no other count."""
    (entry,) = series("slow", [1e-3])
    entry = dataclasses.replace(entry, environment=dataclasses.replace(entry.environment, observed={"commit": after}))
    (case,) = case_series([entry], night_starts=12)
    known = Level(unit="1", value=5.0, night="2026-01-01", environment="", kind="new", commit=before)
    report = judged([entry], baseline={case.name: Expected(case=case.case, machine="none", levels={"macs": known})})
    (group,) = report.groups
    assert group.cause == said


def test_drift_is_called_drift() -> None:
    rising = 1e-3 * np.exp(np.linspace(0, 0.14, 40) + 0.002 * np.random.default_rng(1).standard_normal(40))
    records = series("slow", list(rising))
    (case,) = case_series(records, night_starts=12)
    pinned = Level(
        unit="s",
        value=1e-3,
        night="2026-01-01",
        environment=ENVIRONMENT.hash,
        kind="new",
        values=(1e-3,) * 5,
        pinned="v1.4",
    )
    expected = Expected(case=case.case, machine="none", anchors={"latency_p50": pinned})
    report = judged(
        records,
        baseline={case.name: expected},
        process_values=lambda record, _: [record.readings[0].value * (1 + 0.001 * place) for place in range(5)],
    )
    assert headline(report).startswith(f"night of 2026-02-09: ✖ 1 drifted: {NAME} latency_p50 +15.")
    assert report.reasons[0] == (1, "1 case drifted from its level")
    text = render_night(report)
    assert "drifted: 1 case, by +15." in text
    assert "2 × 5 % off the anchor v1.4 of 2026-01-01 are allowed" in text


def test_a_suspicious_night_is_not_nothing_to_do() -> None:
    report = judged([*series("slow", STEP[:-1]), *series("quiet", QUIET[:-1])])
    assert headline(report).startswith(f"night of 2026-01-21: ? 1 suspicious: {NAME} latency_p50 +2")
    last = " ".join(render_night(report).split("\n\n")[-1].split())
    assert last.startswith("exit 0: nothing to do yet; 1 suspicious case: ")
    assert "benchbox gate --night 2026-01-21 --confirm" in last
    assert "1 night beyond 5 %: 2 in a row are needed" in render_night(report)


def test_what_was_measured_again_is_no_longer_suspicious() -> None:
    records = series("slow", [*level(21, 1e-3), 1.2e-3])
    refuted = remeasured(records, 1.004)
    assert "○ 1 refuted, not slower when measured again · ● 1 same" in headline(refuted)
    assert "? inconclusive (refuted)" in render_night(refuted)
    assert render_night(refuted).splitlines()[-1] == "exit 0: nothing to do"
    confirmed = remeasured(records, 1.2)
    assert f"✖ 1 slower: {NAME} latency_p50 +20.0 % (95 %: " in headline(confirmed)


def test_a_blind_case_is_not_the_same() -> None:
    noisy = [*(1e-3 * np.exp(0.03 * np.random.default_rng(5).standard_normal(21))), 1e-3]
    report = judged([*series("slow", noisy), *series("quiet", QUIET)])
    assert "? 1 inconclusive · ● 1 same" in headline(report)
    (text,) = [text for status, text in report.reasons if status == 7]
    assert text == "1 of 2 primary rows blind (noise would hide a change as large as the effect), more than 5 %"
    (line,) = annotations_of(report)
    assert "1 of 2 primary rows blind" in line
    (skipped,) = tree.fromstring(junit_of(report)).iter("skipped")
    assert skipped.get("type") == "inconclusive"
    assert "would show within a week" in (skipped.get("message") or "")


def test_a_new_environment_says_how_levels_are_carried_over() -> None:
    records = series("slow", STEP[:21], environment=lambda night: NEW_DRIVER if night == 20 else ENVIRONMENT)
    report = judged(records)
    assert headline(report).startswith("night of 2026-01-21: ≠ 1 incomparable · ∅ 0 missing — none, new environment, ")
    ((status, text),) = report.reasons
    assert status == 8
    assert text.endswith("benchbox gate --night 2026-01-21 --confirm --ab OLD/bin/python NEW/bin/python")


def test_a_self_test_that_failed_comes_first_everywhere() -> None:
    """A red row must not be believed either: whoever reads annotations or JUnit alone has to know."""
    same = decide([Round(base=(1.0,) * 8, head=(1.0,) * 8)], effect=0.05, chance=0.002)
    test = Selftest(night="2026-01-22", machine="none", name="x", effect=0.05, injected=0.1, aa=(same,), slowed=same)
    for values in (STEP, QUIET):
        report = judged(series("slow", values), selftests=[test])
        assert headline(report).startswith("night of 2026-01-22: NOT TO BE BELIEVED · ")
        said = "the gate cannot be believed tonight: its self-test missed the slow-down that was injected"
        assert report.reasons[0][1].startswith(said)
        assert said in annotations_of(report)[0]
        root = tree.fromstring(junit_of(report))
        assert root.get("errors") == "1"
        first = next(root.iter("error"))
        assert (first.get("message") or "").startswith(said)
        assert root.get("tests") == str(len(list(root.iter("testcase"))))


@pytest.mark.parametrize(
    ("aa", "slowed", "said"),
    [
        (1.2, 1.2, "called equal sides slower"),
        (1.0, 1.0, "missed the slow-down that was injected"),
        (1.2, 1.0, "called equal sides slower and missed the slow-down that was injected"),
        (0.9, 1.2, "could not tell that equal sides are the same"),
    ],
)
def test_a_self_test_says_what_it_got_wrong(aa: float, slowed: float, said: str) -> None:
    base = tuple(1 + 0.001 * place for place in range(8))
    pairs = [
        decide([Round(base=base, head=tuple(factor * value for value in base))], effect=0.05, chance=0.002)
        for factor in (aa, slowed)
    ]
    test = Selftest(
        night="2026-01-22", machine="none", name="x", effect=0.05, injected=0.1, aa=(pairs[0],), slowed=pairs[1]
    )
    report = judged(series("slow", QUIET), selftests=[test])
    assert f"its self-test {said} (" in report.reasons[0][1]


def test_what_was_accepted_is_not_counted_as_slower() -> None:
    entry = Acknowledgement(
        group="20260121-none-null-fp32-slower",
        cases=(f"{NAME}@none",),
        metric="latency_p50",
        ratio=(1.2, 1.21),
        until="2026-04-22",
        accepted="2026-01-21",
        reason="padding",
    )
    report = judged([*series("slow", STEP), *series("quiet", QUIET)], acknowledged=[entry])
    assert report.exit == 0
    assert headline(report) == (f"night of 2026-01-22: ○ 1 acknowledged, oldest 1 day · ● 1 same · ∅ 0 missing{END}")
    assert "slower (acknowledged): 1 case" in render_night(report)


def test_an_invalid_night_is_said_once_though_there_is_a_level_in_git() -> None:
    """By the row of the nights; that of the level can say no more."""
    records = series("slow", QUIET)
    void = Flag(code="CPU_STEAL", severity=Severity.ERROR, message="others had the CPU")
    records[-1] = dataclasses.replace(records[-1], flags=(void,))
    (case,) = case_series(records, night_starts=12)
    known = Level(unit="s", value=1e-3, night="2026-01-01", environment=ENVIRONMENT.hash, kind="new")
    expected = Expected(case=case.case, machine="none", levels={"latency_p50": known})
    report = judged(records, baseline={case.name: expected})
    assert [row.reference for row in report.findings if row.verdict.metric == "latency_p50"] == ["rolling", "anchor"]
    assert render_night(report).count("latency_p50") == 1
    assert "flagged as invalid: CPU_STEAL; measure it again" in " ".join(render_night(report).split())


def test_what_only_informs_is_said_apart() -> None:
    secondary = '[[gate.rule]]\nwhere = { metric = "latency_p50" }\neffect = 0.05\ntier = "secondary"\n'
    report = judged(series("slow", STEP), secondary)
    assert report.exit == 0
    assert headline(report) == f"night of 2026-01-22: ● 1 same · ∅ 0 missing · 1 row slower for information{END}"
    text = render_night(report)
    assert "slower (for information): 1 case" in text
    assert "✖ slower (for information)" in text


def test_a_first_night_is_new_though_its_counts_can_be_compared() -> None:
    said = headline(judged(series("slow", QUIET[:2])))
    assert said == f"night of 2026-01-02: ○ 1 new, with too few nights to be judged · ∅ 0 missing{END}"


def test_a_per_cent_sign_stays_with_its_number() -> None:
    for model in ("slow", "slower-by-a-bit", "of-a-longer-name", "x" * 31, "x" * 33, "x" * 35, "x" * 37):
        for line in render_night(judged(series(model, STEP))).splitlines():
            assert not line.strip().startswith("%"), line
