"""What does a larger batch cost in time, memory, energy and power?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from benchbox.report.material import Material, Point, one_at_a_time, usable
from benchbox.report.plots.base import HEIGHT, INK, WIDTH, Picture, Specification, family_of, family_scale, marks, whole
from benchbox.report.plots.scales import Axis, log_axis, word_layers, words_stacked
from benchbox.schema.identity import identity_of
from benchbox.schema.reading import Reading
from benchbox.schema.record import reading_of
from benchbox.units import format_half_width, format_known

_MIB = 2.0**20
# Lines that can be told apart, and precisions that fit beside each other.
_MOST, _MOST_PANELS = 16, 3
_WIDTHS = (WIDTH, 360, 180)  # pixels of one panel of so many
_BESIDE = 150  # pixels for the names of lines


def draw_time(points: Sequence[Point], material: Material) -> Picture | None:
    """Time of one sample against the batch, in each precision."""
    return _against_batch(
        points, material, name="batch-time", title="Time for each sample against batch",
        reading="A falling line gains from larger batches, a level one does not; bars are 95 % intervals.",
        reading_of_point=lambda point: point.latency, per_sample=True, suffix="s", axis="median latency / batch",
        column="for each sample", unit="s",
    )  # fmt: skip


def draw_memory(points: Sequence[Point], material: Material) -> Picture | None:
    """Peak memory of the process against the batch, in each precision."""
    return _against_batch(
        points, material, name="batch-memory", title="Memory against batch",
        reading="Peak memory of the process (MiB) with runtime and weights; the slope is what each sample adds.",
        reading_of_point=_memory, scale=_MIB, suffix="", axis="peak memory (MiB)", column="peak memory", unit="bytes",
    )  # fmt: skip


def draw_energy(points: Sequence[Point], material: Material) -> Picture | None:
    """Energy of one sample against the batch, where it was counted."""
    return _against_batch(
        points, material, name="batch-energy", title="Energy for each sample against batch",
        reading="Joules for each sample, idle power included, by the counter that the records name; a falling line "
        "gains from larger batches; bars are 95 % intervals.",
        reading_of_point=lambda point: usable(reading_of(point.record, "energy_per_sample")), suffix="J",
        axis="energy of a sample", column="for each sample", unit="J",
    )  # fmt: skip


def draw_power(points: Sequence[Point], material: Material) -> Picture | None:
    """Mean power against the batch, where it was counted."""
    return _against_batch(
        points, material, name="batch-power", title="Power against batch",
        reading="Mean power while the network runs, idle power included, by the counter that the records name; "
        "bars are 95 % intervals.",
        reading_of_point=lambda point: usable(reading_of(point.record, "power_mean")), suffix="W",
        axis="mean power", column="power", unit="W",
    )  # fmt: skip


def _memory(point: Point) -> Reading | None:
    device = usable(reading_of(point.record, "peak_device_memory"))
    return device or usable(reading_of(point.record, "peak_host_memory"))


def _against_batch(
    points: Sequence[Point],
    material: Material,
    *,
    name: str,
    title: str,
    reading: str,
    reading_of_point: Callable[[Point], Reading | None],
    suffix: str,
    axis: str,
    column: str,
    unit: str,
    per_sample: bool = False,
    scale: float = 1.0,
) -> Picture | None:
    """A panel for each precision, in which every network with several batches has a line; heights compare."""
    panels = _panels(points, reading_of_point)
    if not panels:
        return None
    drawn, rows = [], []
    for _, lines in panels:
        values, own = _values_and_rows(lines[-_MOST:], material, per_sample=per_sample, scale=scale, unit=unit)
        drawn.append(values)
        rows += own
    every = [row for values in drawn for row in values]
    width = _WIDTHS[len(panels) - 1]
    x = dataclasses.replace(log_axis("batch", "batch", [row["batch"] for row in every], ""), length=width)
    y = log_axis("value", axis, [row[end] for row in every for end in ("low", "high")], suffix, vertical=True)
    families = [row["family"] for row in every]
    parts = [
        _panel(values, x, y, families, title=text, first=not place)
        for place, ((text, _), values) in enumerate(zip(panels, drawn, strict=True))
    ]
    base = {key: value for key, value in whole([], right=_BESIDE).items() if key not in {"layer", "width", "height"}}
    left_out = sum(max(0, len(lines) - _MOST) for _, lines in panels)
    return Picture(
        name=name,
        title=title,
        reading=f"{reading} In each precision the backend that has most networks is drawn"
        + (f", the {_MOST} newest of them." if left_out else "."),
        specification={**base, "hconcat": parts, "spacing": 24},
        columns=("case", "batch", column, "interval"),
        rows=tuple(rows),
    )


def _panel(
    values: Sequence[dict[str, Any]], x: Axis, y: Axis, families: Sequence[str], *, title: str, first: bool
) -> Specification:
    """The lines of one precision; the first has the words of the common axis."""
    across = x.channel(values=sorted({row["batch"] for row in values}), labelExpr="datum.value")
    up = y.channel(**({} if y.suffix else {"labelExpr": "format(datum.value, ',')"}))
    if not first:
        up = {**up, "title": None, "axis": {**up["axis"], "labels": False, "ticks": False}}
    colour = {"field": "family", "type": "nominal", "title": "family", "scale": family_scale(families)}
    last = {row["line"]: (row["batch"], row["value"], row["words"]) for row in values}
    words = words_stacked([*last.values()], x, y)
    return {
        "title": {"text": title, "color": INK, "fontWeight": "normal", "fontSize": 13, "anchor": "start"},
        "width": x.length,
        "height": HEIGHT,
        "layer": [
            marks(
                values,
                {"type": "line", "strokeWidth": 1.5, "aria": False},
                {"x": across, "y": up, "color": colour, "detail": {"field": "line"}},
            ),
            marks(
                values,
                {"type": "rule", "strokeWidth": 1.5, "aria": False},
                {"x": across, "y": {**up, "field": "low"}, "y2": {"field": "high"}, "color": colour},
            ),
            marks(
                values,
                {"type": "point", "filled": True, "size": 60, "opacity": 1},
                {"x": across, "y": up, "color": colour, "description": {"field": "label"}},
            ),
            *word_layers(words, across, up),
        ],
    }


_Line = list[tuple[Point, Reading]]


def _panels(
    points: Sequence[Point], reading_of_point: Callable[[Point], Reading | None]
) -> list[tuple[str, list[_Line]]]:
    """Of each precision the backend (and number of threads) with most lines: cases that differ in their batch only.

    At most so many precisions, those with most lines, fp32 first; the newest line last.
    """
    found: dict[tuple[object, ...], dict[object, _Line]] = {}
    for point in one_at_a_time(points):
        reading, case = reading_of_point(point), identity_of(point.record)
        if reading is not None:
            kind = (case.precision.value, case.backend, case.threads, case.transfer, case.like, case.variant)
            found.setdefault(kind, {}).setdefault((case.model, case.network), []).append((point, reading))
    best: dict[str, tuple[str, list[_Line]]] = {}
    for (precision, backend, *_), networks in found.items():
        lines = [line for line in networks.values() if len({point.batch for point, _ in line}) > 1]
        lines.sort(key=lambda line: max(point.record.started_at for point, _ in line))
        if lines and len(lines) > len(best.get(str(precision), ("", []))[1]):
            best[str(precision)] = (f"{precision} · {backend}", lines)
    ranked = sorted(best, key=lambda precision: (precision != "fp32", -len(best[precision][1]), precision))
    return [best[precision] for precision in ranked[:_MOST_PANELS]]


def _values_and_rows(
    shown: Sequence[_Line],
    material: Material,
    *,
    per_sample: bool,
    scale: float,
    unit: str,
) -> tuple[list[dict[str, Any]], list[tuple[str, ...]]]:
    """The marks and the table."""
    values: list[dict[str, Any]] = []
    rows: list[tuple[str, ...]] = []
    for number, line in enumerate(shown):
        for point, found in sorted(line, key=lambda pair: pair[0].batch):
            share = point.batch if per_sample else scale
            width = format_half_width(found.value, found.low, found.high)
            ends = [None if end is None else end / point.batch for end in (found.low, found.high)]
            low, high = ends if per_sample else (found.low, found.high)
            shown_value = format_known(found.value / point.batch if per_sample else found.value, low, high, unit)
            values.append(
                {
                    "batch": point.batch,
                    "value": found.value / share,
                    "low": (found.low if found.low is not None and found.low > 0 else found.value) / share,
                    "high": (found.high or found.value) / share,
                    "line": number,
                    "words": point.model,
                    "family": family_of(point.model, material),
                    "label": f"{point.case}: {shown_value}",
                }
            )
            rows.append((point.case, str(point.batch), shown_value, width))
    return values, rows
