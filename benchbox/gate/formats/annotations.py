"""How does the judgement of a night become annotations of GitHub Actions?"""

from __future__ import annotations

from benchbox.gate.formats.words import change_text, owners_of, ratio_text
from benchbox.gate.night import Finding, NightReport

# GitHub drops what is beyond ten of a kind and step without a word.
MOST = 8


def annotations_of(report: NightReport) -> list[str]:
    """Lines that GitHub turns into annotations: at most eight, the largest first, and how many more there are."""
    found = [finding for finding in report.findings if finding.is_alarm or finding.is_gap]
    owners = owners_of(report)
    lines = [
        f"::error title={_property(f'{finding.verdict.outcome.value}: {finding.name}')}::"
        f"{_data(_message(finding, owners.get(finding.group, '')))}"
        for finding in found[:MOST]
    ]
    if len(found) > MOST:
        lines.append(f"::error title=benchbox::and {len(found) - MOST} more: see the summary")
    elif report.exit and not found:
        lines.append(f"::error title=benchbox::{_data('; '.join(text for _, text in report.reasons))}")
    return lines


def _message(finding: Finding, owner: str) -> str:
    parts = [finding.verdict.metric, ratio_text(finding), change_text(finding), finding.verdict.reason]
    parts += [f"owner {owner}"] if owner else []
    return ", ".join(part for part in parts if part not in {"", "–"})


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
