"""Which kinds of layers take the time of a network, in each backend and precision?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchbox.report.material import Material, Point
from benchbox.report.plots.base import BARS, INK, Picture, Specification, marks, names_axis, whole
from benchbox.report.plots.roofline import newest_tables, table_title
from benchbox.schema.layers import LayerRow, StoredLayers
from benchbox.units import format_ratio, format_time

# Bars that can be looked at, the newest; networks of one name stand together.
_MOST = 24
_ROW = 34
_GAP = 0.0008  # of the whole, so that two layers of one kind are told apart
_KINDS = {
    "convolution": "var(--k1, #0072B2)",
    "matrix product": "var(--k2, #b45f06)",
    "pooling": "var(--k3, #00805f)",
    "other": "var(--k4, #a8518a)",
    "data movement": "var(--k5, #8a8f98)",
    "no node": "var(--k6, #4d5358)",
}


def draw(points: Sequence[Point], material: Material) -> Picture | None:
    """A bar of 100 % for each stored table, its layers in the order of execution."""
    tables = [stored for stored in newest_tables(points, material) if stored.table.time_s]
    if not tables:
        return None
    many = len(tables)
    tables = sorted(tables[-_MOST:], key=_order)
    values = [row for stored in tables for row in _segments(stored)]
    totals = [{"case": table_title(stored), "end": 1.0, "text": format_time(stored.table.time_s)} for stored in tables]
    across: Specification = {
        "field": "from", "type": "quantitative", "title": "share of the layers' time", "scale": {"domain": [0, 1]},
        "axis": {"labelExpr": "format(100 * datum.value, '~f') + ' %'", "tickCount": 6},
    }  # fmt: skip
    up: Specification = {
        "field": "case", "type": "nominal", "title": None, "sort": [table_title(stored) for stored in tables],
        "axis": names_axis([table_title(stored) for stored in tables]),
    }  # fmt: skip
    kinds = [kind for kind in _KINDS if any(row["kind"] == kind for row in values)]
    colour: Specification = {
        "field": "kind", "type": "nominal", "title": "layer",
        "scale": {"domain": kinds, "range": [_KINDS[kind] for kind in kinds]},
    }  # fmt: skip
    whole_bar = {"type": "bar", "height": {"band": 0.72}}
    return Picture(
        name="layers",
        title="Where the time of a network goes, layer by layer",
        reading="A bar is all the time of a network's executed layers, in their order from left to right; a segment is "
        "a layer, the words at the end are the time of all. 'data movement' is what the runtime adds to reorder and "
        "cast, 'no node' what it does not attribute to any node"
        + (f"; the {_MOST} newest of {many}." if many > _MOST else "."),
        specification=whole(
            [
                marks(values, whole_bar, {"x": across, "x2": {"field": "to"}, "y": up, "color": colour,
                                          "description": {"field": "label"}}),
                marks(totals, {"type": "text", "align": "left", "dx": 6, "fontSize": 12, "fill": INK, "aria": False},
                      {"x": {**across, "field": "end"}, "y": up, "text": {"field": "text"}}),
            ],
            width=BARS,
            height=_ROW * len(tables) + 6,
        ),
        columns=("case", "layers", "profiled", "without profiler", *_KINDS, "longest layers"),
        rows=tuple(_row(stored) for stored in tables),
    )  # fmt: skip


def _order(stored: StoredLayers) -> tuple[object, ...]:
    table = stored.table
    precisions = ("fp64", "fp32", "tf32", "bf16", "fp16", "int8", "fp8", "int4")
    place = precisions.index(table.precision) if table.precision in precisions else len(precisions)
    return table.model, table.batch, table.backend, place


def kind_of_layer(row: LayerRow) -> str:
    """What a layer does, by its work and its runtime's word for it."""
    word = row.layer.kind.lower()
    if row.layer.moves:
        return "data movement"
    if row.macs:
        return "convolution" if "conv" in word else "matrix product"
    if not row.nodes:
        return "no node"
    return "pooling" if "pool" in word else "other"


def _segments(stored: StoredLayers) -> list[dict[str, Any]]:
    """The layers of a table as shares from 0 to 1."""
    table, title = stored.table, table_title(stored)
    rows, begin = [], 0.0
    for row in table.rows:
        share = (row.layer.time_s or 0.0) / table.time_s
        if share > 0:
            shown = max(share - _GAP, share / 2)
            rows.append(
                {
                    "case": title, "from": round(begin, 5), "to": round(begin + shown, 5), "kind": kind_of_layer(row),
                    "label": f"{title}: {row.name}, {format_time(row.layer.time_s)}, {format_ratio(share)}",
                }
            )  # fmt: skip
        begin += share
    return rows


def _row(stored: StoredLayers) -> tuple[str, ...]:
    table = stored.table
    shares = dict.fromkeys(_KINDS, 0.0)
    for row in table.rows:
        shares[kind_of_layer(row)] += (row.layer.time_s or 0.0) / table.time_s
    longest = sorted(table.rows, key=lambda row: -(row.layer.time_s or 0.0))[:3]
    return (
        table_title(stored),
        str(len(table.rows)),
        format_time(table.time_s),
        format_time(table.latency_s),
        *(format_ratio(share) if share else "0" for share in shares.values()),
        ", ".join(f"{row.name} {format_ratio((row.layer.time_s or 0.0) / table.time_s)}" for row in longest),
    )
