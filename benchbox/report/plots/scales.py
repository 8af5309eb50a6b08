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
        expression = "datum.label" if not self.suffix else with_unit(self.suffix.strip())
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


def with_unit(unit: str) -> str:
    """What makes a tick's words of its value: "200 ms", "1 s", "2 G"."""
    return f"trim(replace(format(datum.value, '~s'), /([a-zA-Zµ]?)$/, ' $1{unit}'))"


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
    points: Sequence[tuple[float, float, str]],
    x: Axis,
    y: Axis,
    radii: Sequence[float] = (),
    *,
    above: bool = False,
    avoid: Sequence[tuple[float, float, float, float]] = (),
) -> list[Mapping[str, Any]]:
    """Where words stand beside their points: right, left, above, below or at a corner; what fits nowhere is left out.

    Args:
        points: places and words; of equal words the first that fits is said.
        x: axis.
        y: axis.
        radii: of the marks in pixels.
        above: rather above and below than beside.
        avoid: boxes in pixels (left, top, right, bottom) that are taken already.

    Returns:
        rows for ``text_layer`` with ``dx`` and ``align``; every word is also in the picture's table.
    """
    places = [(x.place(a), y.length - y.place(b)) for a, b, _ in points]
    sizes = radii or [7.0] * len(points)
    taken = [*avoid, *((px - r, py - r, px + r, py + r) for (px, py), r in zip(places, sizes, strict=True))]
    rows: list[Mapping[str, Any]] = []
    said: set[str] = set()
    for (a, b, text), (px, py), radius in zip(points, places, sizes, strict=True):
        width = _CHARACTER * len(text)
        if text in said:
            continue
        beside = [(px + radius + 2, py - _LINE / 2), (px - radius - 2 - width, py - _LINE / 2)]
        over = [(px - width / 2, py - radius - _LINE), (px - width / 2, py + radius)]
        rows_at = (py - radius - _LINE, py + radius)
        corners = [(left, top) for top in rows_at for left in (px + radius, px - radius - width)]
        for left, top in [*(over + beside if above else beside + over), *corners]:
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


def bar_boxes(
    bars: Sequence[tuple[float, float, float]], x: Axis, y: Axis, *, upright: bool
) -> list[tuple[float, float, float, float]]:
    """What intervals cover in pixels, for ``words_beside`` to avoid.

    Args:
        bars: (place on the other axis, low, high) of each.
        x: axis.
        y: axis.
        upright: intervals of y, else of x.
    """
    if upright:
        places = [(x.place(at), y.length - y.place(high), y.length - y.place(low)) for at, low, high in bars]
        return [(px - 2, top, px + 2, bottom) for px, top, bottom in places]
    across = [(y.length - y.place(at), x.place(low), x.place(high)) for at, low, high in bars]
    return [(left, py - 2, right, py + 2) for py, left, right in across]


def words_stacked(points: Sequence[tuple[float, float, str]], x: Axis, y: Axis) -> list[Mapping[str, Any]]:
    """Words to the right of the ends of lines, moved up and down until none overlaps another.

    Returns:
        rows as of ``words_beside``.
    """
    rows: list[Mapping[str, Any]] = []
    wanted = sorted((y.length - y.place(b), a, b, text) for a, b, text in points)
    middles = spread([entry[0] for entry in wanted])
    for (py, a, b, text), middle in zip(wanted, middles, strict=True):
        rows.append({x.field: a, y.field: b, "text": text, "dx": 10.0, "dy": middle - py})
    return rows


def spread(places: Sequence[float], *, apart: float = _LINE) -> list[float]:
    """Ascending places moved as little as it takes for neighbours to be so far apart.

    Blocks that touch are merged and centred on what they hold, as least squares would have it.
    """
    blocks: list[list[float]] = []  # each block: sum of wanted beginnings, number of members
    for number, place in enumerate(places):
        blocks.append([place - apart * number, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            last = blocks.pop()
            blocks[-1] = [blocks[-1][0] + last[0], blocks[-1][1] + last[1]]
    found: list[float] = []
    for total, count in blocks:
        start = len(found)
        found += [total / count + apart * (start + member) for member in range(int(count))]
    return found
