"""Which levels would tonight write into the baseline, and what does accepting an alarm write?"""

from __future__ import annotations

import dataclasses
import datetime
import glob
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchbox.errors import UsageError
from benchbox.gate.levels.acknowledged import EXPECTED, is_acceptable
from benchbox.gate.levels.baseline import ACCEPTED, Baseline, Expected, Level, with_level
from benchbox.gate.night import Acknowledgement, Finding, Group, NightReport, Qualifier, Tier
from benchbox.gate.policy import EXACT_METRICS, Policy
from benchbox.gate.series import CaseSeries, case_series, commit_of
from benchbox.gate.tonight import EXACT, ProcessValues, count_of, rule_for, unit_of_count
from benchbox.metrics.device_times import CYCLES
from benchbox.metrics.metric import METRICS
from benchbox.registry import suggestion
from benchbox.schema.reading import Better
from benchbox.schema.record import Record
from benchbox.schema.verdict import Outcome

DEFAULT_DAYS = 90


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """One level that would be written: of which case and metric, the level before it (None for a new one), and why."""

    name: str
    metric: str
    before: Level | None
    level: Level


def proposals_for(
    records: Sequence[Record],
    report: NightReport,
    policy: Policy,
    baseline: Baseline,
    process_values: ProcessValues,
    *,
    accepted: bool,
) -> tuple[tuple[Proposal, ...], dict[str, Expected]]:
    """New and better levels, or those that are worse and acknowledged; and the cases that have them.

    A level is not replaced for less than the rule's effect: small steps would add up unseen.

    Args:
        records: of all nights.
        report: the night whose values are taken.
        policy: which metrics have rules.
        baseline: the levels so far.
        process_values: of a record and metric, one per process.
        accepted: the worse ones that were acknowledged instead of the new and better ones.
    """
    found: list[Proposal] = []
    cases: dict[str, Expected] = {}
    marked = {(finding.name, finding.verdict.metric): finding for finding in reversed(report.findings)}
    for case in case_series(records, night_starts=policy.night_starts):
        for metric, level in _levels(case, report.night, policy, process_values):
            expected = cases.get(case.name) or baseline.get(case.name) or Expected(case=case.case, machine=case.machine)
            kind = _kind(metric, level, expected.levels.get(metric), case, policy, marked.get((case.name, metric)))
            if not kind or (kind == ACCEPTED) is not accepted:
                continue
            written = [(metric, dataclasses.replace(level, kind=kind))]
            rule = rule_for(policy, case, metric)
            if rule is not None and rule.also is not None:
                # Drift in time is held against that in cycles: their level is of the same night.
                written += [
                    (CYCLES, dataclasses.replace(cycles, kind=kind))
                    for cycles in _level(case, report.night, CYCLES, process_values)
                ]
            for name, one in written:
                found.append(Proposal(name=case.name, metric=name, before=expected.levels.get(name), level=one))
                expected = with_level(expected, name, one)
            cases[case.name] = expected
    return tuple(dict.fromkeys(found)), cases


def _kind(
    metric: str, level: Level, before: Level | None, case: CaseSeries, policy: Policy, finding: Finding | None
) -> str:
    """Why a level would be written: "new", "better", "accepted", or "" where it would not."""
    acknowledged = finding is not None and Qualifier.ACKNOWLEDGED in finding.qualifiers
    worse_now = finding is not None and finding.verdict.outcome is Outcome.SLOWER
    if worse_now or (acknowledged and metric in EXACT_METRICS):
        return ACCEPTED if acknowledged else ""
    if finding is not None and finding.is_alarm:
        return ""  # a count that fell, too: a person says whether that is meant
    if before is None:
        return "new"
    if metric in EXACT_METRICS or before.environment != level.environment:
        return "new" if metric not in EXACT_METRICS else ""
    rule = rule_for(policy, case, metric)
    sign = 1 if METRICS.get(metric).better is Better.LOWER else -1
    gain = -sign * math.log(level.value / before.value)
    return "better" if rule is not None and gain > math.log1p(rule.effect or 0.0) else ""


