"""What stands below a table of records: why some have no number, what may have moved others, which machine it was?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from benchbox.report.records.base import View
from benchbox.report.records.machines import notes_on_machines
from benchbox.report.records.telling import names_of_records
from benchbox.schema.reading import Severity
from benchbox.schema.record import Record, Status, reading_of
from benchbox.units import format_ratio

MOST_NOTES = 5
# The width of an interval is in its cell; it is worth a sentence where it is wider than this half-width.
WIDE_INTERVAL = 0.05
_IN_THE_CELL = "WIDE_INTERVAL"
_ORDER = [Severity.ERROR, Severity.WARNING, Severity.INFO]


def skips_and_failures(records: Sequence[Record]) -> list[str]:
    """Why records without a number have none, failed ones first; one line for all cases of one reason."""
    name = names_of_records(records)
    cases: dict[tuple[Status, str], list[str]] = {}
    for record in sorted(records, key=lambda record: record.status is Status.SKIPPED):
        if record.reason:
            # The case names backend and precision already.
            reason = record.reason.removeprefix(f"{record.key.backend} cannot run {record.key.precision}; ")
            cases.setdefault((record.status, reason), []).append(name(record))
    return [
        f"{status.value}: {names[0]}{f' (and {len(names) - 1} more)' if len(names) > 1 else ''}: {reason}"
        for (status, reason), names in cases.items()
    ]


def notes_from_records(records: Sequence[Record], view: View) -> list[str]:
    """A summary and at most five flags in words, the most severe first; all of them where the view says so."""
    summary = _intervals(records, quick=view.quick)
    flags = _flags(records, [Severity.ERROR, Severity.WARNING] if not view.notes else _ORDER, every=view.notes)
    machines = list(notes_on_machines(records, paired=view.paired))
    notes = [*flags, *machines]
    if view.notes or len(notes) <= MOST_NOTES:
        return [*summary, *notes]
    return [*summary, *notes[:MOST_NOTES], f"more notes: {len(notes) - MOST_NOTES}, shown by --notes"]


def machine_lines(records: Sequence[Record]) -> list[str]:
    """One line for each environment: processor or GPU, threads where they are the same for all, hash."""
    lines: dict[str, None] = {}
    for record in records:
        threads = {other.plan.threads for other in records if other.environment.hash == record.environment.hash}
        hardware = record.environment.hardware
        parts = [hardware[kind] for kind in ("gpu", "cpu") if kind in hardware]
        if len(threads) == 1:
            (count,) = threads
            parts.append(f"{count} thread{'s' * (count != 1)}")
        lines[", ".join([*parts, f"environment {record.environment.hash}"])] = None
    return list(lines)


def _intervals(records: Sequence[Record], *, quick: bool) -> list[str]:
    """How well the medians are known, where one of them is not known well."""
    readings = [reading_of(record, "latency_p50") for record in records]
    widths = [reading.half_width for reading in readings if reading is not None and reading.half_width is not None]
    if not widths or max(widths) <= WIDE_INTERVAL:
        return []
    low, high = format_ratio(min(widths)).removesuffix(" %"), format_ratio(max(widths))
    known = f"±{high}" if f"{low} %" == high else f"±{low} to {high}"
    advice = "run without --quick" if quick else "more --trials or a quieter machine"
    return [f"p50 is known to {known} only; for narrower intervals: {advice}"]


def _flags(records: Sequence[Record], severities: Sequence[Severity], *, every: bool) -> list[str]:
    """Each flag once, by the record in which it is worst, with the number of others."""
    name = names_of_records(records, differing=True)
    worst: dict[tuple[Severity, str], tuple[float, str]] = {}
    more: Counter[tuple[Severity, str]] = Counter()
    for record in records:
        for flag in record.flags:
            head = (flag.severity, flag.code)
            if flag.severity not in severities or (flag.code == _IN_THE_CELL and not every):
                continue
            size = -math.inf if flag.size is None else flag.size
            more[head] += head in worst
            if head not in worst or size > worst[head][0]:
                worst[head] = (size, f"{name(record)}: {flag.message}")
    heads = sorted(worst, key=lambda head: _ORDER.index(head[0]))
    return [
        f"{head[1]} ({head[0]}), {worst[head][1]}" + (f" (and {more[head]} more)" if more[head] else "")
        for head in heads
    ]
