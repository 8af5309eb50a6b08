"""How far below the machine's measured ceilings is each network, and each of its layers?

Williams, Waterman and Patterson 2009, Roofline: nothing is faster than min(FLOP/s ceiling, intensity x bandwidth).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchbox.report.material import Material, Point, achieved_text, one_at_a_time
from benchbox.report.plots.base import (
    INK,
    PRECISIONS,
    QUIET,
    Picture,
    Specification,
    marks,
    precision_scale,
    shape_scale,
    text_layer,
    whole,
)
from benchbox.report.plots.roofs import (
    Above,
    Roof,
    caches_of,
    ceilings_of,
    highest_limit,
    is_above,
    roofs_of,
    share_of_roof,
    usual_threads,
)
from benchbox.report.plots.scales import Axis, log_axis, spread, word_layers, words_beside
from benchbox.schema.device import Ceilings
from benchbox.schema.layers import LayerRow, StoredLayers
from benchbox.units import (
    ABSENT,
    format_bytes,
    format_count,
    format_flops_per_s,
    format_known,
    format_ratio,
    format_time,
)

# Layers that take less of their network's time than this say nothing and hide the others.
_LEAST_SHARE = 0.005
# Tables of layers in one picture, the newest.
_MOST_TABLES = 6
_ABOVE = "var(--bad, #c0392b)"
# Pixels of "last cache 102 GB/s" along its line.
_WORDS = 125.0
_BESIDE = 140  # pixels for the words of levels


def draw_networks(points: Sequence[Point], material: Material) -> Picture | None:
    """Achieved FLOP/s of each case against its arithmetic intensity, under the measured ceilings."""
    ceilings = ceilings_of(points, material)
    threads = usual_threads(points)
    shown = _networks(points, ceilings, threads)
    if ceilings is None or not shown:
        return None
    roofs = roofs_of(ceilings, [point.record.key.precision.value for point, _, _ in shown], threads)
    if not roofs:
        return None
    caches = caches_of(ceilings, threads)
    values: list[dict[str, Any]] = []
    rows: list[tuple[str, ...]] = []
    for point, intensity, rate in shown:
        precision = point.record.key.precision.value
        share = share_of_roof(roofs, precision, intensity, rate)
        words = ABSENT if share is None else format_ratio(share)
        values.append(
            {
                "x": intensity, "y": rate, "precision": precision, "backend": point.record.key.backend,
                "above": is_above(roofs, caches, precision, intensity, rate),
                "label": f"{point.case}: {achieved_text(point)} at {intensity:.3g} FLOP/B, {words} of its roof",
            }
        )  # fmt: skip
        rows.append(
            (point.case, achieved_text(point), f"{intensity:.3g}", format_bytes(point.least_bytes),
             *_limit_texts(roofs, precision, intensity), words)
        )  # fmt: skip
    x, y = _axes(values, roofs)
    several = len({point.batch for point, _, _ in shown}) > 1
    named = [
        (intensity, rate, f"{point.model} b{point.batch}" if several else point.model)
        for point, intensity, rate in shown
    ]
    colour = _hue(values, roofs, "precision")
    shape: Specification = {"field": "backend", "type": "nominal", "title": "backend"}
    shape["scale"] = shape_scale([row["backend"] for row in values])
    dots = marks(
        values,
        {"type": "point", "filled": True, "size": 70, "opacity": 1},
        {"x": x.channel(), "y": y.channel(), "color": colour, "shape": shape, "description": {"field": "label"}},
    )
    names = words_beside(named, x, y, avoid=_slope_boxes(roofs, x, y))
    return Picture(
        name="roofline",
        title="Roofline",
        reading="A mark is a network: its FLOP/s (two for a multiply-add) over the FLOP that it does for each byte "
        f"that must move through memory; {_ROOFS}; {threads} thread{'' if threads == 1 else 's'}. On the slope bytes "
        "are the limit, on the level arithmetic; a red ring is around what is above both."
        + _without(values, roofs),
        specification=whole([*_roof_layers(roofs, caches, x, y), *_ringed(values, x, y), dots,
                             *word_layers(names, x.channel(), y.channel())], right=_BESIDE),
        columns=("case", "achieved", "FLOP/B", "least bytes", "roof", "limited by", "of the roof"),
        rows=tuple(rows),
    )  # fmt: skip


_ROOFS = (
    "bands are the measured ceilings, sustained, from the slowest to the fastest process, dashed ones in a burst, "
    "dotted ones the data sheet's"
)


def draw_layers(points: Sequence[Point], material: Material) -> Picture | None:
    """The same for executed layers, each as large as its share of its network's time."""
    ceilings = ceilings_of(points, material)
    threads = usual_threads(points)
    found = _layers(points, material, threads)
    if ceilings is None or not found:
        return None
    roofs = roofs_of(ceilings, [_type_of(stored, row) for stored, row, *_ in found], threads)
    if not roofs:
        return None
    caches = caches_of(ceilings, threads)
    values: list[dict[str, Any]] = []
    rows: list[tuple[str, ...]] = []
    for stored, row, intensity, rate, share in sorted(found, key=lambda entry: -entry[-1]):
        precision, title = _type_of(stored, row), table_title(stored)
        ratio = share_of_roof(roofs, precision, intensity, rate)
        words = ABSENT if ratio is None else format_ratio(ratio)
        values.append(
            {
                "x": intensity, "y": rate, "precision": precision, "network": stored.table.model, "share": share,
                "above": is_above(roofs, caches, precision, intensity, rate),
                "label": f"{title} {row.name}: {format_time(row.layer.time_s)}, {format_ratio(share)} of the time, "
                f"{format_flops_per_s(rate)} at {intensity:.3g} FLOP/B, {words} of its roof",
            }
        )  # fmt: skip
        rows.append(
            (f"{title} {row.name}", precision, format_time(row.layer.time_s), format_ratio(share),
             format_flops_per_s(rate), f"{intensity:.3g}", format_count(row.macs), words)
        )  # fmt: skip
    x, y = _axes(values, roofs)
    colour = _hue(values, roofs, "ran in")
    size: Specification = {
        "field": "share", "type": "quantitative", "title": "share of time",
        "scale": {"type": "linear", "domain": [0, max(row["share"] for row in values)], "range": [8, 700]},
        "legend": {"labelExpr": "format(100 * datum.value, '~f') + ' %'", "values": [0.02, 0.1]},
    }  # fmt: skip
    shape: Specification = {"field": "network", "type": "nominal", "title": "network"}
    shape["scale"] = shape_scale([row["network"] for row in values])
    dots = marks(
        values,
        {"type": "point", "filled": True, "opacity": 0.55},
        {"x": x.channel(), "y": y.channel(), "color": colour, "shape": shape, "size": size,
         "description": {"field": "label"}},
    )  # fmt: skip
    return Picture(
        name="roofline-layers",
        title="Roofline of layers",
        reading=f"A mark is an executed layer, the larger the more of its network's time it takes; {_ROOFS}. Bytes are "
        "those of the layer's tensors; data that stays in caches may be above the slope. Large marks far below the "
        "roof are where time can be won." + _without(values, roofs),
        specification=whole([*_roof_layers(roofs, caches, x, y), *_ringed(values, x, y), dots],
                            right=_BESIDE),
        columns=("layer", "ran in", "time", "share", "achieved", "FLOP/B", "MACs", "of the roof"),
        rows=tuple(rows),
    )  # fmt: skip


