"""Which configurations are best in accuracy, latency and memory together, and how sure is that?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchbox.report.material import Accuracy, Material, Point, one_at_a_time, usable
from benchbox.report.plots.base import QUIET, Picture, Slider, marks, precision_scale, whole
from benchbox.report.plots.scales import Axis, bar_boxes, linear_axis, log_axis, word_layers, words_beside
from benchbox.schema.reading import Reading
from benchbox.schema.record import reading_of
from benchbox.units import format_bytes, format_half_width, format_known, format_percent, format_share

# Members whose place is as good as certain are named.
_LIKELY = 0.5
_READING = (
    "Filled marks are on the front, fainter the less sure; up and to the left is better, a smaller area needs less "
    "memory; grey rings are on it with less than 5 %. The steps are the best accuracy by latency. Bars are 95 % "
    "intervals."
)


def draw(points: Sequence[Point], material: Material) -> Picture | None:
    """Accuracy against latency, area by peak memory; members of the front in colour, the others grey."""
    shown = [
        (point, point.latency, point.accuracy)
        for point in one_at_a_time(points)
        if point.latency is not None and point.accuracy is not None
    ]
    if not any(point.record.id in material.front for point, _, _ in shown):
        return None
    values, rows = _values_and_rows(shown, material)
    members = [row for row in values if row["chance"]]
    others = [row for row in values if not row["chance"]]
    x = log_axis("s", "median latency", [row[end] for row in values for end in ("low", "high")], "s")
    reach = [row[end] for row in values for end in ("bottom", "top")]
    y = linear_axis("top1", "top-1 accuracy", reach, "%", vertical=True)
    across, up = x.channel(), y.channel()
    colour = {
        "field": "precision", "type": "nominal", "title": "precision",
        "scale": precision_scale([row["precision"] for row in members]),
    }  # fmt: skip
    most = max(row["memory"] for row in values) or 1.0
    area = {
        "field": "memory", "type": "quantitative", "legend": None,
        "scale": {"type": "linear", "domain": [0, most], "range": [30, 500]},
    }  # fmt: skip
    opacity = {
        "field": "chance", "type": "quantitative", "legend": None,
        "scale": {"type": "linear", "domain": [0, 1], "range": [0.37, 1]},
    }  # fmt: skip
    named = [(row["s"], row["top1"], row["text"]) for row in members if row["chance"] >= _LIKELY]
    taken = bar_boxes([(row["top1"], row["low"], row["high"]) for row in values], x, y, upright=False)
    taken += bar_boxes([(row["s"], row["bottom"], row["top"]) for row in values], x, y, upright=True)
    circles = [(x.place(row["s"]), y.length - y.place(row["top1"])) for row in values]
    taken += [(px - 12, py - 12, px + 12, py + 12) for px, py in circles]
    steps = _staircase(members)
    thin = {"type": "rule", "strokeWidth": 1.2, "aria": False}
    layers = [
        marks(steps, {"type": "line", "stroke": QUIET, "strokeWidth": 1, "interpolate": "step-after", "aria": False},
              {"x": across, "y": up}),
        marks(others, thin | {"stroke": QUIET}, {"x": {**across, "field": "low"}, "x2": {"field": "high"}, "y": up}),
        marks(members, thin, {"x": {**across, "field": "low"}, "x2": {"field": "high"}, "y": up, "color": colour}),
        marks(members, thin, {"x": across, "y": {**up, "field": "bottom"}, "y2": {"field": "top"}, "color": colour}),
        marks(others, {"type": "point", "stroke": QUIET, "filled": False, "opacity": 1},
              {"x": across, "y": up, "size": area, "description": {"field": "label"}}),
        marks(members, {"type": "point", "filled": True},
              {"x": across, "y": up, "size": area, "color": colour, "opacity": opacity,
               "description": {"field": "label"}}),
        *word_layers(words_beside(named, x, y, [14.0] * len(named), above=True, avoid=taken), across, up),
    ]  # fmt: skip
    without = len(one_at_a_time(points)) - len(shown)
    return Picture(
        name="front",
        title="Front of accuracy, latency and memory",
        reading=_READING + (f" Without a known accuracy, and so not here: {without}." if without else ""),
        specification=whole([layer for layer in layers if layer["data"]["values"]]),
        columns=("case", "p50", "interval", "top-1", "source", "peak memory", "on the front"),
        rows=tuple(rows),
        sliders=_sliders(values, x, y),
        bounds=tuple(tuple(map(_short, (row["high"], row["bottom"], row["most"]))) for row in values),
    )


def _sliders(values: Sequence[Mapping[str, Any]], x: Axis, y: Axis) -> tuple[Slider, ...]:
    """Limits of latency, accuracy and, where it was measured, memory."""
    sizes = [row["most"] for row in values if row["most"]]
    found = [
        Slider(name="latency", title="latency at most", unit="s", low=x.low, high=x.high, at_most=True, column=1,
               best="Fastest", axis="x", length=x.length),
        Slider(name="accuracy", title="top-1 at least", unit="%", low=y.low, high=y.high, at_most=False, column=3,
               best="most accurate", axis="y", length=y.length),
    ]  # fmt: skip
    if sizes and min(sizes) < max(sizes):
        low, high = 0.95 * min(sizes), 1.05 * max(sizes)
        found.append(
            Slider(name="memory", title="memory at most", unit="B", low=low, high=high, at_most=True, column=5,
                   best="smallest")
        )  # fmt: skip
    return tuple(found)


def _short(bound: float | None) -> float | None:
    """Without digits that only lengthen the page."""
    return None if bound is None else float(f"{bound:.5g}")


def _staircase(members: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """The most accurate of the likely members up to each latency; none where there are fewer than two."""
    rows: list[dict[str, float]] = []
    for row in sorted(members, key=lambda row: (row["s"], -row["top1"])):
        if row["chance"] >= _LIKELY and (not rows or row["top1"] > rows[-1]["top1"]):
            rows.append({"s": row["s"], "top1": row["top1"]})
    return rows if len(rows) > 1 else []


def _values_and_rows(
    shown: Sequence[tuple[Point, Reading, Accuracy]], material: Material
) -> tuple[list[dict[str, Any]], list[tuple[str, ...]]]:
    """The marks and the table."""
    values: list[dict[str, Any]] = []
    rows: list[tuple[str, ...]] = []
    for point, latency, accuracy in shown:
        chance = material.front.get(point.record.id, 0.0)
        memory = usable(reading_of(point.record, "peak_device_memory"))
        memory = memory or usable(reading_of(point.record, "peak_host_memory"))
        size = format_bytes(memory.value if memory else None)
        time = format_known(latency.value, latency.low, latency.high, "s")
        top1, place = format_percent(accuracy.value, 1), format_share(chance) if chance else "dominated"
        values.append(
            {
                "s": latency.value,
                "low": latency.low if latency.low is not None and latency.low > 0 else latency.value,
                "high": latency.high or latency.value,
                "top1": accuracy.value,
                "bottom": accuracy.low if accuracy.low is not None else accuracy.value,
                "top": accuracy.high if accuracy.high is not None else accuracy.value,
                "memory": memory.value if memory else 0.0,
                "most": (memory.high or memory.value) if memory else None,
                "chance": chance,
                "precision": point.record.key.precision.value,
                "text": f"{point.model} {point.record.key.precision.value} b{point.batch}",
                "label": f"{point.case}: {time}, top-1 {top1}, {size}" + (f", on the front: {place}" if chance else ""),
            }
        )
        width = format_half_width(latency.value, latency.low, latency.high)
        rows.append((point.case, time, width, top1, accuracy.source, size, place))
    return values, rows
