"""What is a picture of the page, and which colours, sizes and words do all of them share?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchbox.report.material import Material, Point

Specification = dict[str, Any]

WIDTH, HEIGHT = 800, 420
BARS = 620  # width where names stand at the left
_LETTER = 7.2  # pixels of a letter in the widest of the usual fonts
INK, QUIET, GRID = "var(--ink, #1f2328)", "var(--quiet, #59636e)", "var(--grid, #e3e6ea)"
# Okabe and Ito's palette, each a variable of the page so that dark mode can lighten it.
PRECISIONS: Mapping[str, str] = {
    "fp32": "var(--c1, #0072B2)",
    "tf32": "var(--c2, #3a86b8)",
    "fp16": "var(--c3, #b45f06)",
    "bf16": "var(--c4, #D55E00)",
    "int8": "var(--c5, #00805f)",
    "fp8": "var(--c6, #a8518a)",
}
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
# Networks of one line of work share a hue in every picture.
_LINES: Mapping[str, str] = {
    "zfnet": "alexnet",
    "googlenet": "inception",
    "inception_v4": "inception",
    "mobilenet_v3": "mobilenet",
    "preact_resnet": "resnet",
}
_HUES: Mapping[str, str] = {
    "alexnet": "var(--f1, #7a5195)",
    "enet": "var(--f2, #8a6d00)",
    "inception": "var(--f3, #b45f06)",
    "lenet": "var(--f4, #6b6f76)",
    "mobilenet": "var(--f5, #0072B2)",
    "nin": "var(--f6, #a8518a)",
    "resnet": "var(--f7, #00805f)",
    "shufflenet": "var(--f8, #2a8fbd)",
    "squeezenet": "var(--f9, #c0392b)",
    "vgg": "var(--f10, #5a4fcf)",
}
OTHERS = "other"


@dataclass(frozen=True, kw_only=True)
class Slider:
    """A limit that a reader can set on a picture, where scripts run: from ``low`` to ``high``, at most or at least.

    ``name`` is the limit of ``benchbox choose``, ``unit`` of the values ("s", "B" or "%", of a ratio). ``axis`` is the
    picture's axis of it, "x" or "y", or "" for none, ``length`` the axis' pixels. ``column`` of the data has the value,
    of which the best is called ``best``.
    """

    name: str
    title: str
    unit: str
    low: float
    high: float
    at_most: bool
    column: int
    best: str
    axis: str = ""
    length: int = 0


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture of the measured cases of one machine.

    ``reading`` says in one sentence how to read it, ``rows`` are its data under ``columns``; the first cell of a row
    names the case, as the labels of the marks do before their first colon. ``sliders`` limit what is shown; ``bounds``
    are then, for each row, what its limits are compared with, in their order; None where it is not known.
    """

    name: str
    title: str
    reading: str
    specification: Specification
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sliders: tuple[Slider, ...] = ()
    bounds: tuple[tuple[float | None, ...], ...] = ()


Draw = Callable[[Sequence[Point], Material], "Picture | None"]


def family_of(model: str, material: Material) -> str:
    """The line of networks that a network belongs to; "other" outside the zoo."""
    spec = material.specs.get(model)
    line = _LINES.get(spec.family, spec.family) if spec else OTHERS
    return line if line in _HUES else OTHERS


def family_scale(families: Sequence[str]) -> Specification:
    """The colours of these families, the same in every picture."""
    shown = sorted(set(families), key=lambda name: (name == OTHERS, name))
    return {"domain": shown, "range": [_HUES.get(name, QUIET) for name in shown]}


def precision_scale(precisions: Sequence[str]) -> Specification:
    """The colours of these precisions."""
    shown = [name for name in PRECISIONS if name in precisions]
    shown += sorted({*precisions} - {*shown})
    return {"domain": shown, "range": [PRECISIONS.get(name, QUIET) for name in shown]}


def shape_scale(names: Sequence[str]) -> Specification:
    """A shape for each of these backends."""
    shown = sorted(set(names))
    return {"domain": shown, "range": [SHAPES[place % len(SHAPES)] for place in range(len(shown))]}


def names_axis(names: Sequence[str], *, grid: bool = False, most: int = 360) -> Specification:
    """An axis of names with room for them whatever the reader's font; those that need more than ``most`` are cut."""
    room = min(float(most), _LETTER * max(map(len, names), default=0))
    return {"labelLimit": most, "minExtent": math.ceil(room), "ticks": False, "grid": grid}


def whole(
    layers: Sequence[Specification], *, width: int = WIDTH, height: int = HEIGHT, right: int = 48
) -> Specification:
    """A complete specification of these layers, with so many pixels beside the right end for words."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": width,
        "height": height,
        "background": None,
        "padding": {"left": 16, "right": right, "top": 8, "bottom": 8},
        "layer": [*layers],
        "config": {
            "font": "system-ui, sans-serif",
            "view": {"stroke": None},
            "axis": {
                "labelColor": INK, "titleColor": INK, "gridColor": GRID, "domainColor": QUIET, "tickColor": QUIET,
                "labelFontSize": 12, "titleFontSize": 13, "titleFontWeight": "normal", "titlePadding": 10,
            },
            "legend": {
                "labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12,
                "titleFontWeight": "normal", "orient": "top", "symbolStrokeWidth": 0, "symbolFillColor": QUIET,
                "columnPadding": 26, "labelLimit": 360, "layout": {"top": {"margin": 48}},
            },
            "header": {"labelColor": INK, "titleColor": INK},
        },
    }  # fmt: skip


def marks(values: Sequence[Mapping[str, Any]], mark: Specification, encoding: Specification) -> Specification:
    """One layer of marks over rows."""
    return {"data": {"values": [*values]}, "mark": mark, "encoding": encoding}


def text_layer(values: Sequence[Mapping[str, Any]], x: Specification, y: Specification, **mark: Any) -> Specification:
    """Words in the picture: rows have ``text`` and the fields of both axes."""
    drawn = {
        "type": "text",
        "aria": False,
        "fontSize": 11.5,
        "align": "left",
        "baseline": "middle",
        "fill": INK,
        **mark,
    }
    return marks(values, drawn, {"x": x, "y": y, "text": {"field": "text"}})
