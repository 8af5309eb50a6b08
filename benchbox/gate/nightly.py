"""Is tonight good? A pure function of stored records, the levels in git and a policy.

Every case that was expected is looked for, every metric with a rule is judged, findings of one cause become one alarm,
and the exit status follows. Noise alone turns a night red with at most the policy's probability over all its cases
together: each series is watched with that probability divided by their number (``stats/nights.py``).
"""

from __future__ import annotations

import dataclasses
import fnmatch
import math
from collections.abc import Iterable, Sequence

from benchbox.gate.acknowledged import holds_for, is_acceptable, lapse
from benchbox.gate.again import Again
from benchbox.gate.baseline import Baseline
from benchbox.gate.grouping import groups_of
from benchbox.gate.night import Acknowledgement, Coverage, Finding, NewEnvironment, NightReport, Qualifier, Tier
from benchbox.gate.policy import EXACT_METRICS, Policy
from benchbox.gate.reasons import reasons_of
from benchbox.gate.selftest import Selftest, trust_in
from benchbox.gate.series import CaseSeries, case_series
from benchbox.gate.tonight import (
    ProcessValues,
    Question,
    against_anchor,
    against_rolling,
    exact_counts,
    rule_for,
)
from benchbox.metrics.metric import METRICS
from benchbox.schema.reading import Better
from benchbox.schema.record import Record, Status
from benchbox.schema.verdict import Outcome, Verdict

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
    findings, used = _acknowledge([*gaps, *judged], policy, acknowledged, tonight, cases)
    groups, findings = groups_of(findings, policy)
    environments = _new_environments(cases, tonight)
    machines = dict.fromkeys(case.machine for case in cases if tonight in case.nights)
    trust = trust_in(tonight, tuple(machines), selftests)
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
        acknowledged=used,
        selftest=trust,
        reasons=reasons,
        exit=reasons[0][0] if reasons else 0,
        unreadable=tuple(unreadable),
        policy_sha256=policy.sha256,
        rule=_rule(policy, again),
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
            found.append(against_anchor(ask, policy, level, process_values, again))
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
) -> tuple[list[Finding], tuple[Acknowledgement, ...]]:
    known = {case.name: case for case in cases}
    marked, used = [], []
    for finding in findings:
        if not is_acceptable(finding):
            marked.append(finding)
            continue
        metric = finding.verdict.metric
        better = Better.LOWER if metric in EXACT_METRICS else METRICS.get(metric).better
        rule = rule_for(policy, known[finding.name], metric)
        effect = (rule.effect if rule else None) or 0.0
        lapsed = ""
        # The newest decision counts.
        for entry in reversed([entry for entry in acknowledged if holds_for(entry, finding)]):
            used.append(entry)
            lapsed = lapse(entry, finding, night=tonight, effect=effect, better=better)
            if not lapsed:
                finding = dataclasses.replace(finding, qualifiers=(*finding.qualifiers, Qualifier.ACKNOWLEDGED))
            reason = lapsed or f"acknowledged until {entry.until}: {entry.reason}"
            verdict = dataclasses.replace(finding.verdict, reason=f"{finding.verdict.reason}; {reason}".lstrip("; "))
            finding = dataclasses.replace(finding, verdict=verdict)
            break
        marked.append(finding)
    return marked, tuple(dict.fromkeys(used))


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
    """Alarms first, then by outcome, then by the size of the change."""
    rank = _RANKS.index(finding.verdict.outcome) if finding.verdict.outcome in _RANKS else len(_RANKS)
    ratio = finding.verdict.ratio
    size = abs(math.log(ratio)) if ratio else 0.0
    return (not finding.is_alarm, finding.tier is not Tier.PRIMARY, rank, -size, finding.name, finding.verdict.metric)


def _rule(policy: Policy, again: Again) -> str:
    persist = policy.rolling.persist
    nights = f"{persist} night{'s' * (persist > 1)} in a row"
    confirmed = ", or one that was confirmed by measuring base and head in turn" if again.entries else ""
    drift = f"; drifted: {policy.anchor.drift:g} effects from a level in git" if "anchor" in policy.references else ""
    return (
        f"slower: at least {nights} worse than the median of {policy.rolling.nights} good nights "
        f"by more than the effect and than noise{confirmed}{drift}; "
        f"{policy.false_alarms:.2%} chance of a false alarm a night, all cases"
    )
