"""How did a case's latency move from night to night, and where did its level change?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from benchbox.report.material import Material, Point
from benchbox.report.plots.base import INK, QUIET, Picture, Specification, whole
from benchbox.report.plots.scales import with_unit
from benchbox.schema.verdict import HistoryPoint, LevelChange, Series
from benchbox.units import ABSENT, format_change, format_changes, format_half_width, format_time

# Series that can be looked at; those with changes of level, then the longest, are shown.
_MOST = 12
_WIDTH, _HEIGHT = 800, 84
_POINT = "var(--c1, #0072B2)"


def draw(points: Sequence[Point], material: Material) -> Picture | None:
    """A row for each case that was measured again and again: nights with intervals, levels, steps, environments."""
    names = {point.record.id: point.case for point in points}
    found = [
        (next(names[one.record] for one in reversed(series.points) if one.record in names), series)
        for series in material.series
        if any(one.record in names for one in series.points)
    ]
    if not found:
        return None
    found.sort(key=lambda pair: (-len(pair[1].changes), -len(pair[1].points), pair[0]))
    many = len(found)
    found = found[:_MOST]
    return Picture(
        name="history",
        title="History",
        reading="A row is a case, a point the median latency of one night with its 95 % interval, a horizontal line a "
        "level that lasted, with by how much it left the one before; at a dashed line the environment changed"
        + (f"; {_MOST} of {many} cases, those with changes first." if many > _MOST else "."),
        specification=_rows_of([row for case, series in found for row in _values(case, series)]),
        columns=("case", "night", "commit", "p50", "interval", "n", "change of level"),
        rows=tuple(row for case, series in found for row in _table(case, series)),
    )


def _values(case: str, series: Series) -> list[dict[str, Any]]:
    """What is drawn of a series, by ``kind``: points, levels between changes, and changes of the environment."""
    shared = {"case": case}
    rows: list[dict[str, Any]] = [
        {
            **shared,
            "kind": "point",
            "at": one.at,
            "value": one.value,
            "low": one.value if one.low is None else one.low,
            "high": one.value if one.high is None else one.high,
            "label": f"{case}: {format_time(one.value)} in the night of {_night(one)}",
        }
        for one in series.points
    ]
    changes = {change.index: change for change in series.changes}
    ends = [0, *changes, len(series.points)]
    for first, after in pairwise(ends):
        part = series.points[first:after]
        level = statistics.median(one.value for one in part)
        rows.append({**shared, "kind": "level", "at": part[0].at, "until": part[-1].at, "value": level})
        if first in changes:
            ratio = changes[first].ratio
            said = f"{case}: {_step(changes[first])} from the night of {_night(part[0])}"
            text = {"text": format_change(ratio), "label": said}
            rows.append({**shared, "kind": "step", "at": part[0].at, "value": level, **text})
    rows += [{**shared, "kind": "epoch", "at": series.points[index].at} for index in series.epochs]
    return rows


def _rows_of(values: Sequence[dict[str, Any]]) -> Specification:
    """A row for each case, whose axis of latency is its own, over one calendar."""
    across: Specification = {"field": "at", "type": "temporal", "title": "measured (UTC)"}
    across["scale"] = {"type": "utc", "padding": 14}
    across["axis"] = {
        "labelExpr": "utcFormat(datum.value, utchours(datum.value) ? '%H:%M' : '%d %b')", "labelOverlap": "greedy",
        "tickCount": 8,
    }  # fmt: skip
    up: Specification = {
        "field": "value", "type": "quantitative", "title": None, "scale": {"zero": False, "padding": 8},
        "axis": {"labelExpr": with_unit("s"), "tickCount": 3},
    }  # fmt: skip

    def layer(kind: str, mark: Specification, encoding: Specification) -> Specification:
        return {"transform": [{"filter": f"datum.kind == '{kind}'"}], "mark": mark, "encoding": encoding}

    layers = [
        layer("epoch", {"type": "rule", "stroke": QUIET, "strokeDash": [4, 3], "aria": False}, {"x": across}),
        layer("level", {"type": "rule", "stroke": INK, "strokeWidth": 1.5, "opacity": 0.6, "aria": False},
              {"x": across, "x2": {"field": "until"}, "y": up}),
        layer("point", {"type": "rule", "stroke": _POINT, "strokeWidth": 1.5, "aria": False},
              {"x": across, "y": {**up, "field": "low"}, "y2": {"field": "high"}}),
        layer("point", {"type": "point", "filled": True, "fill": _POINT, "size": 45, "opacity": 1},
              {"x": across, "y": up, "description": {"field": "label"}}),
        layer("step", {"type": "text", "align": "left", "dx": 7, "dy": -9, "fill": INK, "fontSize": 12},
              {"x": across, "y": up, "text": {"field": "text"}, "description": {"field": "label"}}),
    ]  # fmt: skip
    base = {name: value for name, value in whole([]).items() if name not in {"layer", "width", "height"}}
    return {
        **base,
        "data": {"values": [*values]},
        "facet": {
            "row": {
                "field": "case", "type": "nominal", "title": None,
                "sort": list(dict.fromkeys(row["case"] for row in values)),
                "header": {"labelAngle": 0, "labelAnchor": "start", "labelOrient": "top", "labelFontSize": 12,
                           "labelLimit": _WIDTH},
            }
        },
        "spec": {"width": _WIDTH, "height": _HEIGHT, "layer": layers},
        "resolve": {"scale": {"y": "independent"}},
        "spacing": 12,
    }  # fmt: skip


def _table(case: str, series: Series) -> list[tuple[str, ...]]:
    changes = {change.index: change for change in series.changes}
    return [
        (
            case,
            _night(one),
            one.commit[:12] or ABSENT,
            format_time(one.value),
            format_half_width(one.value, one.low, one.high),
            str(one.n),
            _step(changes[index]) if index in changes else "",
        )
        for index, one in enumerate(series.points)
    ]


def _night(point: HistoryPoint) -> str:
    """Its day; of a point that is a record's, when that was taken."""
    return point.night or point.at[:16].replace("T", " ")


def _step(change: LevelChange) -> str:
    """By how much the level changed, and what became of it: "+9.9 % (+8.1 to +11.9 %), new"."""
    known = format_changes(change.low, change.high)
    return f"{format_change(change.ratio)}{f' ({known})' if known else ''}, {change.state.value}"
