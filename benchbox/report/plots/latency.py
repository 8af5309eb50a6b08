"""Do multiply-adds order latency, and how far is each network from what the machine can do?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchbox.report.material import Material, Point, achieved_text, one_at_a_time
from benchbox.report.plots.base import (
    INK,
    PRECISIONS,
    QUIET,
    Picture,
    Specification,
    marks,
    precision_scale,
    shape_scale,
    text_layer,
    whole,
)
from benchbox.report.plots.roofs import Roof, levels_of
from benchbox.report.plots.scales import Axis, bar_boxes, log_axis, word_layers, words_beside
from benchbox.units import format_count, format_flops_per_s, format_half_width, format_known

# Pixels that a line of equal rates needs for its words.
_ROOM = 90


def draw(points: Sequence[Point], material: Material) -> Picture | None:
    """Median latency against the multiply-adds of one inference, with lines of equal achieved FLOP/s."""
    shown = [point for point in one_at_a_time(points) if point.macs]
    if not shown:
        return None
    values = [_value(point) for point in shown]
    x = log_axis("macs", "multiply-adds of one inference (MACs)", [row["macs"] for row in values], " ")
    y = log_axis("s", "median latency", [row[end] for row in values for end in ("low", "high")], "s", vertical=True)
    across, up = x.channel(), y.channel()
    lines, words = _iso_lines(x, y)
    colour: Specification = {
        "field": "precision", "type": "nominal", "title": "precision",
        "scale": precision_scale([row["precision"] for row in values]),
    }  # fmt: skip
    shape: Specification = {"field": "backend", "type": "nominal", "title": "backend"}
    shape["scale"] = shape_scale([row["backend"] for row in values])
    roofs = levels_of(shown, material)
    under, limit = _roofs(roofs, x, y)
    bars = [box for roof in roofs for box in _diagonal_boxes(roof.level, x, y)]
    bars += bar_boxes([(row["macs"], row["low"], row["high"]) for row in values], x, y, upright=True)
    layers = [
        marks(lines, {"type": "line", "stroke": QUIET, "strokeDash": [2, 4], "strokeWidth": 1, "aria": False},
              {"x": across, "y": up, "detail": {"field": "rate"}}),
        text_layer(words, across, up, align="right", dx=-14, dy=4, fill=QUIET, fontSize=11),
        marks(values, {"type": "rule", "aria": False, "strokeWidth": 1.5},
              {"x": across, "y": {**up, "field": "low"}, "y2": {"field": "high"}, "color": colour}),
        marks(values, {"type": "point", "filled": True, "size": 80, "opacity": 1},
              {"x": across, "y": up, "color": colour, "shape": shape, "description": {"field": "label"}}),
        *word_layers(words_beside(_named(shown), x, y, avoid=bars), across, up),
    ]  # fmt: skip
    layers = [*under, *layers]
    return Picture(
        name="latency",
        title="Latency against multiply-adds",
        reading="Both axes are logarithmic; along a dotted line the achieved FLOP/s are equal, lower lines are faster; "
        f"a vertical bar is the 95 % interval{limit}.",
        specification=whole(layers),
        columns=("case", "p50", "interval", "MACs", "achieved"),
        rows=tuple(_row(point) for point in sorted(shown, key=_seconds)),
    )


def _roofs(roofs: Sequence[Roof], x: Axis, y: Axis) -> tuple[list[Specification], str]:
    """The least time that the measured ceiling of each precision allows, and what the picture says of it."""
    if not roofs:
        return [], ". No ceilings are stored for this machine, so its limits are not drawn"
    layers: list[Specification] = []
    angle = -math.degrees(math.atan2(y.place(y.low * 10), x.place(x.low * 10)))
    for roof in roofs:
        hue = PRECISIONS.get(roof.precision, INK)
        reach = _grid(max(x.low, roof.level * y.low / 2), min(x.high, roof.level * y.high / 2))
        rows = [{"macs": macs, "s": 2 * macs / roof.level} for macs in reach]
        line = {"type": "line", "stroke": hue, "strokeWidth": 1.8, "aria": False}
        reach = [reach[0] * (reach[1] / reach[0]) ** 0.03] if reach else []
        said = [{"macs": macs, "s": 2 * macs / roof.level, "text": f"{roof.precision} ceiling"} for macs in reach]
        word = text_layer(said, x.channel(), y.channel(), angle=angle, dx=14, dy=9, fontSize=11)
        layers += [marks(rows, line, {"x": x.channel(), "y": y.channel()}), word]
    known = ", ".join(roof.text for roof in roofs)
    several = "lines are the measured ceilings" if len(roofs) > 1 else "line is the measured ceiling"
    return layers, f". The solid {several} ({known}): near the line of its colour a mark has little left to win"


def _diagonal_boxes(roof: float, x: Axis, y: Axis) -> list[tuple[float, float, float, float]]:
    """Where a ceiling's line is, in pixels, so that names keep away."""
    low, high = max(x.low, roof * y.low / 2), min(x.high, roof * y.high / 2)
    steps = [low * (high / low) ** (step / 120) for step in range(121)] if low < high else []
    places = [(x.place(macs), y.length - y.place(2 * macs / roof)) for macs in steps]
    return [(px - 3, py - 3, px + 3, py + 3) for px, py in places]