def above_roofs(points: Sequence[Point], material: Material) -> list[Above]:
    """The networks and layers of both pictures that are above what any measured process and memory allow."""
    ceilings, threads = ceilings_of(points, material), usual_threads(points)
    if ceilings is None:
        return []
    dots = [
        (point.case, point.record.key.precision.value, intensity, rate)
        for point, intensity, rate in _networks(points, ceilings, threads)
    ]
    dots += [
        (f"{table_title(stored)} {row.name}", _type_of(stored, row), intensity, rate)
        for stored, row, intensity, rate, _ in _layers(points, material, threads)
    ]
    roofs, caches = (
        roofs_of(ceilings, [precision for _, precision, _, _ in dots], threads),
        caches_of(ceilings, threads),
    )
    found = [
        Above(name=name, precision=precision, rate=rate, limit=limit)
        for name, precision, intensity, rate in dots
        if (limit := highest_limit(roofs, caches, precision, intensity)) is not None
        and is_above(roofs, caches, precision, intensity, rate)
    ]
    return sorted(found, key=lambda one: -one.over)


def _networks(points: Sequence[Point], ceilings: Ceilings | None, threads: int) -> list[tuple[Point, float, float]]:
    """The cases with so many threads of the ceilings' environment: FLOP for each byte and FLOP/s."""
    return [
        (point, 2 * point.macs / point.least_bytes, 2 * point.macs / point.latency.value)
        for point in one_at_a_time(points)
        if point.latency is not None and point.macs and point.least_bytes and point.record.plan.threads == threads
        if ceilings is not None and point.record.environment.hash == ceilings.epoch
    ]


