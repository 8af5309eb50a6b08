"""What does the JSON document ``benchbox.gate/1`` hold?"""

from __future__ import annotations

from typing import Any

from benchbox.gate.night import Finding, NightReport, Qualifier, Tier
from benchbox.report.views.verdicts import document_from_verdict
from benchbox.schema.verdict import Outcome
from benchbox.store.documents import plain

SCHEMA = "benchbox.gate/1"
_WORST_FIRST = (
    Outcome.SLOWER,
    Outcome.FAILED,
    Outcome.MISSING,
    Outcome.INCOMPARABLE,
    Outcome.INCONCLUSIVE,
    Outcome.FASTER,
    Outcome.SAME,
)


def document_from_night(report: NightReport) -> dict[str, Any]:
    """The whole judgement, numbers unrounded."""
    return {
        "schema": SCHEMA,
        "night": report.night,
        "verdicts": [_finding(finding) for finding in report.findings],
        "groups": plain(report.groups),
        "coverage": plain(report.coverage),
        "environments": plain(report.environments),
        "outcome": outcome_of(report).value,
        "machines": plain(report.machines),
        "references": plain(report.references),
        "selftest": plain(report.selftest),
        "acknowledged": [
            {**plain(one.entry), "standing": one.standing.value, "days": one.days} for one in report.acknowledged
        ],
        "accepted_alarms": {"accepted": report.accepted[0], "false": report.accepted[1]},
        "policy_sha256": report.policy_sha256,
        "rule": report.rule,
        "unreadable": plain(report.unreadable),
        "reasons": [{"exit": status, "text": text} for status, text in report.reasons],
        "exit": report.exit,
    }


def outcome_of(report: NightReport) -> Outcome:
    """The one word for the night: slower where anything is red, else the worst of what decides the exit status."""
    if any(finding.is_alarm for finding in report.findings):
        return Outcome.SLOWER
    found = {
        finding.verdict.outcome
        for finding in report.findings
        if finding.tier is Tier.PRIMARY and not {Qualifier.ACKNOWLEDGED, Qualifier.NEW} & set(finding.qualifiers)
    }
    nothing = Outcome.SAME if report.findings else Outcome.MISSING
    return next((outcome for outcome in _WORST_FIRST if outcome in found), nothing)


def _finding(finding: Finding) -> dict[str, Any]:
    rest = plain(finding)
    del rest["verdict"]
    return {**document_from_verdict(finding.verdict), **rest, "alarm": finding.is_alarm}
