"""The table of executed layers."""

from __future__ import annotations

import csv
import io
import json

import pytest

from benchbox.report.views.layers import arranged, render_layers, ridge_of
from benchbox.schema.layers import ExecutedLayer, LayerRow, LayerTable


def _row(name: str, time_s: float, *, macs: int = 0, flops: int = 0, moved: int = 0, kind: str = "Conv") -> LayerRow:
    layer = ExecutedLayer(name=f"run {name}", kind=kind, inputs=("fp32",), moves=kind == "Reorder", times_s=(time_s,))
    return LayerRow(
        name=name,
        layer=layer,
        nodes=() if kind == "Reorder" else (name,),
        macs=macs,
        flops=flops or 2 * macs,
        moved_bytes=moved,
    )


TABLE = LayerTable(
    model="net",
    backend="onnxruntime",
    precision="fp32",
    batch=1,
    threads=1,
    iterations=5,
    rows=(
        _row("a.conv", 2e-3, macs=1_000_000, moved=1000),
        _row("reorder", 1e-3, kind="Reorder"),
        _row("a.relu", 1e-3, flops=10_000, moved=4_000_000, kind="Relu"),
        _row("b.conv", 4e-3, macs=1_500_000, moved=500_000),
    ),
    macs=3_000_000,
    flops=6_010_000,
    uncovered=("c",),
    uncovered_macs=500_000,
    latency_s=7e-3,
    onnx_sha256="f" * 64,
)


def test_bound_is_against_the_best_rates_of_the_table() -> None:
    """Best: 1 GFLOP/s (a.conv) and 4 GB/s (a.relu), so a quarter of a FLOP per byte is the ridge."""
    assert ridge_of(TABLE.rows) == pytest.approx(1e9 / 4e9)
    document = json.loads(render_layers(TABLE, TABLE.rows, form="json"))
    assert [layer["bound"] for layer in document["layers"]] == ["compute", "movement", "memory", "compute"]
    assert ridge_of(()) is None


def test_sums() -> None:
    assert TABLE.time_s == pytest.approx(8e-3)
    document = json.loads(render_layers(TABLE, TABLE.rows, form="json"))
    assert document["schema"] == "benchbox.layers/1"
    assert document["profiled_s"] == pytest.approx(8e-3)
    assert document["unmapped_s"] == 0
    assert sum(layer["macs"] for layer in document["layers"]) + document["uncovered_macs"] == 3_000_000
    assert document["layers"][0]["flops_per_s"] == pytest.approx(1e9)


def test_grouped_and_sorted() -> None:
    by_module = arranged(TABLE, by="module", order="executed", top=None)
    assert [row.name for row in by_module] == ["a", "reorder", "b"]
    assert by_module[0].layer.time_s == pytest.approx(3e-3)
    assert by_module[0].macs == 1_000_000
    by_operator = arranged(TABLE, by="op", order="time", top=2)
    assert [(row.name, row.macs) for row in by_operator] == [("Conv", 2_500_000), ("Reorder", 0)]
    assert [row.name for row in arranged(TABLE, by="layer", order="time", top=1)] == ["b.conv"]


def test_text_says_what_is_not_in_it() -> None:
    text = render_layers(TABLE, TABLE.rows, form="table")
    assert "2,500,000 of 3,000,000 MACs are in these layers" in text
    assert "in no layer: c" in text


def test_csv_has_a_row_a_layer() -> None:
    rows = list(csv.DictReader(io.StringIO(render_layers(TABLE, TABLE.rows, form="csv"))))
    assert [row["name"] for row in rows] == [row.name for row in TABLE.rows]
    assert render_layers(TABLE, (), form="csv") == "name"
