"""Is tonight good? A pure function of stored records, the levels in git and a policy.

Every case that was expected is looked for, every metric with a rule is judged, findings of one cause become one alarm,
and the exit status follows. Noise alone turns a night red with at most the policy's probability over all its cases
together: each series is watched with that probability divided by their number (``stats/nights.py``).
"""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
import math
from collections.abc import Iterable, Sequence

from benchbox.gate.again import Again
from benchbox.gate.anchored import against_anchor
from benchbox.gate.grouping import certain_size, groups_of
from benchbox.gate.levels.acknowledged import FALSE_ALARMS, MOST_BY_PATTERN, holds_for, is_acceptable, lapse, width_of
from benchbox.gate.levels.baseline import Baseline
from benchbox.gate.night import (
    Acknowledged,
    Acknowledgement,
    Coverage,
    Finding,
    NewEnvironment,
    NightReport,
    Qualifier,
    References,
    Standing,
    Taken,
    Tier,
)
from benchbox.gate.policy import EXACT_METRICS, Policy
from benchbox.gate.reasons import reasons_of
from benchbox.gate.rolling import against_rolling
from benchbox.gate.selftest import Selftest, first_of_last, trust_in
from benchbox.gate.series import CaseSeries, case_series, commit_of
from benchbox.gate.tonight import (
    ProcessValues,
    Question,
    exact_counts,
    rule_for,
)
from benchbox.metrics.device_times import CYCLES
from benchbox.metrics.metric import METRICS
from benchbox.schema.reading import Better
from benchbox.schema.record import Record, Status
from benchbox.schema.verdict import Outcome, Verdict
from benchbox.units import format_percent

COVERAGE = "coverage"
NOTHING_AGAIN = Again()


def judge_night(
    records: Iterable[Record],
    policy: Policy,
    *,
    process_values: ProcessValues,
    baseline: Baseline | None = None,
    acknowledged: Sequence[Acknowledgement] = (),
    again: Again = NOTHING_AGAIN,
    selftests: Sequence[Selftest] = (),
    night: str | None = None,
    unreadable: Sequence[str] = (),
) -> NightReport:
    """The judgement of one night.

    Args:
        records: of all nights, in any order.
        policy: how to judge.
        process_values: gives the values of a record's processes, for comparisons with anchors.
        baseline: the levels in git.
        acknowledged: changes that were accepted.
        again: what was measured again.
        selftests: the gate's tests of itself, by night.
        night: the day on which it ends; None for the newest that has records.
        unreadable: files of records that are damaged.
    """
    cases = case_series(records, night_starts=policy.night_starts)
    newest = max((name for case in cases for name in case.nights), default="")
    tonight = night or newest
    cases = tuple(case for case in cases if min(case.nights) <= tonight)
    levels = baseline or {}
    coverage, gaps = _coverage(cases, levels, policy, tonight)
    judged = _judged(cases, policy, levels, tonight, process_values, again)
    findings, standing = _acknowledge([*gaps, *judged], policy, acknowledged, tonight, cases)
    groups, findings = groups_of(findings, policy)
    environments = _new_environments(cases, tonight)
    taken = _taken(cases, tonight)
    trust = trust_in(tonight, tuple(entry.machine for entry in taken), selftests)
    reasons = reasons_of(
        findings,
        policy,
        night=tonight,
        newest=newest,
        coverage=coverage,
        environments=environments,
        trust=trust,
        unreadable=unreadable,
    )
    return NightReport(
        night=tonight,
        findings=tuple(sorted(findings, key=_order)),
        groups=groups,
        coverage=coverage,
        environments=environments,
        acknowledged=standing,
        selftest=trust,
        reasons=reasons,
        exit=reasons[0][0] if reasons else 0,
        unreadable=tuple(unreadable),
        policy_sha256=policy.sha256,
        rule=_rule(policy, again),
        taken=taken,
        references=_references(cases, policy, levels, tonight),
        accepted=_accepted(acknowledged, tonight),
    )