def _layers(
    points: Sequence[Point], material: Material, threads: int
) -> list[tuple[StoredLayers, LayerRow, float, float, float]]:
    """The layers that matter of the newest tables: FLOP for each byte, FLOP/s and share of their network's time."""
    tables = [stored for stored in newest_tables(points, material) if stored.table.threads == threads][-_MOST_TABLES:]
    return [
        (stored, row, row.intensity, 2 * row.macs / row.layer.time_s, row.layer.time_s / stored.table.time_s)
        for stored in tables
        for row in stored.table.rows
        if row.macs and row.intensity and row.layer.time_s and row.layer.time_s >= _LEAST_SHARE * stored.table.time_s
    ]


def _without(values: Sequence[dict[str, Any]], roofs: Sequence[Roof]) -> str:
    """Which precisions have marks and no roof."""
    none = sorted({row["precision"] for row in values} - {roof.precision for roof in roofs})
    return f" {', '.join(none)} has no ceiling here." if none else ""


def _hue(values: Sequence[dict[str, Any]], roofs: Sequence[Roof], title: str) -> Specification:
    """The colours of the precisions of marks and of roofs."""
    shown = [*(row["precision"] for row in values), *(roof.precision for roof in roofs)]
    return {"field": "precision", "type": "nominal", "title": title, "scale": precision_scale(shown)}


def newest_tables(points: Sequence[Point], material: Material) -> list[StoredLayers]:
    """The newest table of each network, backend, precision, batch and thread count, of the environments of these."""
    epochs = {(point.record.environment.hash, point.record.key.device) for point in points}
    newest: dict[tuple[object, ...], StoredLayers] = {}
    for stored in material.layers:
        table = stored.table
        if (stored.environment.hash, stored.device) in epochs:
            key = (table.model, table.backend, table.precision, table.batch, table.threads)
            newest.pop(key, None)
            newest[key] = stored
    return list(newest.values())


def table_title(stored: StoredLayers) -> str:
    """The case of a table: "resnet18 openvino int8"."""
    table = stored.table
    batch = f" batch {table.batch}" if table.batch > 1 else ""
    return f"{table.model} {table.backend} {table.precision}{batch}"


def _type_of(stored: StoredLayers, row: LayerRow) -> str:
    """What a layer ran in: as it says itself, else what was asked for."""
    executed = row.layer.executed
    return executed if executed in PRECISIONS else stored.table.precision


def _limit_texts(roofs: Sequence[Roof], precision: str, intensity: float) -> tuple[str, str]:
    """The roof above a case, and what it is made of."""
    found = next((roof for roof in roofs if roof.precision == precision), None)
    if found is None:
        return ABSENT, "no ceiling in its precision"
    return format_flops_per_s(found.limit(intensity)), "arithmetic" if intensity >= found.ridge else "bytes"


def _axes(values: Sequence[dict[str, Any]], roofs: Sequence[Roof]) -> tuple[Axis, Axis]:
    """Axes that hold the marks, every ridge and every level."""
    across = [row["x"] for row in values] + [ridge for roof in roofs for ridge in (roof.ridge / 2, 3 * roof.ridge)]
    x = log_axis("x", "arithmetic intensity (FLOP/B)", across, "")
    up = [row["y"] for row in values]
    up += [level for roof in roofs for level in (roof.high, roof.burst or 0.0, roof.sheet or 0.0) if level]
    return x, log_axis("y", "achieved FLOP/s", up, "FLOP/s", vertical=True)


