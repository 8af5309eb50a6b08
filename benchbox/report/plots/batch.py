"""What does a larger batch cost in time, memory, energy and power?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchbox.report.material import Material, Point, one_at_a_time, usable
from benchbox.report.plots.base import Picture, family_of, family_scale, marks, whole
from benchbox.report.plots.scales import log_axis, word_layers, words_stacked
from benchbox.schema.identity import identity_of
from benchbox.schema.reading import Reading
from benchbox.schema.record import reading_of
from benchbox.units import format_half_width, format_known

_MIB = 2.0**20
# Lines that can be told apart.
_MOST = 24
_BESIDE = 190  # pixels for the names of lines


def draw_time(points: Sequence[Point], material: Material) -> Picture | None:
    """Time of one sample against the batch, in fp32."""
    return _against_batch(
        points, material, name="batch-time", title="Time for each sample against batch",
        reading="A falling line gains from larger batches, a level one does not; fp32, bars are 95 % intervals.",
        reading_of_point=lambda point: point.latency, per_sample=True, suffix="s", axis="median latency / batch",
        column="for each sample", unit="s",
    )  # fmt: skip


def draw_memory(points: Sequence[Point], material: Material) -> Picture | None:
    """Peak memory of the process against the batch, in fp32."""
    return _against_batch(
        points, material, name="batch-memory", title="Memory against batch",
        reading="Peak memory of the process (MiB) with runtime and weights; the slope is what each sample adds; fp32.",
        reading_of_point=_memory, scale=_MIB, suffix="", axis="peak memory (MiB)", column="peak memory", unit="bytes",
    )  # fmt: skip


def draw_energy(points: Sequence[Point], material: Material) -> Picture | None:
    """Energy of one sample against the batch, in fp32, where it was counted."""
    return _against_batch(
        points, material, name="batch-energy", title="Energy for each sample against batch",
        reading="Joules for each sample, idle power included, by the counter that the records name; a falling line "
        "gains from larger batches; fp32, bars are 95 % intervals.",
        reading_of_point=lambda point: usable(reading_of(point.record, "energy_per_sample")), suffix="J",
        axis="energy of a sample", column="for each sample", unit="J",
    )  # fmt: skip


def draw_power(points: Sequence[Point], material: Material) -> Picture | None:
    """Mean power against the batch, in fp32, where it was counted."""
    return _against_batch(
        points, material, name="batch-power", title="Power against batch",
        reading="Mean power while the network runs, idle power included, by the counter that the records name; fp32, "
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
    """A line for every network, backend and thread count that has several batches."""
    lines = _lines(points, reading_of_point)
    if not lines:
        return None
    reading += f" The {_MOST} newest of {len(lines)} are drawn." if len(lines) > _MOST else ""
    values, rows = _values_and_rows(lines[-_MOST:], material, per_sample=per_sample, scale=scale, unit=unit)
    x = log_axis("batch", "batch", [row["batch"] for row in values], "")
    ends = [row[end] for row in values for end in ("low", "high")]
    y = log_axis("value", axis, ends, suffix, vertical=True)
    across = x.channel(values=sorted({row["batch"] for row in values}), labelExpr="datum.value")
    up = y.channel(**({} if suffix else {"labelExpr": "format(datum.value, ',')"}))
    colour = {
        "field": "family", "type": "nominal", "title": "line",
        "scale": family_scale([row["family"] for row in values]),
    }  # fmt: skip
    last = {row["line"]: (row["batch"], row["value"], row["words"]) for row in values}
    words = words_stacked([*last.values()], x, y)
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
            ],
            right=_BESIDE,
        ),
        columns=("case", "batch", column, "interval"),
        rows=tuple(rows),
    )


def _lines(
    points: Sequence[Point], reading_of_point: Callable[[Point], Reading | None]
) -> list[list[tuple[Point, Reading]]]:
    """The fp32 cases that differ in their batch only and have several, the newest last."""
    lines: dict[object, list[tuple[Point, Reading]]] = {}
    for point in one_at_a_time(points):
        found = reading_of_point(point)
        case = identity_of(point.record)
        if found is not None and case.precision.value == "fp32":
            kind = (case.model, case.network, case.backend, case.threads, case.transfer, case.like)
            lines.setdefault(kind, []).append((point, found))
    several = [line for line in lines.values() if len({point.batch for point, _ in line}) > 1]
    return sorted(several, key=lambda line: max(point.record.started_at for point, _ in line))


def _values_and_rows(
    shown: Sequence[Sequence[tuple[Point, Reading]]],
    material: Material,
    *,
    per_sample: bool,
    scale: float,
    unit: str,
) -> tuple[list[dict[str, Any]], list[tuple[str, ...]]]:
    """The marks and the table."""
    values: list[dict[str, Any]] = []
    rows: list[tuple[str, ...]] = []
    several = len({point.record.key.backend for line in shown for point, _ in line}) > 1
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
                    "words": f"{point.model} {point.record.key.backend}" if several else point.model,
                    "family": family_of(point.model, material),
                    "label": f"{point.case}: {shown_value}",
                }
            )
            rows.append((point.case, str(point.batch), shown_value, width))
    return values, rows