def _taken(cases: Sequence[CaseSeries], tonight: str) -> tuple[Taken, ...]:
    """Where and when the night was measured."""
    newest: dict[str, Record] = {}
    for case in cases:
        for record in case.nights.get(tonight, ()):
            known = newest.setdefault(case.machine, record)
            newest[case.machine] = max(known, record, key=lambda entry: entry.started_at)
    return tuple(
        Taken(machine=machine, environment=record.environment.hash, started_at=record.started_at)
        for machine, record in newest.items()
    )


def _coverage(
    cases: Sequence[CaseSeries], baseline: Baseline, policy: Policy, tonight: str
) -> tuple[Coverage, list[Finding]]:
    nights = sorted({night for case in cases for night in case.nights if night < tonight})[-policy.rolling.nights :]
    known = {case.name: case for case in cases}
    earlier = {name for name, case in known.items() if any(case.measured(night) for night in nights)}
    expected = [name for name in dict.fromkeys([*known, *baseline]) if name in earlier or name in baseline]
    expected = [name for name in expected if not _matches(name, policy.coverage.retired)]
    seen = [name for name, case in known.items() if case.measured(tonight)]
    gaps = []
    for name in dict.fromkeys([*expected, *known]):
        case = known.get(name)
        entries = case.nights.get(tonight, ()) if case else ()
        failed = bool(entries) and entries[-1].status is Status.FAILED
        if name in seen or not (failed or name in expected) or _matches(name, policy.coverage.retired):
            continue
        gaps.append(_gap(name, case, baseline, policy, entries))
    return Coverage(
        expected=len(expected),
        seen=len([name for name in expected if name in seen]),
        missing=tuple(gap.name for gap in gaps if gap.verdict.outcome is Outcome.MISSING),
        failed=tuple(gap.name for gap in gaps if gap.verdict.outcome is Outcome.FAILED),
        new=tuple(name for name in seen if name not in expected),
    ), gaps


def _gap(name: str, case: CaseSeries | None, baseline: Baseline, policy: Policy, entries: Sequence[Record]) -> Finding:
    last = entries[-1] if entries else None
    if last is not None and last.status is Status.FAILED:
        outcome, reason = Outcome.FAILED, last.reason
    elif last is not None:
        outcome, reason = Outcome.MISSING, f"skipped: {last.reason}"
    else:
        measured = [night for night in case.nights if case.measured(night)] if case else []
        ago = f"; the last is of the night of {max(measured)}" if measured else ""
        outcome, reason = Outcome.MISSING, f"no record tonight{ago}"
    needed = policy.coverage.require == "all" or _matches(name, policy.coverage.require)
    return Finding(
        verdict=Verdict(case=case.case if case else baseline[name].case, metric="", outcome=outcome, reason=reason),
        name=name,
        machine=case.machine if case else baseline[name].machine,
        reference=COVERAGE,
        tier=Tier.PRIMARY if needed else Tier.SECONDARY,
    )


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _judged(
    cases: Sequence[CaseSeries],
    policy: Policy,
    baseline: Baseline,
    tonight: str,
    process_values: ProcessValues,
    again: Again,
) -> list[Finding]:
    asked = [question for case in cases if case.measured(tonight) for question in _questions(case, policy, tonight)]
    exact = [ask for ask in asked if ask.rule.exact]
    watched = [ask for ask in asked if not ask.rule.exact]
    family = max(1, sum(ask.rule.level is Tier.PRIMARY for ask in watched))
    found: list[Finding] = [entry for ask in exact if (entry := exact_counts(ask, policy, baseline)) is not None]
    for ask in watched:
        if not any(_has(record, ask.metric) for record in ask.series.measured(tonight)):
            found.append(ask.finding(Outcome.MISSING, COVERAGE, f"{ask.metric} is missing; the night before had it"))
            continue
        rolling = None
        if "rolling" in policy.references:
            rolling = against_rolling(ask, policy, baseline, again, chance=policy.false_alarms / family)
            found.append(rolling)
        expected = baseline.get(ask.series.name)
        level = expected.anchor(ask.metric) if expected else None
        already = rolling is not None and rolling.verdict.outcome is Outcome.SLOWER
        if "anchor" in policy.references and level is not None and not already:
            cycles = expected.anchor(CYCLES) if expected else None
            found.append(against_anchor(ask, policy, level, process_values, again, cycles=cycles))
    return found


