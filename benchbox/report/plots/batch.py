"""What does a larger batch cost in time and memory?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchbox.report.material import Material, Point, one_at_a_time, usable
from benchbox.report.plots.base import Picture, family_of, family_scale, marks, whole
from benchbox.report.plots.scales import log_axis, word_layers, words_beside
from benchbox.schema.identity import identity_of
from benchbox.schema.reading import Reading
from benchbox.schema.record import reading_of
from benchbox.units import format_bytes, format_half_width, format_time

_MIB = 2**20


def draw_time(points: Sequence[Point], material: Material) -> Picture | None:
    """Time of one sample against the batch, in fp32."""
    return _against_batch(
        points, material, name="batch-time", title="Time for each sample against batch",
        reading="A falling line gains from larger batches, a level one does not; fp32, bars are 95 % intervals.",
        reading_of_point=lambda point: point.latency, per_sample=True, suffix="s", axis="median latency / batch",
        text=format_time,
    )  # fmt: skip


def draw_memory(points: Sequence[Point], material: Material) -> Picture | None:
    """Peak memory of the process against the batch, in fp32."""
    return _against_batch(
        points, material, name="batch-memory", title="Memory against batch",
        reading="Peak memory of the process (MiB) with runtime and weights; the slope is what each sample adds; fp32.",
        reading_of_point=_memory, per_sample=False, suffix=" ", axis="peak memory (MiB)", text=format_bytes,
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
    per_sample: bool,
    suffix: str,
    axis: str,
    text: Callable[[float], str],
) -> Picture | None:
    """A line for every network, backend and thread count that has several batches."""
    lines = _lines(points, reading_of_point)
    shown = [line for line in lines.values() if len({point.batch for point, _ in line}) > 1]
    if not shown:
        return None
    values, rows = _values_and_rows(shown, material, per_sample=per_sample, text=text)
    x = log_axis("batch", "batch", [row["batch"] for row in values], "")
    ends = [row[end] for row in values for end in ("low", "high")]
    y = log_axis("value", axis, ends, suffix, vertical=True)
    batches = sorted({row["batch"] for row in values})
    across, up = x.channel(values=batches, labelExpr="datum.value"), y.channel()
    colour = {
        "field": "family", "type": "nominal", "title": "line",
        "scale": family_scale([row["family"] for row in values]),
    }  # fmt: skip
    last = {row["line"]: row for row in values}
    words = words_beside([(row["batch"], row["value"], row["model"]) for row in last.values()], x, y)
    return Picture(
        name=name,
        title=title,
        reading=reading,
        specification=whole(
            [
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
            ]
        ),
        columns=("case", "batch", "for each sample" if per_sample else "peak memory", "interval"),
        rows=tuple(rows),
    )


def _lines(
    points: Sequence[Point], reading_of_point: Callable[[Point], Reading | None]
) -> dict[object, list[tuple[Point, Reading]]]:
    """The fp32 cases that differ in their batch only."""
    lines: dict[object, list[tuple[Point, Reading]]] = {}
    for point in one_at_a_time(points):
        found = reading_of_point(point)
        case = identity_of(point.record)
        if found is not None and case.precision.value == "fp32":
            kind = (case.model, case.network, case.backend, case.threads, case.transfer, case.like)
            lines.setdefault(kind, []).append((point, found))
    return lines


def _values_and_rows(
    shown: Sequence[Sequence[tuple[Point, Reading]]],
    material: Material,
    *,
    per_sample: bool,
    text: Callable[[float], str],
) -> tuple[list[dict[str, Any]], list[tuple[str, ...]]]:
    """The marks and the table."""
    values: list[dict[str, Any]] = []
    rows: list[tuple[str, ...]] = []
    for number, line in enumerate(shown):
        for point, found in sorted(line, key=lambda pair: pair[0].batch):
            share = point.batch if per_sample else _MIB
            width = format_half_width(found.value, found.low, found.high)
            shown_value = text(found.value / point.batch if per_sample else found.value)
            values.append(
                {
                    "batch": point.batch,
                    "value": found.value / share,
                    "low": (found.low if found.low is not None and found.low > 0 else found.value) / share,
                    "high": (found.high or found.value) / share,
                    "line": number,
                    "model": point.model,
                    "family": family_of(point.model, material),
                    "label": f"{point.case}: {shown_value}",
                }
            )
            rows.append((point.case, str(point.batch), shown_value, width))
    return values, rows