def _seconds(point: Point) -> float:
    assert point.latency is not None
    return point.latency.value


def _named(shown: Sequence[Point]) -> list[tuple[float, float, str]]:
    """What stands beside each mark: the network, with the batch where there are several."""
    several = len({point.batch for point in shown}) > 1
    return [
        (float(point.macs or 0), _seconds(point), f"{point.model} b{point.batch}" if several else point.model)
        for point in shown
    ]


def _value(point: Point) -> dict[str, Any]:
    """The mark of a case."""
    assert point.latency is not None
    assert point.macs
    median, low = point.latency.value, point.latency.low
    time = format_known(median, low, point.latency.high, "s")
    achieved = achieved_text(point)
    return {
        "macs": point.macs,
        "s": median,
        "low": low if low is not None and low > 0 else median,
        "high": point.latency.high or median,
        "precision": point.record.key.precision.value,
        "backend": point.record.key.backend,
        "label": f"{point.case}: {time}, {format_count(point.macs)} MACs, {achieved}",
    }


def _row(point: Point) -> tuple[str, ...]:
    """The case in the table."""
    assert point.latency is not None
    assert point.macs
    median = point.latency.value
    return (
        point.case,
        format_known(median, point.latency.low, point.latency.high, "s"),
        format_half_width(median, point.latency.low, point.latency.high),
        format_count(point.macs),
        achieved_text(point),
    )


def _iso_lines(x: Axis, y: Axis) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Lines of equal achieved FLOP/s and their words."""
    lines: list[dict[str, Any]] = []
    words: list[dict[str, Any]] = []
    for rate in _rates(x.low, x.high, y.low, y.high):
        reach = _grid(max(x.low, rate * y.low / 2), min(x.high, rate * y.high / 2))
        lines += [{"macs": macs, "s": 2 * macs / rate, "rate": rate} for macs in reach]
        if x.place(reach[-1]) - x.place(reach[0]) > _ROOM and x.length - x.place(reach[-1]) < x.length - _ROOM:
            words.append({"macs": reach[-1], "s": min(2 * reach[-1] / rate, y.high / 1.04), "text": _round_rate(rate)})
    return lines, words


def _rates(x_low: float, x_high: float, y_low: float, y_high: float) -> list[float]:
    """Powers of ten whose lines cross the picture, at most six."""
    first, last = math.ceil(math.log10(2 * x_low / y_high)), math.floor(math.log10(2 * x_high / y_low))
    powers = list(range(first, last + 1))
    found = [10.0**power for power in powers[:: max(1, math.ceil(len(powers) / 6))]]
    return [rate for rate in found if max(x_low, rate * y_low / 2) < min(x_high, rate * y_high / 2)]


def _grid(low: float, high: float) -> list[float]:
    return [low, high] if low < high else []


def _round_rate(rate: float) -> str:
    """A power of ten without decimals that say nothing: "10 GFLOP/s"."""
    number, _, unit = format_flops_per_s(rate).partition(" ")
    return f"{float(number):g} {unit}"
