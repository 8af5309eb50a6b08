"""How far apart are the processes that a median was taken over?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.material import Material, Point, one_at_a_time
from benchbox.report.plots.base import BARS, INK, Picture, marks, names_axis, precision_scale, whole
from benchbox.report.plots.scales import linear_axis
from benchbox.units import format_change, format_time

# Rows that can be looked at; those whose processes differ the most are shown.
_MOST = 40
_ROW = 20


def draw(points: Sequence[Point], material: Material) -> Picture | None:
    """One dot for the median of each process, relative to the case's reported median."""
    found = [
        (point, point.latency.value, material.medians_s[point.record.id])
        for point in one_at_a_time(points)
        if point.latency is not None and len(material.medians_s.get(point.record.id, ())) > 1
    ]
    if not found:
        return None
    found.sort(key=lambda entry: -max(entry[2]) / min(entry[2]))
    left_out = len(found) - _MOST
    found = found[:_MOST]
    values = [
        {
            "case": point.case,
            "ratio": one / median,
            "precision": point.record.key.precision.value,
            "label": f"{point.case}: process at {format_time(one)}, {format_change(one / median)} of p50",
        }
        for point, median, medians in found
        for one in medians
    ]
    ratios = [one / median for _, median, medians in found for one in medians]
    x = linear_axis("ratio", "median of a process / p50 of the case", [*ratios, 1.0], "")
    across = {**x.channel(), "axis": {"tickCount": 6, "format": ".2f"}}
    up = {
        "field": "case", "type": "nominal", "title": None, "sort": [point.case for point, _, _ in found],
        "axis": names_axis([point.case for point, _, _ in found], grid=True),
    }  # fmt: skip
    colour = {
        "field": "precision", "type": "nominal", "title": "precision",
        "scale": precision_scale([point.record.key.precision.value for point, _, _ in found]),
    }  # fmt: skip
    return Picture(
        name="distribution",
        title="Processes behind each median",
        reading="One dot is the median of one fresh process; dots that lie apart on a line are what the interval is "
        "made of"
        + (f"; the {_MOST} widest of {left_out + _MOST} cases." if left_out > 0 else "; the widest case first."),
        specification=whole(
            [
                marks(
                    [{"ratio": 1.0}], {"type": "rule", "stroke": INK, "strokeWidth": 1, "aria": False}, {"x": across}
                ),
                marks(
                    values,
                    {"type": "point", "filled": True, "size": 55, "opacity": 0.75},
                    {"x": across, "y": up, "color": colour, "description": {"field": "label"}},
                ),
            ],
            width=BARS,
            height=_ROW * len(found) + 10,
        ),
        columns=("case", "p50", "processes", "fastest", "slowest"),
        rows=tuple(
            (point.case, format_time(median), str(len(medians)), format_time(min(medians)), format_time(max(medians)))
            for point, median, medians in found
        ),
    )
