"""How is a finding said in words, whatever the form: its outcome, its change, its commands?"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from benchbox.gate.night import Finding, Group, NightReport, Qualifier, Standing, Tier
from benchbox.gate.tonight import ANCHOR, EXACT, ROLLING
from benchbox.report.case_options import options_of, variant_options
from benchbox.report.sparkline import sparkline
from benchbox.schema.verdict import Outcome
from benchbox.units import ABSENT, counted, format_alike, format_change, format_changes, format_count, format_percent

# Shapes differ, not only colours.
SIGNS = {
    Outcome.SLOWER: "✖",
    Outcome.FAILED: "✖",
    Outcome.MISSING: "∅",
    Outcome.INCOMPARABLE: "≠",
    Outcome.INCONCLUSIVE: "?",
    Outcome.FASTER: "▲",
    Outcome.SAME: "●",
}
_COMMIT = 9


def footer_lines(report: NightReport) -> list[str]:
    """How was judged, how often that was wrong, and what was compared with."""
    accepted, false = report.accepted
    said = f"; of {counted(accepted, 'accepted alarm')} {false} {'was' if false == 1 else 'were'} noise or the machine"
    return [
        f"rule: {report.rule} (docs/nightly.md)",
        f"false and missed alarms: {report.selftest.text}{said if accepted else ''}",
        f"compared with: {_references_text(report)}",
    ]


def _references_text(report: NightReport) -> str:
    found = report.references
    parts = []
    if found.nights:
        commit = f", commit {found.commit[:_COMMIT]}" if found.commit else ""
        span = found.last if found.nights == 1 else f"{found.first} to {found.last}"
        parts.append(f"{counted(found.nights, 'night')}, {span}{commit}")
    if found.levels:
        anchors = f", anchor {', '.join(found.pinned)}" if found.pinned else ""
        ages = found.newest if found.oldest == found.newest else f"{found.oldest} to {found.newest}"
        parts.append(f"levels of {counted(found.levels, 'case')} in {report.levels_in}, of {ages}{anchors}")
    return "; ".join(parts) or "nothing yet"


def ending(report: NightReport) -> str:
    """Why the exit status is what it is."""
    if not report.reasons:
        names = {row.name for row in report.findings if is_suspicious(row) and row.tier is Tier.PRIMARY}
        if not names:
            return "exit 0: nothing to do"
        again = shlex.join(["benchbox", "gate", "--night", report.night, "--confirm", *_rooted(report.root)])
        return (
            f"exit 0: nothing to do yet; {counted(len(names), 'suspicious case')}: slower if further nights are too "
            f"({again} measures again now)"
        )
    return "\n".join(f"exit {status}: {text}" for status, text in report.reasons[:1]) + "".join(
        f"\nalso ({status}): {text}" for status, text in report.reasons[1:]
    )


def coverage_text(report: NightReport) -> str:
    """How many cases have numbers, of those that were expected, and how many more there are."""
    found = report.coverage
    fresh = len(found.new)
    if not found.expected:
        return f"{counted(fresh, 'case')} measured for the first time" if fresh else "no case was expected"
    have = "cases have" if found.expected > 1 else "case has"
    more = f", {fresh} more {'are' if fresh > 1 else 'is'} new" if fresh else ""
    return f"{found.seen} of {found.expected} expected {have} numbers{more}"


def change_text(finding: Finding) -> str:
    """Both values: "1.005 ms → 1.104 ms"; a dash where there are none."""
    if finding.base is None or finding.head is None:
        return ABSENT
    if finding.unit == "1":
        return f"{format_count(finding.base)} → {format_count(finding.head)}"
    return " → ".join(format_alike([finding.base, finding.head], finding.unit))


def ratio_text(finding: Finding) -> str:
    """By how much: "+9.9 %"."""
    return format_change(finding.verdict.ratio)


def interval_text(finding: Finding) -> str:
    """The interval of that: "+8.1 to +11.9 %"."""
    return format_changes(finding.verdict.low, finding.verdict.high)


def change_in_words(finding: Finding) -> str:
    """By how much, and how sure that is: "+9.9 % (95 %: +8.1 to +11.9 %)"; "" where there is no ratio."""
    if finding.verdict.ratio is None:
        return ""
    interval = interval_text(finding)
    return ratio_text(finding) + (f" (95 %: {interval})" if interval not in {"", ABSENT} else "")


def is_suspicious(finding: Finding) -> bool:
    """Whether it may be slower, and nobody knows yet."""
    marks = set(finding.qualifiers)
    return Qualifier.SUSPICIOUS in marks and not {Qualifier.REFUTED, Qualifier.ACKNOWLEDGED} & marks


def kind_of(finding: Finding) -> str:
    """What happened to it, in a word or two; a count is neither slower nor faster."""
    if Qualifier.EXACT in finding.qualifiers and finding.verdict.outcome in {Outcome.SLOWER, Outcome.FASTER}:
        return "count changed"
    drifted = Qualifier.DRIFT in finding.qualifiers and finding.verdict.outcome is Outcome.SLOWER
    return "drifted" if drifted else finding.verdict.outcome.value


def kind_of_group(report: NightReport, group: Group) -> str:
    """What happened to the cases of an alarm, and whether it turns the night red."""
    rows = [row for row in report.findings if row.group == group.id]
    informs = all(row.tier is not Tier.PRIMARY for row in rows)
    notes = ["acknowledged"] * group.acknowledged + ["for information"] * informs
    return (kind_of(rows[0]) if rows else group.outcome.value) + (f" ({', '.join(notes)})" if notes else "")


def outcome_text(finding: Finding) -> str:
    """What happened with its qualifiers: "✖ slower (acknowledged)"."""
    said = {Qualifier.EXACT, Qualifier.DRIFT} if kind_of(finding) != finding.verdict.outcome.value else set()
    said |= {Qualifier.SUSPICIOUS} if Qualifier.REFUTED in finding.qualifiers else set()
    words = [*(word.value for word in finding.qualifiers if word not in said)]
    words += ["for information"] if finding.tier is Tier.SECONDARY else []
    sign = "✖" if kind_of(finding) == "count changed" else SIGNS[finding.verdict.outcome]
    return f"{sign} {kind_of(finding)}" + (f" ({', '.join(words)})" if words else "")


def commands_for(finding: Finding, report: NightReport) -> tuple[str, ...]:
    """Commands that show a finding of a night again: its history, its two records, and a new measurement."""
    case = finding.verdict.case
    metric = finding.verdict.metric or "latency_p50"
    where = ["--where", f"backend={case.backend}", "--where", f"precision={case.precision}"]
    where += ["--where", f"batch={case.batch}", "--where", f"mode={case.mode}", "--where", f"threads={case.threads}"]
    commands = [] if finding.reference == EXACT else [["benchbox", "history", case.model, "--metric", metric, *where]]
    before, after = finding.place.records
    if before and after and finding.reference != EXACT and not {before, after} & report.lacking:
        commands.append(["benchbox", "compare", before, after, "--metric", metric])
    network = finding.asked or (case.model,)
    commands.append(["benchbox", "run", *network, *options_of(case), *variant_options(case.variant)])
    return tuple(shlex.join([*command, *_rooted(report.root)]) for command in commands)


def _rooted(root: str) -> list[str]:
    return ["--root", root] if root else []


@dataclass(frozen=True, kw_only=True)
class GapHelp:
    """What to do about the first case without numbers: a title, commands, and what else to know."""

    title: str
    commands: tuple[str, ...]
    advice: str = ""


def help_for_gap(report: NightReport) -> GapHelp | None:
    """For the first case without numbers, None where all have some."""
    gap = next((finding for finding in report.findings if finding.is_gap and finding.tier is Tier.PRIMARY), None)
    if gap is None:
        return None
    commands = commands_for(gap, report)[-1:]
    if gap.verdict.outcome is Outcome.FAILED:
        return GapHelp(title="to see the first failure again", commands=commands)
    if gap.verdict.metric:
        return GapHelp(title="to measure the first missing metric again", commands=commands)
    retired = " ".join(gap.name.split())
    return GapHelp(
        title="to measure the first missing case",
        commands=commands,
        advice="why it is missing is in the log of that night's 'benchbox run'; if it is no longer to be measured, "
        f'write retired = ["{retired}"] (or a pattern) into coverage of benchbox.toml',
    )


def layer_lines(finding: Finding) -> list[str]:
    """Base beside head of the layers that changed most: "conv1: 120 us → 180 us"."""
    return [f"{row.name}: {' → '.join(format_alike([row.base_s, row.head_s], 's'))}" for row in finding.layers]


def trend_text(finding: Finding) -> str:
    """The last nights as bars, "│" where the finding begins, "" where there is nothing to see."""
    trend = finding.trend
    return sparkline(trend.values, breaks={trend.begins}) if trend else ""


def environment_lines(report: NightReport, *, most: int = 6) -> list[str]:
    """What changed of the machines since their night before."""
    lines = []
    for entry in report.environments:
        fields = [
            f"{name} {before or 'absent'} → {after or 'absent'}" for name, (before, after) in entry.changed.items()
        ]
        more = f" and {len(fields) - most} more" if len(fields) > most else ""
        lines.append(f"new environment on {entry.machine}: {', '.join(fields[:most])}{more}")
    return lines


def acknowledged_lines(report: NightReport, *, most: int = 20) -> list[str]:
    """Every acknowledgement: since when, until when, why, and whether it still holds."""
    marks = {
        Standing.HOLDS: "",
        Standing.LAPSED: "; it does not hold any more",
        Standing.UNUSED: "; nothing needs it tonight",
    }
    lines = [
        f"{one.entry.group}: {one.entry.kind}, {one.entry.metric} of {counted(len(one.entry.cases), 'case')}, since "
        f"{one.entry.accepted} ({counted(one.days, 'day')}), until {one.entry.until}: {one.entry.reason}"
        + (f" ({one.entry.issue})" if one.entry.issue else "")
        + marks[one.standing]
        for one in report.acknowledged
    ]
    return [*lines[:most], *([f"and {len(lines) - most} more (benchbox baseline show)"] if len(lines) > most else [])]


def changed_rows(findings: Sequence[Finding]) -> list[Finding]:
    """Findings that say that something changed, or may have: not the same, not new, not what nobody can tell."""
    return [
        finding
        for finding in findings
        if Qualifier.SUSPICIOUS in finding.qualifiers
        or (
            finding.verdict.outcome not in {Outcome.SAME, Outcome.INCONCLUSIVE}
            and not (finding.reference == ANCHOR and finding.verdict.outcome is Outcome.INCOMPARABLE)
        )
    ]


def unclear_rows(findings: Sequence[Finding]) -> list[Finding]:
    """Findings of which nobody can tell, though there are nights enough; and those that are blind.

    That there is no valid value tonight is said once, by the row of the nights.
    """
    nights = {(finding.name, finding.verdict.metric) for finding in findings if finding.reference == ROLLING}
    return [
        finding
        for finding in findings
        if not {Qualifier.SUSPICIOUS, Qualifier.NEW} & set(finding.qualifiers)
        and not (
            finding.reference == ANCHOR
            and finding.verdict.ratio is None
            and (finding.name, finding.verdict.metric) in nights
        )
        and (
            finding.verdict.outcome is Outcome.INCONCLUSIVE
            or (finding.verdict.outcome is Outcome.SAME and Qualifier.BLIND in finding.qualifiers)
        )
    ]


def mde_text(finding: Finding) -> str:
    """The smallest change that would show: "6.2 %"."""
    return ABSENT if finding.verdict.mde is None else format_percent(finding.verdict.mde, 1)


def settled_by(finding: Finding, report: NightReport) -> str:
    """What would tell, of a row of which nobody can."""
    if Qualifier.BLIND in finding.qualifiers:
        if finding.need is not None and finding.need.processes is not None:
            return f"needs {finding.need.processes} processes a night (run --trials), or a larger effect"
        useless = "" if finding.need is None else "; more processes would not help, it is the nights that differ"
        return f"less noise (benchbox doctor), a larger effect, or confirm.blind in benchbox.toml{useless}"
    if finding.verdict.ratio is None:
        return f"measure it again: {commands_for(finding, report)[-1]}"
    return "further nights"


def accept_command(report: NightReport, group: str) -> str:
    """The command that accepts an alarm, of the same night by the same rules."""
    words = ["benchbox", "baseline", "accept", group, *_rooted(report.root), *report.options, "--reason", "..."]
    return shlex.join(words)
