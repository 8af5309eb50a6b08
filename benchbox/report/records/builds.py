"""How far are several builds of one engine apart?

Which kernels a builder picks goes by times that it measures, and differs from build to build. The interval of a record
says nothing of that: it is of one engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchbox.schema.engine import BUILD
from benchbox.schema.identity import CaseIdentity, identity_of
from benchbox.schema.reading import Reading
from benchbox.schema.record import Record, Status, reading_of
from benchbox.units import format_alike, format_percent, format_ratio

# The GPU's own time where there is one: kernels are what differs.
_METRICS = ("gpu_compute_time_p50", "gpu_time_p50", "latency_p50")


def lines_on_builds(records: Sequence[Record]) -> list[str]:
    """A line for each case of which several builds were measured (``run --builds``), none for other cases."""
    builds: dict[CaseIdentity, list[Record]] = {}
    for record in records:
        words = record.key.variant.split()
        others = [word for word in words if not word.startswith(f"{BUILD}=")]
        if len(others) < len(words) and record.status is Status.OK:
            builds.setdefault(replace(identity_of(record), variant=" ".join(others)), []).append(record)
    return [line for case, found in builds.items() if len(found) > 1 for line in _line(case, found)]


def _line(case: CaseIdentity, records: Sequence[Record]) -> Iterator[str]:
    for metric in _METRICS:
        readings = [found for record in records if (found := reading_of(record, metric)) is not None]
        if len(readings) < len(records):
            continue
        least, most = (end(readings, key=lambda reading: reading.value) for end in (min, max))
        low, high = format_alike([least.value, most.value], least.unit)
        name = f"{case.model} {case.backend} {case.precision} b{case.batch} {case.variant}".rstrip()
        span = f"{metric} {low} to {high}, {format_percent(most.value / least.value - 1, 1)} apart"
        yield f"{name}: {len(records)} builds, {span}{_alone(readings)}"
        return


def _alone(readings: Sequence[Reading]) -> str:
    """How sure each of them is by itself, "" where that is not known."""
    widths = [width for reading in readings if (width := reading.half_width) is not None]
    return f"; each by itself ±{format_ratio(max(widths))} at most" if len(widths) == len(readings) else ""
