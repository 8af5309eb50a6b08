"""Does a precision answer differently on the same pictures?

Results on the same pictures are compared picture by picture: only those that one has right and the other wrong say
anything, which shows a difference where two separate intervals overlap (McNemar 1947; ``stats/paired.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchbox.report.material import Material, Point
from benchbox.report.plots.base import BARS, INK, Picture, Specification, marks, names_axis, precision_scale, whole
from benchbox.report.plots.scales import linear_axis
from benchbox.schema.accuracy import AccuracyResult
from benchbox.stats.paired import PairedDifference, paired_difference
from benchbox.units import format_percent

_ROW = 26
_MOST = 40


def draw(points: Sequence[Point], material: Material) -> Picture | None:
    """Top-1 of each precision less that of fp32 on the same pictures, with its 95 % interval."""
    pairs = _pairs(points, material)[-_MOST:]
    if not pairs:
        return None
    values: list[dict[str, Any]] = [
        {
            "case": _name(other), "points": found.difference, "low": found.low, "high": found.high,
            "precision": other.precision.value,
            "label": f"{_name(other)}: {_points(found.difference)} against fp32, p = {found.p_value:.2g}",
        }
        for _, other, found in pairs
    ]  # fmt: skip
    reach = [0.0, *(row[end] for row in values for end in ("low", "high"))]
    x = linear_axis("points", "top-1 less that of fp32", reach, "%")
    across = x.channel(labelExpr="format(100 * datum.value, '+.2~f') + ' points'")
    up: Specification = {
        "field": "case", "type": "nominal", "title": None, "sort": [row["case"] for row in values],
        "axis": names_axis([row["case"] for row in values], grid=True),
    }  # fmt: skip
    colour: Specification = {
        "field": "precision", "type": "nominal", "title": "precision",
        "scale": precision_scale([row["precision"] for row in values]),
    }  # fmt: skip
    return Picture(
        name="pairs",
        title="Accuracy lost or won by a precision, on the same pictures",
        reading="A mark left of the line is less accurate than fp32; the bar is the 95 % interval of the difference, "
        "and one that crosses the line says nothing. p is McNemar's, by the pictures that one has right and the other "
        "wrong.",
        specification=whole(
            [
                marks([{"points": 0.0}], {"type": "rule", "stroke": INK, "strokeWidth": 1, "aria": False},
                      {"x": across}),
                marks(values, {"type": "rule", "strokeWidth": 1.5, "aria": False},
                      {"x": {**across, "field": "low"}, "x2": {"field": "high"}, "y": up, "color": colour}),
                marks(values, {"type": "point", "filled": True, "size": 70, "opacity": 1},
                      {"x": across, "y": up, "color": colour, "description": {"field": "label"}}),
            ],
            width=BARS,
            height=_ROW * len(values) + 10,
        ),
        columns=("case", "pictures", "top-1 of fp32", "top-1", "difference", "95 %", "answers that differ", "p"),
        rows=tuple(
            (
                _name(other), str(other.samples),
                format_percent(base.top1.value, 2), format_percent(other.top1.value, 2),
                _points(found.difference), f"{_points(found.low)} to {_points(found.high)}", str(found.differing),
                f"{found.p_value:.2g}",
            )
            for base, other, found in pairs
        ),
    )  # fmt: skip


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f} points"


def _name(result: AccuracyResult) -> str:
    parts = (result.model, result.backend, result.precision.value, result.variant)
    return " ".join(part for part in parts if part)


def _pairs(
    points: Sequence[Point], material: Material
) -> list[tuple[AccuracyResult, AccuracyResult, PairedDifference]]:
    """Each low precision beside fp32 of the same network and pictures, by the same backend where it has fp32 there."""
    shown = {point.model for point in points}
    newest: dict[tuple[str, str, str, str, str], AccuracyResult] = {}
    for one in material.answers:
        if one.right and one.model in shown:
            newest[one.model, one.data_sha256, one.backend, one.precision.value, one.variant] = one
    found = []
    for (model, data, backend, precision, _), other in newest.items():
        if precision == "fp32":
            continue
        bases = [base for key, base in newest.items() if key[:2] == (model, data) and key[3] == "fp32"]
        bases.sort(key=lambda base: base.backend != backend)
        if bases:
            found.append((bases[0], other, paired_difference(bases[0].right_pictures, other.right_pictures)))
    return sorted(found, key=lambda pair: (pair[1].model, pair[1].precision.value, pair[1].backend))
