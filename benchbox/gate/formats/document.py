"""What does the JSON document ``benchbox.gate/1`` hold?"""

from __future__ import annotations

from typing import Any

from benchbox.gate.night import Finding, NightReport
from benchbox.report.views.verdicts import document_from_verdict
from benchbox.store.documents import plain

SCHEMA = "benchbox.gate/1"


def document_from_night(report: NightReport) -> dict[str, Any]:
    """The whole judgement, numbers unrounded."""
    return {
        "schema": SCHEMA,
        "night": report.night,
        "verdicts": [_finding(finding) for finding in report.findings],
        "groups": plain(report.groups),
        "coverage": plain(report.coverage),
        "environments": plain(report.environments),
        "selftest": plain(report.selftest),
        "acknowledged": plain(report.acknowledged),
        "policy_sha256": report.policy_sha256,
        "rule": report.rule,
        "unreadable": plain(report.unreadable),
        "reasons": [{"exit": status, "text": text} for status, text in report.reasons],
        "exit": report.exit,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    rest = plain(finding)
    del rest["verdict"]
    return {**document_from_verdict(finding.verdict), **rest, "alarm": finding.is_alarm}
