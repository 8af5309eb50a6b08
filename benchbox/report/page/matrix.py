"""How fast is each network in each backend, precision and batch, and how near to its limit, at a glance?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from benchbox.report.cases import mode_text
from benchbox.report.material import Point
from benchbox.schema.identity import identity_of
from benchbox.schema.record import Record
from benchbox.schema.verdict import Outcome
from benchbox.units import ABSENT, format_half_width, format_known

_SIGNS = {Outcome.SLOWER: "✖ slower", Outcome.FASTER: "▲ faster", Outcome.INCONCLUSIVE: "? inconclusive"}
_MARKS = {Outcome.SLOWER: "slower", Outcome.FASTER: "faster", Outcome.INCONCLUSIVE: "unsure"}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A case in the matrix: its median and interval, a shade from 0 to 1, and what the gate says of it.

    ``mark`` is the class of the cell and ``sign`` the same in words, "" where it did not change or nothing is known.
    """

    case: str
    value: str
    interval: str
    shade: float
    mark: str = ""
    sign: str = ""


@dataclass(frozen=True, kw_only=True)
class Head:
    """What stands over so many columns."""

    text: str
    span: int


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Rows are networks, the fastest for a sample first; ``cells`` has one for each column, None without a number.

    ``heads`` are the rows over the columns: backends, precisions, batches. ``reading`` says how to read it.
    """

    heads: tuple[tuple[Head, ...], ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    reading: str


_Column = tuple[str, str, str, int]


def matrix_of(
    points: Sequence[Point],
    shares: Mapping[str, float] | None = None,
    changes: Mapping[str, Outcome] | None = None,
    failed: Sequence[Record] = (),
) -> Matrix:
    """Networks against backend, precision, batch and what else tells their cases apart; p50 with its interval.

    Args:
        points: cases of one machine.
        shares: of its roof that each record reached; where none is known, the shade is the time for a sample.
        changes: what the gate says of a record.
        failed: records of the same machine that failed; their cells say so where the case has no number.
    """
    timed = [(point, point.latency) for point in points if point.latency is not None]
    shades, words = _shades(points, shares or {})
    changed = changes or {}
    several = len({point.record.plan.threads for point, _ in timed}) > 1
    names = {point.case: point.case.split(" " + point.record.key.backend)[0] for point, _ in timed}
    cells: dict[tuple[str, _Column], Cell] = {}
    for point, latency in timed:
        width = format_half_width(latency.value, latency.low, latency.high)
        outcome = changed.get(point.record.id)
        cells[names[point.case], _column(point.record, several=several)] = Cell(
            case=point.case,
            value=format_known(latency.value, latency.low, latency.high, "s"),
            interval="" if width == ABSENT else width,
            shade=shades.get(point.record.id, 0.0),
            mark=_MARKS.get(outcome, "") if outcome else "",
            sign=_SIGNS.get(outcome, "") if outcome else "",
        )
    for record in failed:
        place = (record.key.model, _column(record, several=several))
        cells.setdefault(place, Cell(case="", value="failed", interval="", shade=0.0))
    columns = sorted({column for _, column in cells}, key=lambda column: (column[0], _rank(column[1]), *column[1:]))
    fastest = sorted(timed, key=lambda pair: pair[1].value / pair[0].batch)
    models = list(dict.fromkeys(names[point.case] for point, _ in fastest))
    gate = " An outlined cell changed since the nights before, in a hatched one that cannot be told." if changed else ""
    return Matrix(
        heads=_heads(columns),
        rows=tuple((model, tuple(cells.get((model, column)) for column in columns)) for model in models),
        reading=f"Each cell is p50 with its 95 % interval over fresh processes; {words}.{gate}",
    )


def _shades(points: Sequence[Point], shares: Mapping[str, float]) -> tuple[dict[str, float], str]:
    """The shade of each record and what it says."""
    if shares:
        return {name: round(1 - min(1.0, share), 2) for name, share in shares.items()}, (
            "the stronger the colour, the further below the measured roof of its precision: where time can be won"
        )
    logs = {
        point.record.id: math.log(point.latency.value / point.batch) for point in points if point.latency is not None
    }
    low, high = min(logs.values(), default=0.0), max(logs.values(), default=0.0)
    span = high - low or 1.0
    return {name: round((log - low) / span, 2) for name, log in logs.items()}, "stronger colour: longer for a sample"


def _column(record: Record, *, several: bool) -> _Column:
    """Backend, precision, what else there is to know, and the batch."""
    key, case = record.key, identity_of(record)
    extras = (case.variant, mode_text(case), f"{case.threads} threads" if several else "")
    return key.backend, key.precision.value, " · ".join(text for text in extras if text not in {"", ABSENT}), key.batch


def _rank(precision: str) -> int:
    order = ("fp64", "fp32", "tf32", "bf16", "fp16", "int8", "fp8", "int4")
    return order.index(precision) if precision in order else len(order)


def _heads(columns: Sequence[_Column]) -> tuple[tuple[Head, ...], ...]:
    """A row each for backends, for precisions with what else there is, and for batches; equal neighbours are one."""

    def row(parts: Sequence[tuple[str, ...]]) -> tuple[Head, ...]:
        runs = [(key, len(list(group))) for key, group in groupby(parts)]
        return tuple(Head(text=key[-1], span=count) for key, count in runs)

    return (
        row([(backend,) for backend, *_ in columns]),
        row([(backend, " · ".join(filter(None, (kind, extra)))) for backend, kind, extra, _ in columns]),
        tuple(Head(text=f"batch {batch}", span=1) for *_, batch in columns),
    )
