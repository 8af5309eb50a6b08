"""How is the judgement of a night written as Markdown, for a job's summary or a comment?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.gate.formats.words import (
    acknowledged_lines,
    change_text,
    commands_for,
    ending,
    environment_lines,
    headline,
    interval_text,
    layer_lines,
    outcome_text,
    ratio_text,
    worth_a_row,
)
from benchbox.gate.night import Finding, NightReport
from benchbox.report.table import Column, markdown_table

# GitHub refuses summaries of more than 1 MiB as a whole.
MOST_BYTES = 900_000
_SHOWN = 20
_GROUPS = [Column[list[str]](title=title) for title in ("group", "outcome", "cases", "worst", "cause")]
_ROWS = [Column[list[str]](title=title) for title in ("case", "metric", "outcome", "change", "95 %", "values", "why")]


def markdown_of(report: NightReport) -> str:
    """The headline, alarms, rows by their size, how to see them again, and everything else folded away."""
    rows = worth_a_row(report.findings)
    texts = [
        [
            _code(finding.name),
            finding.verdict.metric,
            outcome_text(finding),
            ratio_text(finding),
            interval_text(finding),
            change_text(finding),
            _plain(finding.verdict.reason),
        ]
        for finding in rows
    ]
    groups = [
        [
            _code(group.id),
            group.outcome.value + (" (acknowledged)" if group.acknowledged else ""),
            str(len(group.cases)),
            "" if group.worst is None else f"{100 * (group.worst - 1):+.1f} %",
            _plain(group.cause),
        ]
        for group in report.groups
    ]
    alarm = next((finding for finding in report.findings if finding.is_alarm), None)
    commands = "\n".join(commands_for(alarm)) if alarm else ""
    parts = [
        f"**{_plain(headline(report))}**",
        "\n".join(f"- {_plain(line)}" for line in ending(report).splitlines()),
        "\n".join(f"- {_plain(line)}" for line in environment_lines(report)),
        f"## What changed\n\n{markdown_table(_GROUPS, groups)}" if groups else "",
        f"## The largest\n\n{markdown_table(_ROWS, texts[:_SHOWN])}" if texts else "",
        *_layers(rows),
        f"## See the first of them again\n\n```sh\n{commands}\n```" if commands else "",
        "\n".join(["## Acknowledged\n", *(f"- {_plain(line)}" for line in lines)])
        if (lines := acknowledged_lines(report))
        else "",
        f"{report.coverage.seen} of {report.coverage.expected} expected cases have numbers. {_plain(report.rule)}."
        + (f" {_plain(report.selftest.text)}." if report.selftest.text else ""),
    ]
    text = "\n\n".join(filter(None, parts))
    return text + _rest(texts[_SHOWN:], MOST_BYTES - len(text.encode())) + "\n"


def _layers(rows: Sequence[Finding]) -> list[str]:
    """The layers of confirmed cases, base beside head, folded."""
    return [
        f"<details><summary>Layers of {_code(row.name)}: base → head</summary>\n\n"
        + "\n".join(f"- {_plain(line)}" for line in layer_lines(row))
        + "\n\n</details>"
        for row in [row for row in rows if row.layers][:_SHOWN]
    ]


def _rest(texts: list[list[str]], room: int) -> str:
    """Further rows, folded, as many as there is room for: whole rows, the largest first."""
    if not texts:
        return ""
    frame = "\n\n<details><summary>{} more rows{}</summary>\n\n{}\n\n</details>"
    sizes, kept = 500, 0
    for row in texts:
        sizes += len(" | ".join(row).encode()) + 40
        if sizes > room:
            break
        kept += 1
    left = f", {len(texts) - kept} smaller ones are left out" if kept < len(texts) else ""
    return frame.format(kept, left, markdown_table(_ROWS, texts[:kept]))


def _plain(text: str) -> str:
    """Text that Markdown and HTML leave as it is."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{sign}" if sign in "`*_[]" else sign for sign in " ".join(text.split()))


def _code(text: str) -> str:
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"
