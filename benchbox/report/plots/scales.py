"""Where do axes begin and end, which ticks do they have, and where do words fit without overlapping?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchbox.report.plots.base import HEIGHT, WIDTH, Specification

_CHARACTER, _LINE = 6.6, 14.0  # pixels of the pictures' text


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A quantitative axis of a field: ends, ticks and where a value is, in pixels from its beginning."""

    field: str
    title: str
    low: float
    high: float
    suffix: str
    log: bool
    length: int

    def place(self, value: float) -> float:
        """Pixels from the beginning of the axis."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return share * self.length

    def channel(self, **axis: Any) -> Specification:
        """The encoding of the axis."""
        kind = {"type": "log"} if self.log else {"type": "linear"}
        ticks = {"values": self.ticks()} if self.log else {"tickCount": 6}
        expression = "datum.label" if not self.suffix else f"format(datum.value, '~s') + '{self.suffix}'"
        if self.suffix == "%":
            expression = "format(100 * datum.value, '~f') + ' %'"
        return {
            "field": self.field,
            "type": "quantitative",
            "title": self.title,
            "scale": {**kind, "domain": [self.low, self.high], "nice": False, "zero": False},
            "axis": {"labelExpr": expression, "labelOverlap": "greedy", **ticks, **axis},
        }

    def ticks(self) -> list[float]:
        """1, 2 and 5 in every decade, or only its beginning where that would be many."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            found = [float(f"{step}e{power}") for power in decades for step in steps]
            found = [tick for tick in found if self.low <= tick <= self.high]
            if len(found) <= 9:
                break
        return found


def log_axis(field: str, title: str, values: Sequence[float], suffix: str, *, vertical: bool = False) -> Axis:
    """An axis of factors that holds the values with some room."""
    low, high = min(values), max(values)
    room = max(1.25, (high / low) ** 0.06)
    return Axis(
        field=field, title=title, low=low / room, high=high * room, suffix=suffix, log=True,
        length=HEIGHT if vertical else WIDTH,
    )  # fmt: skip


def linear_axis(field: str, title: str, values: Sequence[float], suffix: str, *, vertical: bool = False) -> Axis:
    """An axis of differences that holds the values with some room."""
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return Axis(
        field=field, title=title, low=low - room, high=high + room, suffix=suffix, log=False,
        length=HEIGHT if vertical else WIDTH,
    )  # fmt: skip


def words_beside(
    points: Sequence[tuple[float, float, str]], x: Axis, y: Axis, radii: Sequence[float] = (), *, above: bool = False
) -> list[Mapping[str, Any]]:
    """Where words stand beside their points: to the right, left, above or below; those that fit nowhere are left out.

    Returns:
        rows for ``text_layer`` with ``dx`` and ``align``; every word is also in the picture's table.
    """
    places = [(x.place(a), y.length - y.place(b)) for a, b, _ in points]
    sizes = radii or [7.0] * len(points)
    taken = [(px - r, py - r, px + r, py + r) for (px, py), r in zip(places, sizes, strict=True)]
    rows: list[Mapping[str, Any]] = []
    said: set[str] = set()
    for (a, b, text), (px, py), radius in zip(points, places, sizes, strict=True):
        width = _CHARACTER * len(text)
        if text in said:
            continue
        beside = [(px + radius + 2, py - _LINE / 2), (px - radius - 2 - width, py - _LINE / 2)]
        over = [(px - width / 2, py - radius - _LINE), (px - width / 2, py + radius)]
        for left, top in over + beside if above else beside + over:
            box = (left, top, left + width, top + _LINE)
            if left < 0 or box[2] > x.length + 40 or top < 0 or box[3] > y.length or _hits(box, taken):
                continue
            taken.append(box)
            said.add(text)
            rows.append({x.field: a, y.field: b, "text": text, "dx": left - px, "dy": top + _LINE / 2 - py})
            break
    return rows


def _hits(box: tuple[float, float, float, float], taken: Sequence[tuple[float, float, float, float]]) -> bool:
    return any(
        box[0] < right and left < box[2] and box[1] < bottom and top < box[3] for left, top, right, bottom in taken
    )


def word_layers(rows: Sequence[Mapping[str, Any]], x: Specification, y: Specification) -> list[Specification]:
    """Words at their own offsets: one layer a word, since offsets belong to the mark."""
    from benchbox.report.plots.base import text_layer

    return [text_layer([row], x, y, dx=round(row["dx"], 1), dy=round(row["dy"], 1)) for row in rows]
