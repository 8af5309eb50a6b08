"""How is the judgement of a night written as Markdown, for a job's summary or a comment?"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from benchbox.gate.acknowledged import table_of
from benchbox.gate.formats.words import (
    acknowledged_lines,
    change_text,
    commands_for,
    ending,
    environment_lines,
    headline,
    interval_text,
    outcome_text,
    ratio_text,
    trend_text,
    worth_a_row,
)
from benchbox.gate.night import Finding, LayerShift, NightReport
from benchbox.gate.proposals import acknowledgements_of
from benchbox.gate.tonight import EXACT
from benchbox.report.table import Column, markdown_table
from benchbox.units import format_alike

# GitHub refuses summaries of more than 1 MiB as a whole.
MOST_BYTES = 900_000
_SHOWN = 20
_GROUPS = [Column[list[str]](title=title) for title in ("group", "outcome", "cases", "worst", "cause")]
_LAYERS = [Column[list[str]](title=title, number=title != "layer") for title in ("layer", "base", "head", "change")]
_ROWS = [
    Column[list[str]](title=title)
    for title in ("case", "metric", "outcome", "change", "95 %", "values", "30 nights", "why")
]


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
            trend_text(finding),
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
        _on_purpose(report),
        "\n".join(["## Acknowledged\n", *(f"- {_plain(line)}" for line in lines)])
        if (lines := acknowledged_lines(report))
        else "",
        f"{report.coverage.seen} of {report.coverage.expected} expected cases have numbers. {_plain(report.rule)}."
        + (f" {_plain(report.selftest.text)}." if report.selftest.text else ""),
    ]
    text = "\n\n".join(filter(None, parts))
    return text + _rest(texts[_SHOWN:], MOST_BYTES - len(text.encode())) + "\n"


def _on_purpose(report: NightReport) -> str:
    """How the alarms are accepted; of counts, what to add to a file, since pull requests have no store at hand."""
    red = [group for group in report.groups if any(row.is_alarm and row.group == group.id for row in report.findings)]
    if not red:
        return ""
    lines = [f"benchbox baseline accept {shlex.quote(group.id)} --reason '...'" for group in red[:_SHOWN]]
    exact = {row.group for row in report.findings if row.is_alarm and row.reference == EXACT}
    tables = [
        table_of(entry)
        for group in red[:_SHOWN]
        if group.id in exact
        for entry in acknowledgements_of(report, group.id, reason="...", issue="", until=None, by="")
    ]
    parts = ["## If it is on purpose", "```sh\n" + "\n".join(lines) + "\n```"]
    if tables:
        parts.append(
            "Counts are the same on every machine. Without the records at hand, add this with its reason to "
            "`results/baseline/acknowledged.toml`:\n\n```toml\n" + "\n".join(tables) + "```"
        )
    return "\n\n".join(parts)


def _layers(rows: Sequence[Finding]) -> list[str]:
    """The layers of confirmed cases, base beside head, folded."""
    return [
        f"<details><summary>The layers of {_html(row.name)} that changed most</summary>\n\n"
        + markdown_table(_LAYERS, [_layer(layer) for layer in row.layers])
        + "\n\n</details>"
        for row in [row for row in rows if row.layers][:_SHOWN]
    ]


def _layer(layer: LayerShift) -> list[str]:
    base, head = format_alike([layer.base_s, layer.head_s], "s")
    change = f"{100 * (layer.head_s / layer.base_s - 1):+.0f} %" if layer.base_s and layer.head_s else "only in one"
    return [_code(layer.name), base, head, change]


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


def _html(text: str) -> str:
    """Text that HTML leaves as it is, on one line."""
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())


def _plain(text: str) -> str:
    """Text that Markdown and HTML leave as it is."""
    text = _html(text)
    return "".join(f"\\{sign}" if sign in "`*_[]" else sign for sign in text)


def _code(text: str) -> str:
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"