def _questions(case: CaseSeries, policy: Policy, tonight: str) -> list[Question]:
    """Every metric of tonight, or of the night before, that has a rule."""
    nights = case.before(tonight)[-1:]
    names = {
        reading.metric for night in (*nights, tonight) for entry in case.measured(night) for reading in entry.readings
    }
    found = []
    for metric in (*EXACT_METRICS, *(name for name in METRICS.names() if name in names)):
        rule = rule_for(policy, case, metric)
        if rule is not None and rule.exact is (metric in EXACT_METRICS):
            found.append(Question(series=case, metric=metric, rule=rule, night=tonight))
    return found


def _has(record: Record, metric: str) -> bool:
    return any(reading.metric == metric for reading in record.readings)


def _acknowledge(
    findings: Sequence[Finding],
    policy: Policy,
    acknowledged: Sequence[Acknowledgement],
    tonight: str,
    cases: Sequence[CaseSeries],
) -> tuple[list[Finding], tuple[Acknowledged, ...]]:
    """The findings with what was accepted of them, and how every acknowledgement stands."""
    known = {case.name: case for case in cases}
    acceptable = [finding for finding in findings if is_acceptable(finding)]
    widths = {id(entry): width_of(entry, {finding.name for finding in acceptable}) for entry in acknowledged}
    marked = []
    standing: dict[int, Standing] = {}
    for finding in findings:
        # The newest decision counts.
        held = (one for one in reversed(acknowledged) if is_acceptable(finding) and holds_for(one, finding))
        entry = next(held, None)
        if entry is None:
            marked.append(finding)
            continue
        lapsed = _lapse(entry, finding, widths[id(entry)], policy, known[finding.name], tonight)
        if not lapsed:
            finding = dataclasses.replace(finding, qualifiers=(*finding.qualifiers, Qualifier.ACKNOWLEDGED))
        if lapsed or standing.get(id(entry)) is not Standing.LAPSED:
            standing[id(entry)] = Standing.LAPSED if lapsed else Standing.HOLDS
        reason = lapsed or f"acknowledged until {entry.until}: {entry.reason}"
        verdict = dataclasses.replace(finding.verdict, reason=f"{finding.verdict.reason}; {reason}".lstrip("; "))
        marked.append(dataclasses.replace(finding, verdict=verdict))
    return marked, tuple(
        Acknowledged(
            entry=entry, standing=standing.get(id(entry), Standing.UNUSED), days=_days(entry.accepted, tonight)
        )
        for entry in acknowledged
        # What has lapsed and is not needed is of the past.
        if id(entry) in standing or entry.until >= tonight
    )


def _lapse(entry: Acknowledgement, finding: Finding, width: int, policy: Policy, case: CaseSeries, tonight: str) -> str:
    """Why an acknowledgement does not cover a finding that it names, "" where it does."""
    metric = finding.verdict.metric
    better = Better.LOWER if metric in EXACT_METRICS else METRICS.get(metric).better
    rule = rule_for(policy, case, metric)
    if width > MOST_BY_PATTERN and not entry.wide and finding.name not in entry.cases:
        return f"is acknowledged by a pattern that covers {width} cases: at most {MOST_BY_PATTERN}, or wide = true"
    return lapse(entry, finding, night=tonight, effect=(rule.effect if rule else None) or 0.0, better=better)