def _roof_layers(roofs: Sequence[Roof], caches: Sequence[tuple[str, float]], x: Axis, y: Axis) -> list[Specification]:
    """Slopes and levels: bands, lines, and their words."""
    across, up = x.channel(), y.channel()
    layers: list[Specification] = []
    words: list[dict[str, Any]] = []
    for roof in roofs:
        hue = PRECISIONS.get(roof.precision, QUIET)
        places = sorted({x.low, x.high, *(edge for edge in roof.edges if x.low < edge < x.high)})
        band = [{"x": at, "y": max(y.low, roof.low_limit(at)), "top": max(y.low, roof.high_limit(at))} for at in places]
        layers.append(
            marks(band, {"type": "area", "fill": hue, "opacity": 0.14, "aria": False, "clip": True},
                  {"x": across, "y": up, "y2": {"field": "top"}})
        )  # fmt: skip
        for level, dash, width in ((roof.level, (), 2.0), (roof.burst, (7, 4), 1.4), (roof.sheet, (2, 3), 1.4)):
            begin = max(x.low, level / roof.bytes_per_s) if level else x.high
            if begin < x.high:
                ends = [{"x": begin, "y": level}, {"x": x.high, "y": level}]
                layers.append(_line(ends, across, up, hue, width=width, dash=dash))
        words.append({"x": x.high, "y": roof.level, "text": roof.text})
    heights = [y.length - y.place(row["y"]) for row in reversed(words)]
    for row, wanted, height in zip(reversed(words), heights, spread(heights), strict=True):
        layers.append(text_layer([row], across, up, dx=6, dy=round(height - wanted, 1), fill=INK, fontSize=11.5))
    top = roofs[-1].level
    last = 0.0
    for name, slope in [("memory", roofs[0].bytes_per_s), *caches]:
        start, end = max(x.low, y.low / slope), min(x.high, top / slope)
        # A cache of which only a corner would be seen is left out: its words would reach beyond the picture.
        room = 0.0 if name == "memory" else _WORDS * math.cos(math.radians(_slope_angle(x, y)))
        if start < end and x.place(end) - x.place(start) > room:
            ends = [{"x": start, "y": slope * start}, {"x": end, "y": slope * end}]
            dash, width = ((), 2.0) if name == "memory" else ((1, 3), 1.0)
            layers.append(_line(ends, across, up, QUIET, width=width, dash=dash))
            # Words of a slope that is close to the last one begin where those end.
            near = slope / last < 1.5 if last else False
            last = slope
            text = [{"x": start, "y": slope * start, "text": f"{name} {format_known(slope, None, None, 'B/s')}"}]
            layers.append(
                text_layer(
                    text, across, up, angle=_slope_angle(x, y), dx=134 if near else 8, dy=-7, fill=QUIET, fontSize=11
                )
            )
    return layers


def _slope_angle(x: Axis, y: Axis) -> float:
    """Degrees by which words on a slope of bytes are turned."""
    return -math.degrees(math.atan2(y.place(y.low * 10), x.place(x.low * 10)))


def _slope_boxes(roofs: Sequence[Roof], x: Axis, y: Axis) -> list[tuple[float, float, float, float]]:
    """Where words of roofs and the slope of memory are, in pixels, so that names of networks keep away."""
    slope = roofs[0].bytes_per_s
    start = max(x.low, y.low / slope)
    boxes = [(x.length - 2.0, 0.0, x.length + 200.0, float(y.length))]  # the words of levels
    for roof in roofs:
        heights = [y.length - y.place(level) for level in (roof.level, roof.burst) if level]
        boxes += [(x.place(max(x.low, roof.ridge)), py - 3, float(x.length), py + 3) for py in heights]
    for step in range(40):
        at = start * 1.06**step
        if at < min(x.high, roofs[-1].level / slope):
            px, py = x.place(at), y.length - y.place(slope * at)
            boxes.append((px - 4, py - (18 if step < 24 else 4), px + 4, py + 4))
    return boxes


def _line(
    rows: Sequence[dict[str, Any]], across: Specification, up: Specification, hue: str, *, width: float,
    dash: Sequence[int] = (),
) -> Specification:  # fmt: skip
    mark = {"type": "line", "stroke": hue, "strokeWidth": width, "aria": False, "clip": True}
    return marks(rows, {**mark, "strokeDash": [*dash]} if dash else mark, {"x": across, "y": up})


def _ringed(values: Sequence[dict[str, Any]], x: Axis, y: Axis) -> list[Specification]:
    """A red ring around what is above its roof."""
    above = [{"x": row["x"], "y": row["y"]} for row in values if row["above"]]
    ring = {"type": "point", "filled": False, "stroke": _ABOVE, "strokeWidth": 1.5, "size": 170, "aria": False}
    return [marks(above, ring, {"x": x.channel(), "y": y.channel()})] if above else []
