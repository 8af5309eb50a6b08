"""What are the machine of some cases and its measured ceilings, as tables of the page?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchbox.report.material import Material, Point
from benchbox.report.plots.roofline import above_roofs
from benchbox.report.plots.roofs import ceilings_of
from benchbox.schema.device import BandwidthCeiling, ComputeCeiling, Level
from benchbox.units import ABSENT, format_flops_per_s, format_known, format_percent


@dataclass(frozen=True, kw_only=True)
class CeilingTables:
    """The machine as facts, and its ceilings: ``rows`` under ``COLUMNS``; none were measured where there are none.

    ``notes`` are what is to be known of them, and how to have them where they are missing.
    """

    facts: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


_MEMORIES = {Level.L1: "L1 cache", Level.L2: "L2 cache", Level.LLC: "last-level cache", Level.DRAM: "main memory"}
COLUMNS = ("ceiling", "threads", "value", "low", "high", "processes", "by")


def ceiling_tables(points: Sequence[Point], material: Material) -> CeilingTables:
    """The machine of the newest of these cases, and the newest ceilings of the environment of any."""
    newest = max(points, key=lambda point: point.record.started_at).record.environment
    facts = [(name, text) for part in (newest.hardware, newest.software) for name, text in part.items() if text]
    ceilings = ceilings_of(points, material)
    if ceilings is None:
        missing = (
            "no ceilings are stored for this environment: 'benchbox ceilings' measures them, then rooflines are drawn"
        )
        return CeilingTables(facts=tuple(facts), columns=COLUMNS, rows=(), notes=(missing,))
    notes = [f"measured {ceilings.started_at[:16].replace('T', ' ')} UTC" + (", quickly" if ceilings.quick else "")]
    sheet = ceilings.theoretical.items()
    notes += [f"the data sheet says {format_flops_per_s(rate)} in {kind}" for kind, rate in sheet]
    notes += [f"no {one.precision} ceiling from {one.library}: {one.reason}" for one in ceilings.none]
    notes += [f"{flag.severity} {flag.code}: {flag.message}" for flag in ceilings.flags]
    rows = [_row(f"{one.precision.value} {one.kind.value}", one, one.flops_per_s, "FLOP/s") for one in ceilings.compute]
    rows += [_row(_MEMORIES[one.level], one, one.bytes_per_s, "B/s") for one in ceilings.bandwidth]
    return CeilingTables(facts=tuple(facts), columns=COLUMNS, rows=tuple(rows), notes=tuple(notes))


def above_lines(points: Sequence[Point], material: Material) -> list[str]:
    """The cases and layers of a machine that are above the roof, the furthest first, in words."""
    return [
        f"{one.name}: {format_flops_per_s(one.rate)}, {format_percent(one.over)} above the "
        f"{format_flops_per_s(one.limit)} that the fastest measured process allows in {one.precision}"
        for one in above_roofs(points, material)
    ]


def _row(name: str, one: ComputeCeiling | BandwidthCeiling, value: float, unit: str) -> tuple[str, ...]:
    several = one.low < one.high
    low, high = (one.low, one.high) if several else (None, None)
    ends = [format_known(end, None, None, unit) if several else ABSENT for end in (one.low, one.high)]
    by = f"{one.library} {one.version}".strip()
    return (name, str(one.threads), format_known(value, low, high, unit), *ends, str(one.n), by)
