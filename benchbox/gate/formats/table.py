"""How is the judgement of a night shown at a terminal, in at most 100 columns?"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from benchbox.gate.formats.headline import headline
from benchbox.gate.formats.words import (
    accept_command,
    acknowledged_lines,
    change_in_words,
    change_text,
    changed_rows,
    commands_for,
    coverage_text,
    ending,
    environment_lines,
    footer_lines,
    help_for_gap,
    kind_of_group,
    layer_lines,
    outcome_text,
    settled_by,
    trend_text,
    unclear_rows,
)
from benchbox.gate.night import Finding, Group, NightReport, Qualifier
from benchbox.report.screen import screen_width, shell_lines
from benchbox.units import counted, format_change

WIDTH = 100
_MOST_ROWS, _MOST_UNCLEAR = 20, 5


def render_night(report: NightReport) -> str:
    """The night in one line, its alarms, its rows by their size, what to do, and how was judged."""
    rows = changed_rows(report.findings)
    groups = report.groups[:_MOST_ROWS]
    parts = [
        _filled(headline(report)),
        "\n".join(_filled(line) for line in environment_lines(report)),
        "\n".join(_filled(line) for group in groups for line in _group_lines(report, group)),
        f"and {len(report.groups) - _MOST_ROWS} more groups" if len(report.groups) > _MOST_ROWS else "",
        "\n".join(line for finding in rows[:_MOST_ROWS] for line in _block(finding)),
        f"and {len(rows) - _MOST_ROWS} rows more, all smaller: --json or --markdown" if len(rows) > _MOST_ROWS else "",
        _listed("inconclusive or blind", _unclear_lines(report)),
        _reproduce(report),
        _measure(report),
        _listed("acknowledged", acknowledged_lines(report)),
        _coverage(report),
        "\n".join(map(_filled, footer_lines(report))),
        "\n".join(map(_filled, ending(report).splitlines())),
    ]
    return "\n\n".join(filter(None, parts))


def _unclear_lines(report: NightReport) -> list[str]:
    """A line for each case and cause, with all metrics that it holds for."""
    metrics: dict[tuple[str, str, str], list[str]] = {}
    for row in unclear_rows(report.findings):
        metrics.setdefault((row.name, row.verdict.reason, settled_by(row, report)), []).append(row.verdict.metric)
    lines = [
        "; ".join(filter(None, (f"{name} {', '.join(found)}", reason, settled)))
        for (name, reason, settled), found in metrics.items()
    ]
    more = sum(map(len, [*metrics.values()][_MOST_UNCLEAR:]))
    return [*lines[:_MOST_UNCLEAR], *([f"and {more} rows more (--json)"] if more else [])]


def _group_lines(report: NightReport, group: Group) -> list[str]:
    worst = (
        "" if group.worst is None else f", {'largest' if len(group.cases) > 1 else 'by'} {format_change(group.worst)}"
    )
    owner = f", owner {', '.join(group.owners)}" if group.owners else ""
    what = f"{kind_of_group(report, group)}: {counted(len(group.cases), 'case')}{worst}"
    return [f"{what}; {group.cause}", f"  group {group.id}{owner}"]


def _block(finding: Finding) -> list[str]:
    """The case on a line of its own, since its name is long, then its numbers, then why."""
    row = (
        outcome_text(finding),
        finding.verdict.metric,
        change_in_words(finding),
        change_text(finding),
    )
    numbers = "  ".join(text for text in row if text not in {"", "–"})
    lines = [_filled(finding.name), _filled(f"  {numbers}", indent="    ")]
    lines += [_filled(f"  {finding.verdict.reason}", indent="    ")] if finding.verdict.reason else []
    lines += [f"  {bars}"] if (bars := trend_text(finding)) else []
    return [*lines, *(_filled(f"  layer {line}", indent="    ") for line in layer_lines(finding))]


def _reproduce(report: NightReport) -> str:
    """For the largest alarm only: the others go alike."""
    alarm = next((finding for finding in report.findings if finding.is_alarm), None)
    if alarm is None:
        return ""
    lines = ["to see the first of them again:", *map(_command, commands_for(alarm, report))]
    lines += ["if it is on purpose:", _command(accept_command(report, alarm.group))]
    return "\n".join(lines)


def _measure(report: NightReport) -> str:
    """For the first case without numbers."""
    found = help_for_gap(report)
    if found is None:
        return ""
    return "\n".join(
        [f"{found.title}:", *map(_command, found.commands), *([_filled(found.advice)] if found.advice else [])]
    )


def _command(text: str) -> str:
    return shell_lines(text, _width())


def _listed(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{title}:", *(_filled(f"  {line}", indent="    ") for line in lines)]) if lines else ""


def _coverage(report: NightReport) -> str:
    blind = sum(Qualifier.BLIND in finding.qualifiers for finding in report.findings)
    rows = f"{blind} row{'s' * (blind > 1)}"
    return coverage_text(report) + (f"; blind, a change of the effect would not show: {rows}" if blind else "")


def _filled(text: str, *, indent: str = "  ") -> str:
    """Lines that fit; a number stays with its per cent sign."""
    joined = text.replace(" %", "\u00a0%")
    lines = textwrap.fill(joined, _width(), subsequent_indent=indent, break_on_hyphens=False, break_long_words=True)
    return lines.replace("\u00a0%", " %")


def _width() -> int:
    return min(WIDTH, screen_width() or WIDTH)
