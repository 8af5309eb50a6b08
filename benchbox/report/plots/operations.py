"""Do operations predict time? As Canziani, Paszke and Culurciello drew it: operations against measured time, linear."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from benchbox.report.material import Material, Point, one_at_a_time
from benchbox.report.plots.base import (
    HEIGHT,
    INK,
    QUIET,
    WIDTH,
    Picture,
    Specification,
    family_of,
    family_scale,
    marks,
    whole,
)
from benchbox.report.plots.scales import Axis, bar_boxes, word_layers, words_beside
from benchbox.schema.identity import identity_of
from benchbox.units import format_count, format_half_width, format_known

_LEAST = 3  # networks that make a picture
_GAP = 70
_SEVERAL = 2.5  # times the operations of the next network: further away a network is left out


def draw(points: Sequence[Point], material: Material) -> Picture | None:
    """Multiply-adds of a sample against its time in fp32, for the smallest and the largest batch of most networks."""
    panels = _panels(points)
    if not panels:
        return None
    width = WIDTH if len(panels) == 1 else (WIDTH - _GAP) // 2 + 20
    families = [family_of(point.model, material) for panel in panels for point in panel]
    rows: list[tuple[str, ...]] = []
    parts, fits = [], []
    outside: dict[str, dict[str, Any]] = {}
    for panel in panels:
        values = [_value(point, material) for point in panel]
        inside = _inside(values)
        outside |= {row["model"]: row for row in values if row not in inside}
        slope, r2 = _fit(inside)
        fits.append(
            f"{format_known(slope * 1e9, None, None, 's')} for each G multiply-adds at batch {panel[0].batch}, "
            f"R² {_digits(r2)}"
        )
        parts.append(_panel(inside, slope, panel[0].batch, width, families))
        for point, row in zip(panel, values, strict=True):
            assert point.latency is not None
            rows.append(
                (
                    point.case, str(point.batch), row["time"],
                    format_half_width(point.latency.value, point.latency.low, point.latency.high),
                    format_count(row["y"]), format_count(row["params"]),
                    f"{row['x'] / (slope * row['y']):.2f}×",
                )
            )  # fmt: skip
    base = {name: value for name, value in whole([]).items() if name not in {"layer", "width", "height"}}
    return Picture(
        name="operations-time",
        title="Operations against time",
        reading="Both axes are linear, the area of a blob is the number of parameters; fp32. If operations alone set "
        f"the time, all marks were on the dashed line through the origin ({'; '.join(fits)}); a network to its right "
        "is slower than its operations say."
        + (
            f" Not drawn and not in the fit, but in the data: {', '.join(outside)}, with several times the operations "
            "of all others."
            if outside
            else ""
        ),
        specification={**base, "hconcat": parts, "spacing": 36},
        columns=("case", "batch", "for each sample", "interval", "MACs", "parameters", "time / line"),
        rows=tuple(rows),
    )


def _panels(points: Sequence[Point]) -> list[list[Point]]:
    """The fp32 cases of one backend and thread count, at the smallest batch and at the largest, a network once each."""
    groups: dict[tuple[object, ...], dict[int, dict[str, Point]]] = {}
    for point in one_at_a_time(points):
        case = identity_of(point.record)
        if case.precision.value == "fp32" and point.macs and point.params:
            key = (case.backend, case.threads, case.transfer, case.like, case.variant)
            groups.setdefault(key, {}).setdefault(point.batch, {})[point.model] = point
    best = max(groups.values(), key=lambda batches: (max(map(len, batches.values())), len(batches)), default={})
    large = {batch: [*found.values()] for batch, found in best.items() if len(found) >= _LEAST}
    return [large[batch] for batch in sorted({min(large), max(large)})] if large else []


def _value(point: Point, material: Material) -> dict[str, Any]:
    assert point.latency is not None
    assert point.macs
    assert point.params
    latency, batch = point.latency, point.batch
    low, high = (None if end is None else end / batch for end in (latency.low, latency.high))
    time = format_known(latency.value / batch, low, high, "s")
    macs = point.macs / batch
    return {
        "x": latency.value / batch, "y": macs, "params": point.params, "family": family_of(point.model, material),
        "low": latency.value / batch if low is None else low, "high": latency.value / batch if high is None else high,
        "model": point.model, "time": time,
        "label": f"{point.case}: {time} for each sample, {format_count(macs)} MACs, "
        f"{format_count(point.params)} parameters",
    }  # fmt: skip


def _inside(values: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All but what would squeeze the others into a corner of linear axes, and alone decide the fit."""
    ranked = sorted(values, key=lambda row: row["y"])
    while len(ranked) > _LEAST and ranked[-1]["y"] > _SEVERAL * ranked[-2]["y"]:
        ranked.pop()
    return [row for row in values if row in ranked]


