"""How is a finding said in words, whatever the form: its change, its commands, the night in one line?"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence

from benchbox.gate.night import Finding, NightReport, Qualifier
from benchbox.report.sparkline import sparkline
from benchbox.schema.identity import CaseIdentity
from benchbox.schema.plan import TRANSFER_TIMED, Mode
from benchbox.schema.verdict import Outcome
from benchbox.units import ABSENT, format_alike, format_count

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
_VARIANT_FLAGS = {
    "input": "--input",
    "fallback": "--fallback",
    "calibration": "--calibration",
    "method": "--calibration-method",
    "converter": "--converter",
}


def headline(report: NightReport) -> str:
    """The night in one line: what was found, how often, and the exit status."""
    fresh = sum(Qualifier.NEW in finding.qualifiers for finding in report.findings)
    counts = Counter(finding.verdict.outcome for finding in report.findings if Qualifier.NEW not in finding.qualifiers)
    parts = [f"{SIGNS[outcome]} {counts[outcome]} {outcome.value}" for outcome in SIGNS if counts[outcome]]
    # Nothing is unclear about these: there is no level yet.
    parts += [f"{fresh} new, with too few nights to be judged"] if fresh else []
    accepted = sum(Qualifier.ACKNOWLEDGED in finding.qualifiers for finding in report.findings)
    parts += [f"{accepted} of them acknowledged"] if accepted else []
    return f"night of {report.night or 'no records'}: {' · '.join(parts) or 'nothing was judged'}"


def ending(report: NightReport) -> str:
    """Why the exit status is what it is."""
    if not report.reasons:
        return "exit 0: nothing to do"
    return "\n".join(f"exit {status}: {text}" for status, text in report.reasons[:1]) + "".join(
        f"\nalso ({status}): {text}" for status, text in report.reasons[1:]
    )


def change_text(finding: Finding) -> str:
    """Both values: "1.005 ms → 1.104 ms"; a dash where there are none."""
    if finding.base is None or finding.head is None:
        return ABSENT
    if finding.unit == "1":
        return f"{format_count(finding.base)} → {format_count(finding.head)}"
    return " → ".join(format_alike([finding.base, finding.head], finding.unit))


def ratio_text(finding: Finding) -> str:
    """By how much: "+9.9 %"."""
    ratio = finding.verdict.ratio
    return ABSENT if ratio is None else f"{100 * (ratio - 1):+.1f} %"


def interval_text(finding: Finding) -> str:
    """The interval of that: "+8.1 to +11.9 %"."""
    low, high = finding.verdict.low, finding.verdict.high
    return "" if low is None or high is None else f"{100 * (low - 1):+.1f} to {100 * (high - 1):+.1f} %"


def outcome_text(finding: Finding) -> str:
    """The outcome with its qualifiers: "slower (acknowledged, drift)"."""
    words = ", ".join(finding.qualifiers)
    return f"{SIGNS[finding.verdict.outcome]} {finding.verdict.outcome.value}" + (f" ({words})" if words else "")


def commands_for(finding: Finding) -> tuple[str, ...]:
    """Commands that show a finding again: its history, its two records, and a new measurement."""
    case = finding.verdict.case
    metric = finding.verdict.metric or "latency_p50"
    where = ["--where", f"backend={case.backend}", "--where", f"precision={case.precision}"]
    where += ["--where", f"batch={case.batch}", "--where", f"mode={case.mode}", "--where", f"threads={case.threads}"]
    commands = [] if finding.reference == "exact" else [["benchbox", "history", case.model, "--metric", metric, *where]]
    before, after = finding.place.records
    if before and after and finding.reference != "exact":
        commands.append(["benchbox", "compare", before, after, "--metric", metric])
    commands.append(["benchbox", "run", case.model, *options_of(case), *variant_options(case.variant)])
    return tuple(shlex.join(command) for command in commands)


def options_of(case: CaseIdentity) -> list[str]:
    """The options of ``benchbox run`` that measure a case, but for those of its variant."""
    words = ["--backend", case.backend, "--precision", str(case.precision), "--batch", str(case.batch)]
    words += ["--threads", str(case.threads)]
    if case.like:
        return [*words, "--like", case.like]
    if case.mode is not Mode.ISOLATED:
        words += ["--mode", str(case.mode)]
    sizes = (("--group", case.group), ("--streams", case.streams), ("--rate", case.rate_per_s))
    for flag, size in (*sizes, ("--latency-bound", case.latency_bound_s)):
        words += [flag, f"{size:g}"] if size is not None else []
    return [*words, *(["--transfers"] if case.transfer == TRANSFER_TIMED else [])]


def variant_options(variant: str) -> list[str]:
    """The flags that a variant came from ("exclude=fc* fallback=fp16 sequence=128")."""
    words: list[str] = []
    for part in variant.split():
        name, equals, value = part.partition("=")
        if not equals:
            continue
        if name in _VARIANT_FLAGS:
            words += [_VARIANT_FLAGS[name], value]
        elif name == "exclude":
            words += [word for pattern in value.split(",") for word in ("--exclude", pattern)]
        elif name == "batch-axis":
            words += ["--batch-axis", value.replace(":", "=")]
        elif name == "inputs":
            words += ["--inputs", value.rpartition("@")[0]]
        else:  # a size by its name
            words += ["--input", part]
    return words


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


def acknowledged_lines(report: NightReport) -> list[str]:
    """Every acknowledgement that was of use tonight: since when, until when, and why."""
    return [
        f"{entry.group}: since {entry.accepted}, until {entry.until}, {entry.reason}"
        + (f" ({entry.issue})" if entry.issue else "")
        for entry in report.acknowledged
    ]


def worth_a_row(findings: Sequence[Finding]) -> list[Finding]:
    """Findings that say something: neither the same, nor new, nor an anchor of another environment."""
    return [
        finding
        for finding in findings
        if finding.verdict.outcome is not Outcome.SAME
        and Qualifier.NEW not in finding.qualifiers
        and not (finding.reference == "anchor" and finding.verdict.outcome is Outcome.INCOMPARABLE)
    ]
