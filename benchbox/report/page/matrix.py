"""How fast is each network in each backend, precision and batch, at a glance?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchbox.report.cases import mode_text
from benchbox.report.material import Point
from benchbox.schema.identity import identity_of
from benchbox.units import ABSENT, format_half_width, format_known


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A case in the matrix: its median, its interval, and a shade from 0 (fastest for a sample) to 1."""

    case: str
    value: str
    interval: str
    shade: float


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Rows are networks, the fastest for a sample first; ``cells`` has one for each column, None without a number."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]


def matrix_of(points: Sequence[Point]) -> Matrix:
    """Networks against backend, precision, batch and what else tells their cases apart; p50 with its interval."""
    timed = [(point, point.latency) for point in points if point.latency is not None]
    columns: dict[str, tuple[object, ...]] = {}
    cells: dict[tuple[str, str], Cell] = {}
    several = len({point.record.plan.threads for point, _ in timed}) > 1
    names = {point.case: point.case.split(" " + point.record.key.backend)[0] for point, _ in timed}
    logs = [math.log(latency.value / point.batch) for point, latency in timed]
    low, span = min(logs, default=0.0), max(logs, default=0.0) - min(logs, default=0.0)
    for (point, latency), log in zip(timed, logs, strict=True):
        key, case = point.record.key, identity_of(point.record)
        extras = [case.variant, mode_text(case), f"{case.threads} threads" if several else ""]
        title = " · ".join(
            text
            for text in (key.backend, key.precision.value, f"batch {key.batch}", *extras)
            if text not in {"", ABSENT}
        )
        columns[title] = (key.backend, key.precision.value, title.replace(f"batch {key.batch}", ""), key.batch)
        width = format_half_width(latency.value, latency.low, latency.high)
        cells[names[point.case], title] = Cell(
            case=point.case,
            value=format_known(latency.value, latency.low, latency.high, "s"),
            interval="" if width == ABSENT else width,
            shade=round((log - low) / span, 2) if span else 0.0,
        )
    ordered = sorted(columns, key=lambda title: tuple(map(_sortable, columns[title])))
    fastest = sorted(timed, key=lambda pair: pair[1].value / pair[0].batch)
    models = list(dict.fromkeys(names[point.case] for point, _ in fastest))
    return Matrix(
        columns=tuple(ordered),
        rows=tuple((model, tuple(cells.get((model, title)) for title in ordered)) for model in models),
    )


def _sortable(value: object) -> tuple[int, object]:
    return (1, value) if isinstance(value, str) else (0, value)
