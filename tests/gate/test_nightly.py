"""Tonight as a function of records: outcomes, gaps, counts, environments, and the exit status."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from sample_nights import NEW_DRIVER, level, nights
from sample_records import ENVIRONMENT, record

from benchbox.gate.night import Acknowledgement, Finding, NightReport, Qualifier
from benchbox.gate.nightly import judge_night
from benchbox.gate.policy import Policy, policy_from_text
from benchbox.schema.record import Record, Status
from benchbox.schema.verdict import Outcome

NAME = "lenet5/null/fp32/b1/isolated/t1/virtual@none"


def judged(records: Sequence[Record], policy: Policy | None = None, **more: Any) -> NightReport:
    return judge_night(records, policy or Policy(), process_values=lambda *_: (), **more)


def clean(values: Sequence[float], **fields: Any) -> list[Record]:
    return nights(values, flags=(), **fields)


def latency(report: NightReport) -> Finding:
    (found,) = [finding for finding in report.findings if finding.verdict.metric == "latency_p50"]
    return found


STEP = [*level(20, 1e-3), *level(2, 1.2e-3, 1)]


def test_a_quiet_series_is_the_same() -> None:
    report = judged(clean(level(20, 1e-3)))
    assert latency(report).verdict.outcome is Outcome.SAME
    assert (report.exit, report.reasons, report.groups) == (0, (), ())
    assert (report.coverage.expected, report.coverage.seen) == (1, 1)
    assert latency(report).name == NAME


def test_one_bad_night_is_suspicious_and_two_are_slower() -> None:
    first = judged(clean(STEP[:-1]))
    assert latency(first).qualifiers == (Qualifier.SUSPICIOUS,)
    assert first.exit == 0
    second = judged(clean(STEP))
    found = latency(second)
    assert (found.verdict.outcome, second.exit) == (Outcome.SLOWER, 1)
    assert found.verdict.ratio == pytest.approx(1.2, rel=0.02)
    assert found.place.commits == ("c019", "c020")
    (group,) = second.groups
    assert group.id == "20260121-none-null-fp32-slower"
    assert group.cases == (NAME,)
    assert "c019..c020" in group.cause


def test_the_order_of_records_does_not_matter_and_a_night_can_be_asked_for() -> None:
    records = clean(STEP)
    assert judged(records[::-1]) == judged(records)
    assert latency(judged(records, night="2026-01-21")).qualifiers == (Qualifier.SUSPICIOUS,)


def test_an_alarm_stays_until_it_is_mended_or_accepted() -> None:
    for more in (10, 40):
        assert judged(clean([*level(20, 1e-3), *level(more, 1.2e-3, 1)])).exit == 1
    assert judged(clean([*STEP, *level(2, 1e-3, 2)])).exit == 0


def test_a_faster_level_is_told_and_kept() -> None:
    report = judged(clean([*level(20, 1e-3), *level(2, 0.8e-3, 1)]))
    assert (latency(report).verdict.outcome, report.exit) == (Outcome.FASTER, 0)
    again = judged(clean([*level(20, 1e-3), *level(10, 0.8e-3, 1), *level(2, 1e-3, 2)]))
    assert latency(again).verdict.outcome is Outcome.SLOWER


def test_two_networks_under_one_name_are_two_cases() -> None:
    """Measured beside each other they are neither one mean nor a change of a count, and each has its own name."""
    narrow = clean(level(20, 1e-3))
    wide = wider(level(20, 3e-3))
    report = judged([*narrow, *wide[:-2], *wider([*level(18, 3e-3), *level(2, 4e-3)])[-2:]])
    found = {f.name: f.verdict.outcome for f in report.findings if f.verdict.metric == "latency_p50"}
    first, second = (NAME.replace("t1/", f"t1/{macs}macs-1256080params/") for macs in (6_522_000, 13_044_000))
    assert found == {first: Outcome.SAME, second: Outcome.SLOWER}
    assert not [finding for finding in report.findings if finding.is_alarm and finding.reference == "exact"]


def test_a_network_that_became_another_one_is_a_changed_count() -> None:
    """In its last night both were measured: the newest is the case, and no mean of the two."""
    records = [*clean(level(20, 1e-3)), *wider(level(21, 3e-3))[-2:]]
    for night, outcome in (("2026-01-20", Outcome.INCOMPARABLE), ("2026-01-21", Outcome.INCONCLUSIVE)):
        report = judged(records, night=night)
        (macs,) = [f for f in report.findings if f.verdict.metric == "macs"]
        assert (macs.name, macs.base, macs.head, macs.is_alarm) == (NAME, 6_522_000, 13_044_000, True)
        assert latency(report).verdict.outcome is outcome
    assert all(finding.name == NAME for finding in judged(records, night="2026-01-19").findings)


def wider(values: Sequence[float]) -> list[Record]:
    """Another network of the same name, an hour after the first one in each night."""
    analytic = dataclasses.replace(record().analytic, macs=13_044_000)
    return [
        dataclasses.replace(
            entry,
            id=f"{entry.id}w",
            started_at=entry.started_at.replace("T02", "T03"),
            onnx_sha256="b" * 64,
            analytic=analytic,
        )
        for entry in clean(values)
    ]


def test_a_new_driver_is_never_slower() -> None:
    def environment(night: int) -> Any:
        return NEW_DRIVER if night >= 20 else ENVIRONMENT

    report = judged(clean([*level(20, 1e-3), 1.3e-3], environment=environment))
    assert (latency(report).verdict.outcome, report.exit) == (Outcome.INCOMPARABLE, 8)
    assert "driver" in latency(report).verdict.reason
    assert report.environments[0].changed == {"driver": ("", "560")}
    later = judged(clean([*level(20, 1e-3), *level(3, 1.3e-3, 1)], environment=environment))
    assert (latency(later).qualifiers, later.exit) == ((Qualifier.NEW,), 0)
    assert judged(clean([*level(20, 1e-3), *level(30, 1.3e-3, 1)], environment=environment)).exit == 0


def other(records: Sequence[Record], model: str = "vgg16") -> list[Record]:
    return [
        dataclasses.replace(entry, id=f"{entry.id}{model}", key=dataclasses.replace(entry.key, model=model))
        for entry in records
    ]


def test_a_missing_case_is_a_verdict() -> None:
    records = clean(level(20, 1e-3))
    report = judged([*records, *other(records[:-1])])
    (gap,) = [finding for finding in report.findings if finding.is_gap]
    assert (gap.verdict.outcome, report.exit) == (Outcome.MISSING, 5)
    assert "the last is of the night of 2026-01-19" in gap.verdict.reason
    assert report.coverage.missing == (gap.name,)
    retired = policy_from_text('[gate]\ncoverage = { retired = ["vgg16/*"] }', origin="x")
    assert judged([*records, *other(records[:-1])], retired).exit == 0
    needed = policy_from_text('[gate]\ncoverage = { require = ["lenet5/*"] }', origin="x")
    assert judged([*records, *other(records[:-1])], needed).exit == 0


def test_a_failed_case_is_a_verdict() -> None:
    records = clean(level(20, 1e-3))
    failed = dataclasses.replace(records[-1], status=Status.FAILED, reason="out of memory", readings=())
    report = judged([*records[:-1], failed])
    assert (report.findings[0].verdict.outcome, report.exit) == (Outcome.FAILED, 5)
    assert report.findings[0].verdict.reason == "out of memory"


def test_a_metric_that_is_gone_is_missing() -> None:
    records = clean(level(20, 1e-3))
    report = judged([*records[:-1], dataclasses.replace(records[-1], readings=())])
    (gap,) = [finding for finding in report.findings if finding.is_gap]
    assert (gap.verdict.metric, report.exit) == ("latency_p50", 5)


def test_nothing_to_judge_is_a_failure() -> None:
    assert judged([]).exit == 5
    nothing = policy_from_text("[gate]\ndefaults = false\n", origin="x")
    report = judged(clean(level(20, 1e-3)), nothing)
    assert report.exit == 5
    assert "nothing was judged" in report.reasons[0][1]


def test_a_silent_night_is_a_failure() -> None:
    report = judged(clean(level(20, 1e-3)), night="2026-02-01")
    assert (report.exit, report.coverage.seen, report.coverage.expected) == (5, 0, 1)


def test_counts_may_not_change_on_any_machine() -> None:
    records = clean(level(20, 1e-3))
    analytic = records[0].analytic
    assert analytic is not None
    for factor, outcome in ((2, Outcome.SLOWER), (0.5, Outcome.FASTER)):
        changed = dataclasses.replace(analytic, macs=int(analytic.macs * factor))
        head = dataclasses.replace(records[-1], analytic=changed, onnx_sha256="cd" * 32)
        report = judged([*records[:-1], head])
        found = report.findings[0]
        assert (found.verdict.metric, found.verdict.outcome, report.exit) == ("macs", outcome, 1)
        assert found.qualifiers == (Qualifier.EXACT,)
        assert latency(report).verdict.outcome is Outcome.INCOMPARABLE
    assert report.groups[0].id.endswith("-exact")


def test_a_node_more_in_the_file_is_a_change_of_a_count() -> None:
    """MACs, parameters and bytes may all be the same: an Identity, a pair of Casts. Older records have no count."""
    records = clean(level(20, 1e-3))
    analytic = records[0].analytic
    assert analytic is not None
    nodes = [None] * 10 + [12] * 9 + [14]
    counted = [
        dataclasses.replace(record, analytic=dataclasses.replace(analytic, onnx_nodes=number))
        for record, number in zip(records, nodes, strict=True)
    ]
    report = judged(counted)
    (found,) = [row for row in report.findings if row.is_alarm]
    assert (found.verdict.metric, found.base, found.head, found.unit) == ("onnx_nodes", 12.0, 14.0, "1")
    assert (report.exit, report.groups[0].id.endswith("-exact")) == (1, True)
    assert judged(counted[:-1]).exit == judged(counted[:10]).exit == 0


def accepted(**fields: Any) -> Acknowledgement:
    values: dict[str, Any] = {"group": "g", "cases": (NAME,), "metric": "latency_p50", "ratio": (1.15, 1.22)}
    values |= {"until": "2026-03-01", "accepted": "2026-01-22", "reason": "padding"}
    return Acknowledgement(**{**values, **fields})


def test_an_acknowledged_change_is_shown_and_not_red() -> None:
    report = judged(clean(STEP), acknowledged=[accepted()])
    assert Qualifier.ACKNOWLEDGED in latency(report).qualifiers
    assert "padding" in latency(report).verdict.reason
    assert (report.exit, len(report.acknowledged), report.groups[0].acknowledged) == (0, 1, True)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"until": "2026-01-21"}, "its acknowledgement ended with the night of 2026-01-21"),
        ({"ratio": (1.05, 1.1)}, "worse than what was acknowledged, +10.0 %, by more than the effect"),
    ],
)
def test_it_is_red_again_when_the_date_passes_or_it_gets_worse(fields: dict[str, Any], said: str) -> None:
    report = judged(clean(STEP), acknowledged=[accepted(**fields)])
    assert report.exit == 1
    assert said in latency(report).verdict.reason
    assert len(report.acknowledged) == 1


def test_an_acknowledgement_of_another_case_changes_nothing() -> None:
    assert judged(clean(STEP), acknowledged=[accepted(cases=("vgg*",))]).exit == 1


def test_two_runs_in_one_night_are_one_value() -> None:
    records = clean(STEP[:-1])
    again = dataclasses.replace(records[-1], id="again", started_at="2026-01-21T05:00:00+00:00")
    assert latency(judged([*records, again])).qualifiers == (Qualifier.SUSPICIOUS,)


def test_records_over_midnight_are_one_night() -> None:
    late = record(started_at="2026-01-01T23:30:00+00:00", flags=())
    early = dataclasses.replace(late, id="2", started_at="2026-01-02T01:00:00+00:00")
    assert judged([late, early]).night == "2026-01-02"
    assert len(judged([late, early]).coverage.new) == 1


def test_a_flag_of_severity_error_voids_the_night() -> None:
    records = nights(level(20, 1e-3))
    report = judged(records)
    assert latency(report).verdict.outcome is Outcome.INCONCLUSIVE
    assert "VIRTUAL_CLOCK" in latency(report).verdict.reason
    assert (report.exit, report.reasons[0][1]) == (7, "1 of 1 primary row inconclusive, more than 10 %")


def test_a_noisy_series_is_blind_and_says_what_it_could_see() -> None:
    import numpy as np

    noisy = 1e-3 * np.exp(0.05 * np.random.default_rng(3).standard_normal(40))
    report = judged(clean([*noisy, 1e-3]))
    assert Qualifier.BLIND in latency(report).qualifiers
    assert report.exit == 7


def test_a_secondary_rule_informs_only() -> None:
    text = '[[gate.rule]]\nwhere = { metric = "latency_p50" }\neffect = 0.05\ntier = "secondary"\n'
    report = judged(clean(STEP), policy_from_text(text, origin="x"))
    assert (latency(report).verdict.outcome, report.exit) == (Outcome.SLOWER, 0)


def test_many_cases_are_one_alarm_and_rows_go_by_size() -> None:
    records: list[Record] = []
    for number, factor in enumerate((1.1, 1.5, 1.2)):
        records += other(clean([*level(20, 1e-3), *level(3, factor * 1e-3, 1)]), f"net{number}")
    report = judged(records)
    (group,) = report.groups
    assert [name[:4] for name in group.cases] == ["net1", "net2", "net0"]
    assert [finding.name[:4] for finding in report.findings[:3]] == ["net1", "net2", "net0"]
    assert group.worst == pytest.approx(1.5, rel=0.02)


def test_new_cases_fail_a_night_where_the_policy_says_so() -> None:
    records = clean(level(20, 1e-3))
    newcomer = dataclasses.replace(
        records[-1], id=f"{records[-1].id}x", key=dataclasses.replace(records[-1].key, model="vgg16")
    )
    assert judged([*records, newcomer]).exit == 0
    report = judged([*records, newcomer], policy_from_text("[gate]\ncoverage = { allow_new = false }", origin="x"))
    assert report.exit == 5
    assert report.reasons[0][1].startswith("1 new case, without a level: vgg16/null")


def test_only_the_cases_that_are_required_are_missed() -> None:
    records = clean(level(20, 1e-3))
    other = [
        dataclasses.replace(entry, id=f"{entry.id}x", key=dataclasses.replace(entry.key, model="vgg16"))
        for entry in records
    ]
    for require, status in (('["vgg*"]', 0), ('["lenet*", "vgg*"]', 5), ('"all"', 5)):
        policy = policy_from_text(f"[gate]\ncoverage = {{ require = {require} }}", origin="x")
        assert judged([*records[:-1], *other], policy).exit == status