def _fit(values: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Seconds for each multiply-add by least squares through the origin, and the squared correlation."""
    slope = sum(row["x"] * row["y"] for row in values) / sum(row["y"] ** 2 for row in values)
    xs, ys = [row["x"] for row in values], [row["y"] for row in values]
    varied = len(set(xs)) > 1 and len(set(ys)) > 1
    return slope, statistics.correlation(xs, ys) ** 2 if varied else 0.0


def _digits(r2: float) -> str:
    """Never rounded to 1: "> 0.99"."""
    return f"{r2:.2f}" if r2 < 0.995 else "> 0.99"


def _panel(
    values: Sequence[dict[str, Any]], slope: float, batch: int, width: int, families: Sequence[str]
) -> Specification:
    """One batch."""
    x = _axis("x", "time for each sample", max(row["high"] for row in values), "s", width)
    y = _axis("y", "multiply-adds of a sample (MACs)", max(row["y"] for row in values), " ", HEIGHT)
    across, up = x.channel(tickCount=5), y.channel()
    most = max(row["params"] for row in values)
    colour: Specification = {
        "field": "family", "type": "nominal", "title": "family", "scale": family_scale(families),
    }  # fmt: skip
    size: Specification = {
        "field": "params", "type": "quantitative", "legend": None,
        "scale": {"type": "linear", "domain": [0, most], "range": [20, 1600]},
    }  # fmt: skip
    bars = bar_boxes([(row["y"], row["low"], row["high"]) for row in values], x, y, upright=False)
    end = min(y.high, x.high / slope)
    line: list[dict[str, float]] = [{"x": 0.0, "y": 0.0}, {"x": slope * end, "y": end}]
    centre = {"type": "point", "filled": True, "size": 10, "fill": INK, "opacity": 1, "aria": False}
    named = [(row["x"], row["y"], row["model"]) for row in sorted(values, key=lambda row: -row["y"])]
    radii = [max(5.0, 0.5 * (20 + 1580 * row["params"] / most) ** 0.5) for row in sorted(values, key=lambda r: -r["y"])]
    return {
        "title": {"text": f"batch {batch}", "color": INK, "fontWeight": "normal", "fontSize": 13, "anchor": "start"},
        "width": width,
        "height": HEIGHT,
        "layer": [
            marks(line, {"type": "line", "stroke": QUIET, "strokeDash": [5, 4], "strokeWidth": 1.2, "aria": False},
                  {"x": across, "y": up}),
            marks(values, {"type": "rule", "strokeWidth": 1.2, "aria": False},
                  {"x": {**across, "field": "low"}, "x2": {"field": "high"}, "y": up, "color": colour}),
            marks(values, {"type": "point", "filled": True, "opacity": 0.6},
                  {"x": across, "y": up, "color": colour, "size": size, "description": {"field": "label"}}),
            marks(values, centre, {"x": across, "y": up}),
            *word_layers(words_beside(named, x, y, radii, avoid=bars), across, up),
        ],
    }  # fmt: skip


def _axis(field: str, title: str, most: float, suffix: str, length: int) -> Axis:
    """From zero to a little above the most."""
    return Axis(field=field, title=title, low=0.0, high=1.12 * most, suffix=suffix, log=False, length=length)
