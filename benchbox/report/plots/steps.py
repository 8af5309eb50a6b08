"""How much of the outputs' precision does each conversion step of a network lose?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchbox.report.material import Material, Point
from benchbox.report.plots.base import BARS, PRECISIONS, Picture, Specification, marks, names_axis, shape_scale, whole
from benchbox.report.plots.scales import log_axis
from benchbox.schema.artifact import Hop
from benchbox.schema.identity import identity_of
from benchbox.units import ABSENT

_MOST = 40
_ROW = 20


def draw(points: Sequence[Point], material: Material) -> Picture | None:
    """Relative error of each step from PyTorch to what ran, a row for each case that has any."""
    del material
    found: dict[tuple[object, ...], tuple[Point, tuple[Hop, ...]]] = {}
    for point in points:
        hops = point.record.correctness.hops
        key = point.record.key
        if hops:
            # Batches and threads of one network nearly repeat its steps: the worst of them is shown.
            kind = (key.model, key.backend, key.precision.value, identity_of(point.record).variant)
            if kind not in found or max(map(_size, hops)) > max(map(_size, found[kind][1])):
                found[kind] = (point, hops)
    cases = sorted(found.values(), key=lambda entry: -max(map(_size, entry[1])))
    many = len(cases)
    cases = cases[:_MOST]
    values: list[dict[str, Any]] = [
        {
            "case": point.case,
            "error": hop.rel_l2_error,
            "step": f"{hop.source} → {hop.target}",
            "label": f"{point.case}: {hop.source} → {hop.target}, relative error {hop.rel_l2_error:.2g}",
        }
        for point, hops in cases
        for hop in hops
        if _size(hop)
    ]
    if not values:
        return None
    return Picture(
        name="steps",
        title="Precision lost in each conversion step",
        reading="A mark is the error of a step's outputs against those before it, further right is worse, the axis is "
        "logarithmic; steps without any error are only in the data, of several batches the worst is shown"
        + (f"; the {_MOST} worst of {many} cases." if many > _MOST else "; the worst case first."),
        specification=_specification(values),
        columns=("case", "step", "relative error", "largest error", "cosine", "passed"),
        rows=tuple(
            (
                point.case,
                f"{hop.source} → {hop.target}",
                _shown(hop.rel_l2_error),
                _shown(hop.max_abs_error),
                _shown(hop.cosine, digits=7),
                "yes" if hop.passed else "no",
            )
            for point, hops in cases
            for hop in hops
        ),
    )


def _specification(values: Sequence[dict[str, Any]]) -> Specification:
    x = log_axis("error", "relative error of the outputs (L2)", [row["error"] for row in values], "")
    across = x.channel(labelExpr="format(datum.value, '.0e')")
    up = {
        "field": "case", "type": "nominal", "title": None,
        "sort": list(dict.fromkeys(row["case"] for row in values)),
        "axis": names_axis([row["case"] for row in values], grid=True),
    }  # fmt: skip
    steps_shown = [row["step"] for row in values]
    return whole(
        [
            marks(
                values,
                {"type": "point", "filled": True, "size": 70, "opacity": 1},
                {
                    "x": across,
                    "y": up,
                    "shape": {
                        "field": "step",
                        "type": "nominal",
                        "title": "step",
                        "scale": shape_scale(steps_shown),
                        "legend": {"columns": 2, "labelLimit": 360, "columnPadding": 90},
                    },
                    "color": {
                        "field": "step",
                        "type": "nominal",
                        "title": "step",
                        "scale": _colours(steps_shown),
                        "legend": {"columns": 2, "labelLimit": 360, "columnPadding": 90},
                    },
                    "description": {"field": "label"},
                },
            )
        ],
        width=BARS,
        height=_ROW * len({row["case"] for row in values}) + 10,
    )


def _colours(steps: Sequence[str]) -> dict[str, Any]:
    # One colour fewer than shapes: their pairs do not repeat before thirty steps.
    shown, palette = sorted(set(steps)), [*PRECISIONS.values()]
    return {"domain": shown, "range": [palette[place % (len(palette) - 1)] for place in range(len(shown))]}


def _size(hop: Hop) -> float:
    """The error where it can be drawn on a logarithmic axis, else 0."""
    return hop.rel_l2_error if math.isfinite(hop.rel_l2_error) and hop.rel_l2_error > 0 else 0.0


def _shown(value: float, *, digits: int = 2) -> str:
    return f"{value:.{digits}g}" if math.isfinite(value) else ABSENT