def _days(since: str, night: str) -> int:
    """From a date to a night; 0 where one of them is none."""
    try:
        return (datetime.date.fromisoformat(night) - datetime.date.fromisoformat(since)).days
    except ValueError:
        return 0


def _accepted(acknowledged: Sequence[Acknowledgement], tonight: str) -> tuple[int, int]:
    """Alarms of the last 90 nights that were accepted, and how many of them as noise or the machine's."""
    first = first_of_last(tonight)
    kinds = {entry.group: entry.kind for entry in acknowledged if first <= entry.accepted <= tonight}
    return len(kinds), sum(kind in FALSE_ALARMS for kind in kinds.values())


def _references(cases: Sequence[CaseSeries], policy: Policy, baseline: Baseline, tonight: str) -> References:
    nights = sorted({night for case in cases for night in case.before(tonight)})[-policy.rolling.nights :]
    last = [case.measured(nights[-1]) for case in cases if nights]
    commits = [commit_of(records) for records in last if records]
    levels = [level for expected in baseline.values() for level in expected.levels.values()]
    anchors = [level for expected in baseline.values() for level in expected.anchors.values()]
    return References(
        nights=len(nights),
        first=nights[0] if nights else "",
        last=nights[-1] if nights else "",
        commit=next(filter(None, reversed(commits)), ""),
        levels=len(baseline),
        oldest=min((level.night for level in levels), default=""),
        newest=max((level.night for level in levels), default=""),
        pinned=tuple(sorted({level.pinned for level in anchors})),
    )


def _new_environments(cases: Sequence[CaseSeries], tonight: str) -> tuple[NewEnvironment, ...]:
    """Machines on which every environment of tonight differs from that of the case's night before."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for case in cases:
        earlier = case.before(tonight)
        if not earlier or not case.measured(tonight):
            continue
        now = case.measured(tonight)[-1].environment
        before = case.measured(earlier[-1])[-1].environment
        if now.hash == before.hash:
            continue
        fields = found.setdefault(case.machine, {})
        for one, other in ((before.hardware, now.hardware), (before.software, now.software)):
            for name in sorted({*one, *other}):
                if one.get(name) != other.get(name):
                    fields[name] = (one.get(name, ""), other.get(name, ""))
    return tuple(NewEnvironment(machine=machine, changed=changed) for machine, changed in found.items())


_RANKS = (Outcome.SLOWER, Outcome.FAILED, Outcome.MISSING, Outcome.INCOMPARABLE, Outcome.INCONCLUSIVE, Outcome.FASTER)


def _order(finding: Finding) -> tuple[object, ...]:
    """Alarms first, then by outcome, then by the size of the change: what it is at the least, then what it seems."""
    rank = _RANKS.index(finding.verdict.outcome) if finding.verdict.outcome in _RANKS else len(_RANKS)
    ratio = finding.verdict.ratio
    size = abs(math.log(ratio)) if ratio else 0.0
    sizes = (-certain_size(finding.verdict), -size)
    return (not finding.is_alarm, finding.tier is not Tier.PRIMARY, rank, *sizes, finding.name, finding.verdict.metric)


def _rule(policy: Policy, again: Again) -> str:
    """How was judged, by the references that count."""
    persist, drift = policy.rolling.persist, policy.anchor.drift
    nights = f"at least {persist} nights in a row are" if persist > 1 else "a night is"
    confirmed = ", or one that was confirmed by measuring base and head in turn" if again.entries else ""
    effects = f"{drift:g} effects" if drift != 1 else "the effect"
    parts = []
    if "rolling" in policy.references:
        parts.append(
            f"slower: {nights} worse than the median of {policy.rolling.nights} good nights by more than the effect "
            f"and than noise{confirmed}"
        )
    if "anchor" in policy.references:
        parts.append(f"drifted: more than {effects} off a level")
    if "rolling" in policy.references:
        parts.append(f"chance of a false alarm a night, over all cases: {format_percent(policy.false_alarms)}")
    return "; ".join([*parts, "counts may not change"])
