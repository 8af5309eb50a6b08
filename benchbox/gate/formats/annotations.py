"""How does the judgement of a night become annotations of GitHub Actions?"""

from __future__ import annotations

from benchbox.gate.formats.words import change_in_words, change_text, kind_of
from benchbox.gate.night import Finding, Group, NightReport
from benchbox.gate.reasons import reasons_beside_rows

# GitHub drops what is beyond ten of a kind and step without a word.
MOST = 8


def annotations_of(report: NightReport) -> list[str]:
    """Lines that GitHub turns into annotations: at most eight, the largest first, and how many more there are.

    What speaks against the night as a whole comes first: whoever reads the rows must know that they cannot be believed.
    """
    rows = [finding for finding in report.findings if finding.is_alarm or finding.is_gap]
    groups = {group.id: group for group in report.groups}
    beside = reasons_beside_rows(report)
    found = [("benchbox", text) for text in beside]
    found += [
        (f"{kind_of(row)}: {row.name}", _message(row, groups.get(row.group))) for row in rows[: MOST - len(found)]
    ]
    lines = [f"::error title={_property(title)}::{_data(text)}" for title, text in found]
    more = len(rows) + len(beside) - len(lines)
    return [*lines, *([f"::error title=benchbox::and {more} more: see the summary"] if more else [])]


def _message(finding: Finding, group: Group | None) -> str:
    parts = [finding.verdict.metric, change_in_words(finding), change_text(finding), finding.verdict.reason]
    if group is not None:
        # Of a gap the cause is its reason.
        parts += [group.cause] if group.cause != finding.verdict.reason else []
        parts += [f"owner {', '.join(group.owners)}"] if group.owners else []
    return ", ".join(part for part in parts if part not in {"", "–"})


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
