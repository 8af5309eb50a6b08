"""Which findings have one cause, as far as can be seen? They are one alarm."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from benchbox.gate.night import Finding, Group, Qualifier
from benchbox.gate.policy import Policy
from benchbox.gate.series import fields_of
from benchbox.schema.verdict import Outcome, Verdict

_COMMIT = 9
_GROUPED = (Outcome.SLOWER, Outcome.FASTER, Outcome.MISSING, Outcome.FAILED)


def groups_of(findings: Sequence[Finding], policy: Policy) -> tuple[tuple[Group, ...], list[Finding]]:
    """The groups, alarms and the largest first, and the findings with the group that each belongs to."""
    marked: list[Finding] = []
    members: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.verdict.outcome not in _GROUPED:
            marked.append(finding)
            continue
        entry = dataclasses.replace(finding, group=_id(finding, policy))
        marked.append(entry)
        members.setdefault(entry.group, []).append(entry)
    groups = [_group(name, entries, policy) for name, entries in members.items()]
    return tuple(sorted(groups, key=_order)), marked


def _id(finding: Finding, policy: Policy) -> str:
    """Stable from night to night: it has the night in which the change began."""
    case = finding.verdict.case
    fields = {
        "machine": finding.machine,
        "backend": case.backend,
        "precision": case.precision.value,
        "model": case.model,
    }
    kind = finding.verdict.outcome.value
    if Qualifier.EXACT in finding.qualifiers:
        kind = "exact"
    elif Qualifier.DRIFT in finding.qualifiers:
        kind = "drift"
    parts = [finding.place.night.replace("-", ""), *(fields[name] for name in policy.groups), kind]
    return "-".join(part.replace("/", "_").replace(" ", "_") for part in parts if part)


def _group(name: str, entries: Sequence[Finding], policy: Policy) -> Group:
    by_size = sorted(entries, key=_size, reverse=True)
    worst = by_size[0]
    case = worst.verdict.case
    owners = (policy.owner_of(_fields(entry)) for entry in by_size) if policy.owner else ()
    return Group(
        id=name,
        outcome=worst.verdict.outcome,
        machine=worst.machine,
        backend=case.backend,
        precision=case.precision.value,
        cases=tuple(dict.fromkeys(entry.name for entry in by_size)),
        metrics=tuple(dict.fromkeys(entry.verdict.metric for entry in entries if entry.verdict.metric)),
        worst=worst.verdict.ratio,
        place=worst.place,
        cause=_cause(worst),
        acknowledged=all(Qualifier.ACKNOWLEDGED in entry.qualifiers for entry in entries),
        owners=tuple(dict.fromkeys(filter(None, owners))),
    )


def _fields(finding: Finding) -> dict[str, str]:
    return fields_of(finding.verdict.case, finding.machine, finding.verdict.metric)


def certain_size(verdict: Verdict) -> float:
    """How large a change is at the least, by the end of its interval that is nearer to none; 0 where it may be none."""
    ends = [verdict.low or verdict.ratio, verdict.high or verdict.ratio]
    logs = [math.log(end) for end in ends if end]
    return min(map(abs, logs)) if logs and min(logs) * max(logs) > 0 else 0.0


def _size(finding: Finding) -> float:
    return abs(math.log(finding.verdict.ratio)) if finding.verdict.ratio else 0.0


def _cause(finding: Finding) -> str:
    if finding.is_gap:
        return finding.verdict.reason
    before, after = (commit[:_COMMIT] for commit in finding.place.commits)
    if before and after and before != after:
        return f"commits {before}..{after}"
    if not before:
        return f"since commit {after}; the one before is not known" if after else "no commit was recorded"
    if not after:
        return f"since commit {before}; the one of tonight is not known"
    # A machine changes times; a count changes by what exports the network.
    where = "the versions of what exports it" if Qualifier.EXACT in finding.qualifiers else "the machine"
    return f"no commit in between ({after} on both sides): look at {where}"


def _order(group: Group) -> tuple[object, ...]:
    size = abs(math.log(group.worst)) if group.worst else 0.0
    return (group.acknowledged, group.outcome is Outcome.FASTER, -size, -len(group.cases), group.id)
