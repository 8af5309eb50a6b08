"""How much memory does a case take, and how much of that does the network itself need?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.material import Material, Point, usable
from benchbox.report.plots.base import BARS, INK, Picture, marks, names_axis, precision_scale, whole
from benchbox.schema.record import reading_of
from benchbox.units import format_bytes, format_factor

_MOST = 40
_ROW = 20
_MIB = 2**20


def draw(points: Sequence[Point], material: Material) -> Picture | None:
    """Bars of measured peak memory with a mark at the analytical weights and activations."""
    found = _sizes(points)
    if not found:
        return None
    found.sort(key=lambda entry: -entry[1])
    many = len(found)
    found = found[:_MOST]
    values = [
        {
            "case": point.case,
            "measured": measured / _MIB,
            "paper": paper / _MIB,
            "precision": point.record.key.precision.value,
            "label": f"{point.case}: {format_bytes(measured)} measured, {format_bytes(paper)} analytical",
        }
        for point, measured, paper in found
    ]
    up = {
        "field": "case", "type": "nominal", "title": None, "sort": [point.case for point, _, _ in found],
        "axis": names_axis([point.case for point, _, _ in found]),
    }  # fmt: skip
    across = {"field": "measured", "type": "quantitative", "title": "peak memory (MiB)", "axis": {"tickCount": 6}}
    colour = {
        "field": "precision", "type": "nominal", "title": "precision",
        "scale": precision_scale([point.record.key.precision.value for point, _, _ in found]),
    }  # fmt: skip
    return Picture(
        name="memory",
        title="Memory, measured and analytical",
        reading="A bar is the peak of the process with its runtime, the vertical line analytical weights "
        "and peak activations"
        + (f"; the {_MOST} largest of {many} cases." if many > _MOST else "; the largest first."),
        specification=whole(
            [
                marks(
                    values,
                    {"type": "bar", "height": {"band": 0.7}, "opacity": 0.8},
                    {"x": across, "y": up, "color": colour, "description": {"field": "label"}},
                ),
                marks(
                    values,
                    {"type": "tick", "thickness": 3, "stroke": INK, "fill": INK, "aria": False},
                    {"x": {**across, "field": "paper"}, "y": up},
                ),
            ],
            width=BARS,
            height=_ROW * len(found) + 10,
        ),
        columns=("case", "measured", "analytical", "factor"),
        rows=tuple(
            (
                point.case,
                format_bytes(measured),
                format_bytes(paper),
                format_factor(measured / paper if paper else None),
            )
            for point, measured, paper in found
        ),
    )


def _sizes(points: Sequence[Point]) -> list[tuple[Point, float, int]]:
    """Bytes measured and analytical."""
    found: list[tuple[Point, float, int]] = []
    for point in points:
        reading = usable(reading_of(point.record, "peak_device_memory"))
        reading = reading or usable(reading_of(point.record, "peak_host_memory"))
        analytic = point.record.analytic
        if reading is not None and analytic is not None:
            found.append((point, reading.value, analytic.weight_bytes + analytic.peak_activation_bytes))
    return found