def _levels(case: CaseSeries, night: str, policy: Policy, process_values: ProcessValues) -> Iterator[tuple[str, Level]]:
    """What tonight says of every metric of a case that has a primary rule."""
    entries = case.measured(night)
    names = {reading.metric for entry in entries for reading in entry.readings}
    for metric in (*EXACT_METRICS, *(name for name in METRICS.names() if name in names)) if entries else ():
        rule = rule_for(policy, case, metric)
        if rule is None or rule.level is not Tier.PRIMARY or rule.exact is not (metric in EXACT_METRICS):
            continue
        for level in _level(case, night, metric, process_values):
            yield metric, level


def _level(case: CaseSeries, night: str, metric: str, process_values: ProcessValues) -> Iterator[Level]:
    """The level of a night, none where it has no such number."""
    entries = case.measured(night)
    newest = entries[-1]
    origin = {
        "night": night,
        "environment": newest.environment.hash,
        "commit": commit_of(entries),
        "onnx_sha256": newest.onnx_sha256 or "",
        "engine_sha256": newest.engine_sha256 or "",
        "records": tuple(entry.id for entry in entries),
        "kind": "",
    }
    if metric in EXACT_METRICS:
        if (count := count_of(newest, metric)) is not None:
            yield Level(unit=unit_of_count(metric), value=float(count), **origin)  # type: ignore[arg-type]
    elif (value := case.value(night, metric)) is not None:
        values = tuple(one for entry in value.records for one in process_values(entry, metric))
        yield Level(unit=value.unit, value=value.value, values=values, **origin)  # type: ignore[arg-type]


def acknowledgements_of(
    report: NightReport,
    group: str,
    *,
    reason: str,
    issue: str = "",
    until: str | None = None,
    by: str = "",
    kind: str = EXPECTED,
) -> tuple[Acknowledgement, ...]:
    """What accepting a group writes: a table a metric (for counts, one a metric and size), each with its cases.

    Raises:
        UsageError: there is no such group tonight, it has no change that can be accepted, or the date has passed.
    """
    known = [entry.id for entry in report.groups]
    found: Group | None = next((entry for entry in report.groups if entry.id == group), None)
    if found is None:
        raise UsageError(
            f"there is no group '{group}' in the night of {report.night}",
            values=suggestion(group, known),
            remedy=f"groups: {', '.join(known)}" if known else "tonight has none: benchbox gate",
        )
    members = [finding for finding in report.findings if finding.group == group and is_acceptable(finding)]
    if not members:
        raise UsageError(
            "only changes can be accepted, not missing numbers",
            values=f"{group}: {found.outcome}",
            remedy="cases that are no longer measured: coverage.retired in benchbox.toml",
        )
    end = until or (datetime.date.fromisoformat(report.night) + datetime.timedelta(days=DEFAULT_DAYS)).isoformat()
    if end <= report.night:
        raise UsageError("--until has passed", values=f"{end}, the night is that of {report.night}")
    tables: dict[tuple[str, float], list[Finding]] = {}
    for finding in members:
        size = finding.verdict.ratio or 0.0
        tables.setdefault((finding.verdict.metric, size if finding.reference == EXACT else 0.0), []).append(finding)
    return tuple(
        Acknowledgement(
            group=group,
            cases=tuple(sorted({_accepted_name(finding) for finding in findings})),
            metric=metric,
            ratio=_ratios(findings),
            until=end,
            accepted=report.night,
            reason=reason,
            since=found.place.commits[1],
            issue=issue,
            by=by,
            kind=kind,
        )
        for (metric, _), findings in tables.items()
    )


def _accepted_name(finding: Finding) -> str:
    """The case; of a count on whatever machine, since it is the same on all."""
    if finding.reference != EXACT:
        return finding.name
    return f"{glob.escape(finding.name.rpartition('@')[0])}@*"


def _ratios(findings: Sequence[Finding]) -> tuple[float, float]:
    ratios = [finding.verdict.ratio for finding in findings if finding.verdict.ratio is not None]
    return min(ratios), max(ratios)
