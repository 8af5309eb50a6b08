"""How is the judgement of a night written as JUnit XML, which CI systems list as tests?"""

from __future__ import annotations

import datetime
import re
import xml.etree.ElementTree as tree
from collections.abc import Iterable, Mapping

from benchbox.gate.formats.words import (
    accept_command,
    change_in_words,
    change_text,
    commands_for,
    layer_lines,
    outcome_text,
)
from benchbox.gate.night import Finding, Group, NightReport, Qualifier, Taken
from benchbox.gate.reasons import EXIT_GAPS, EXIT_UNREADABLE, reasons_beside_rows
from benchbox.schema.verdict import Outcome

_SKIPS = (Outcome.INCONCLUSIVE, Outcome.INCOMPARABLE)
# A suite that is no machine, and its only test: what speaks against the night as a whole.
_WHOLE, _NIGHT = "benchbox", "the night as a whole"


def junit_of(report: NightReport, seconds: Mapping[str, float] | None = None) -> str:
    """A suite a machine, a test a row: alarms are failures, missing numbers errors, what cannot be told is skipped.

    Args:
        report: of the night.
        seconds: how long the processes of a case ran tonight, by its name, of those of which that is known. All rows of
            a case come from the same processes: the first has their time, so that the times of tests add up.
    """
    times = _times(report.findings, seconds or {})
    against = _against(report)
    counts = _counts(report.findings)
    for name in ("tests", "errors") if against else ():
        counts[name] = str(int(counts[name]) + 1)
    root = tree.Element("testsuites", {"name": "benchbox gate", **counts, **_total(times)})
    if against:
        attributes = {"name": _WHOLE, **_counts(()), "tests": "1", "errors": "1"}
        case = tree.SubElement(
            tree.SubElement(root, "testsuite", attributes), "testcase", classname=_WHOLE, name=_NIGHT
        )
        tree.SubElement(case, "error", type="gate", message=against).text = against
    taken, groups = ({entry.machine: entry for entry in report.taken}, {entry.id: entry for entry in report.groups})
    for machine in dict.fromkeys(finding.machine for finding in report.findings):
        rows = tuple(finding for finding in report.findings if finding.machine == machine)
        known = [time for time, finding in zip(times, report.findings, strict=True) if finding.machine == machine]
        attributes = {"name": _text(machine), **_counts(rows), **_total(known), "hostname": _text(machine)}
        suite = tree.SubElement(root, "testsuite", attributes)
        if (found := taken.get(machine)) is not None:
            suite.set("timestamp", _stamp(found.started_at))
            tree.SubElement(tree.SubElement(suite, "properties"), "property", _environment(found))
        for finding, time in zip(rows, known, strict=True):
            _add(suite, finding, report, groups.get(finding.group), time)
    tree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tree.tostring(root, encoding="unicode") + "\n"


def _against(report: NightReport) -> str:
    """What speaks against the night and is the failure of no row, "" where nothing does.

    A new environment is skipped rows, and so is what nobody can tell: only that nothing can be believed, that nothing
    was judged, and damaged records are errors.
    """
    texts = [text for status, text in report.reasons if status in {EXIT_GAPS, EXIT_UNREADABLE}]
    beside = reasons_beside_rows(report)
    return _text("; ".join(text for text in texts if text in beside))


def _stamp(moment: str) -> str:
    """In UTC, to the second, as the format's schemas have it."""
    at = datetime.datetime.fromisoformat(moment)
    return f"{at.astimezone(datetime.UTC) if at.tzinfo else at:%Y-%m-%dT%H:%M:%SZ}"


def _environment(taken: Taken) -> dict[str, str]:
    return {"name": "environment", "value": _text(taken.environment)}


def _times(findings: Iterable[Finding], seconds: Mapping[str, float]) -> list[float | None]:
    """Of each row what measuring it added: all of its case's time for the first row, nothing for the others."""
    left = dict(seconds)
    return [(left.pop(row.name, 0.0) if row.name in seconds else None) for row in findings]


def _total(times: Iterable[float | None]) -> dict[str, str]:
    """The attribute of what is known of them, none where nothing is."""
    known = [time for time in times if time is not None]
    return _time(sum(known) if known else None)


def _time(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"time": f"{seconds:.3f}"}


def _add(suite: tree.Element, finding: Finding, report: NightReport, group: Group | None, time: float | None) -> None:
    case = finding.verdict.case
    place = (finding.machine, case.backend, case.precision.value)
    # Dots separate packages for Jenkins, and duplicates of class and name are dropped by GitLab.
    classname = ".".join(_text(part).replace(".", "_") for part in place)
    name = f"{finding.name.rpartition('@')[0]} {finding.verdict.metric or 'numbers'} {finding.reference}"
    entry = tree.SubElement(suite, "testcase", {"classname": classname, "name": _text(name), **_time(time)})
    numbers = (change_in_words(finding), change_text(finding), finding.verdict.reason)
    message = _text(", ".join(text for text in numbers if text not in {"", "–"}))
    kind = _kind(finding)
    if kind:
        # Some readers show only the body, others only the message.
        lines = [message, *([f"owner: {', '.join(group.owners)}"] if group is not None and group.owners else ())]
        lines += layer_lines(finding)
        if kind == "failure" and group is not None:
            lines += [group.cause, *commands_for(finding, report)]
            lines += [f"if it is on purpose: {accept_command(report, group.id)}"]
        # The same, but a change would not have been seen, is no claim.
        outcome = finding.verdict.outcome if finding.verdict.outcome is not Outcome.SAME else Outcome.INCONCLUSIVE
        tree.SubElement(entry, kind, type=outcome.value, message=message).text = _text("\n".join(lines))
    elif finding.verdict.outcome is not Outcome.SAME or Qualifier.ACKNOWLEDGED in finding.qualifiers:
        tree.SubElement(entry, "system-out").text = _text(f"{outcome_text(finding)}: {message}")


def _kind(finding: Finding) -> str:
    if finding.is_alarm:
        return "failure"
    if finding.is_gap:
        return "error"
    # The same as far as anybody can tell, who would not have seen a change.
    return "skipped" if finding.verdict.outcome in _SKIPS or Qualifier.BLIND in finding.qualifiers else ""


def _counts(findings: tuple[Finding, ...]) -> dict[str, str]:
    kinds = [_kind(finding) for finding in findings]
    return {
        "tests": str(len(kinds)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "skipped": str(kinds.count("skipped")),
    }


def _text(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)
