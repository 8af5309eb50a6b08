"""How is the judgement of a night written as Markdown, for a job's summary or a comment?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.gate.formats.headline import headline
from benchbox.gate.formats.words import (
    accept_command,
    acknowledged_lines,
    change_text,
    changed_rows,
    commands_for,
    coverage_text,
    ending,
    environment_lines,
    footer_lines,
    help_for_gap,
    interval_text,
    kind_of_group,
    mde_text,
    outcome_text,
    ratio_text,
    settled_by,
    trend_text,
    unclear_rows,
)
from benchbox.gate.levels.acknowledged import table_of
from benchbox.gate.levels.proposals import acknowledgements_of
from benchbox.gate.night import Finding, LayerShift, NightReport
from benchbox.gate.tonight import EXACT
from benchbox.report.table import Column, markdown_table
from benchbox.units import format_alike, format_change, format_percent

# GitHub refuses summaries of more than 1 MiB as a whole.
MOST_BYTES = 900_000
_SHOWN = 20
_GROUPS = [
    Column[list[str]](title=title)
    for title in ("group", "outcome", "cases", "largest", "95 %", "since", "before → after", "cause", "owner")
]
_LAYERS = [Column[list[str]](title=title, number=title != "layer") for title in ("layer", "base", "head", "change")]
_TITLES = ("case", "metric", "outcome", "change", "95 %", "values", "30 nights", "why")
_ROWS = [Column[list[str]](title=title) for title in _TITLES]
_UNCLEAR = [Column[list[str]](title=title) for title in ("case", "metric", "would show", "why", "what would tell")]


def markdown_of(report: NightReport) -> str:
    """The headline, alarms, rows by their size, how to see them again, and everything else folded away."""
    rows = changed_rows(report.findings)
    texts = [_row(finding) for finding in rows]
    alarm = next((finding for finding in report.findings if finding.is_alarm), None)
    commands = "\n".join(commands_for(alarm, report)) if alarm else ""
    footer = "\n\n---\n\n" + _bullets([coverage_text(report), *footer_lines(report)])
    parts = [
        f"**{_plain(headline(report))}**",
        _bullets(ending(report).splitlines()),
        _bullets(environment_lines(report)),
        _groups(report),
        _largest(texts[:_SHOWN]),
        *_layers(rows),
        _unclear(report),
        _section("Acknowledged", _bullets(acknowledged_lines(report))),
        _section("New", _bullets(_named(report.coverage.new))),
        _section("See the first of them again", f"```sh\n{commands}\n```" if commands else ""),
        _on_purpose(report),
        _missing(report),
    ]
    # Whole sections, so that nothing ends in the middle of a table.
    room = MOST_BYTES - len(footer.encode())
    text = ""
    for part in filter(None, parts):
        added = f"\n\n{part}" if text else part
        if len(added.encode()) <= room:
            text, room = text + added, room - len(added.encode())
    return text + _rest(texts[_SHOWN:], room) + footer + "\n"


def _row(finding: Finding) -> list[str]:
    return [
        _code(finding.name),
        finding.verdict.metric,
        outcome_text(finding),
        ratio_text(finding),
        interval_text(finding),
        change_text(finding),
        trend_text(finding),
        _plain(finding.verdict.reason),
    ]


def _section(title: str, content: str) -> str:
    return f"## {title}\n\n{content}" if content else ""


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {_plain(line)}" for line in lines)


def _named(names: Sequence[str]) -> list[str]:
    more = len(names) - _SHOWN
    return [*names[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]


def _groups(report: NightReport) -> str:
    """A row for each alarm, by its worst case."""
    worst = {(row.group, row.verdict.ratio): row for row in reversed(report.findings)}
    rows = []
    for group in report.groups[:_SHOWN]:
        row = worst[group.id, group.worst]
        rows.append(
            [
                _code(group.id),
                kind_of_group(report, group),
                str(len(group.cases)),
                "" if group.worst is None else format_change(group.worst),
                interval_text(row),
                group.place.night,
                change_text(row),
                _plain(group.cause),
                _plain(", ".join(group.owners)),
            ]
        )
    more = len(report.groups) - _SHOWN
    left = f"\n\nAnd {more} more groups." if more > 0 else ""
    shown = len(_GROUPS) if any(group.owners for group in report.groups) else len(_GROUPS) - 1
    table = markdown_table(_GROUPS[:shown], [row[:shown] for row in rows])
    return _section("What changed", table + left if rows else "")


def _largest(texts: Sequence[list[str]]) -> str:
    """The rows; what is the same in all of them is said once above."""
    if not texts:
        return ""
    same = {
        place
        for place, title in enumerate(_TITLES)
        if title != "case" and len(texts) > 1 and len({row[place] for row in texts}) == 1
    }
    kept = [place for place in range(len(_TITLES)) if place not in same]
    once = [f"{_TITLES[place]} {texts[0][place]}" for place in sorted(same) if texts[0][place]]
    table = markdown_table([_ROWS[place] for place in kept], [[row[place] for place in kept] for row in texts])
    return _section("The largest", (f"In all rows: {'; '.join(once)}.\n\n" if once else "") + table)


def _unclear(report: NightReport) -> str:
    """Rows of which nobody can tell, with the smallest change that would show."""
    rows = unclear_rows(report.findings)
    texts = [
        [
            _code(row.name),
            row.verdict.metric,
            mde_text(row),
            _plain(row.verdict.reason),
            _plain(settled_by(row, report)),
        ]
        for row in rows[:_SHOWN]
    ]
    more = len(rows) - _SHOWN
    left = f"\n\nAnd {more} more." if more > 0 else ""
    return _section("Inconclusive or blind", markdown_table(_UNCLEAR, texts) + left if texts else "")


def _on_purpose(report: NightReport) -> str:
    """How the alarms are accepted; of counts, what to add to a file, since pull requests have no store at hand."""
    alarms = {row.group: row for row in reversed(report.findings) if row.is_alarm}
    red = [group for group in report.groups if group.id in alarms][:_SHOWN]
    if not red:
        return ""
    parts = ["## If it is on purpose", "```sh\n" + "\n".join(accept_command(report, one.id) for one in red) + "\n```"]
    tables = [
        table_of(entry)
        for group in red
        if alarms[group.id].reference == EXACT and len(group.cases) <= _SHOWN
        for entry in acknowledgements_of(report, group.id, reason="...")
    ]
    if tables:
        parts.append(
            "Counts are the same on every machine. Without the records at hand, add this with its reason to "
            "`results/baseline/acknowledged.toml`:\n\n```toml\n" + "\n".join(tables) + "```"
        )
    return "\n\n".join(parts)


def _missing(report: NightReport) -> str:
    """What to do about the first case without numbers."""
    found = help_for_gap(report)
    if found is None:
        return ""
    title = found.title.removeprefix("to ")
    commands = "\n".join(found.commands)
    advice = f"\n\n{_plain(found.advice[:1].upper() + found.advice[1:])}." if found.advice else ""
    return _section(title[:1].upper() + title[1:], f"```sh\n{commands}\n```{advice}")


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
    known = layer.base_s and layer.head_s
    change = format_percent(layer.head_s / layer.base_s - 1, 0, signed=True) if known else "only in one"
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
