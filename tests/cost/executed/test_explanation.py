"""Measured tables set against each other: every second has one cause, and the causes are the right ones."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from golden_text import on_a_narrow_screen, require_golden

from benchbox.cost.executed.explanation import explanation_of
from benchbox.cost.precision.roofline import pair_key
from benchbox.jobs.prepare import PaperCosts, precision_costs_from_source
from benchbox.machine.rates import with_rates
from benchbox.models.sources import resolve
from benchbox.report.views.explanation import render_explanation
from benchbox.schema.device import Device
from benchbox.schema.explanation import Cause, Explanation
from benchbox.schema.layers import ExecutedLayer, LayerRow, LayerTable
from benchbox.schema.model import Precision

DEVICE = Device(name="cpu", title="a processor", rates={"fp32": 1.0, "int8": 4.0}, source="none")
MS = 1e-3


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> PaperCosts:
    return precision_costs_from_source(
        resolve("lenet5", input_shape=None, weights=None),
        precisions=(Precision.FP32, Precision.INT8),
        root=tmp_path_factory.mktemp("explanation"),
    )


def _row(name: str, *nodes: str, time_s: float, kind: str = "Conv", executed: str, macs: int = 0) -> LayerRow:
    layer = ExecutedLayer(name=name, kind=kind, inputs=(executed,), moves=kind == "Reorder", times_s=(time_s,))
    return LayerRow(name=nodes[0] if nodes else name, layer=layer, nodes=nodes, macs=macs, flops=2 * macs)


def _table(precision: str, rows: Sequence[LayerRow]) -> LayerTable:
    return LayerTable(
        model="lenet5",
        backend="test",
        precision=precision,
        batch=1,
        threads=1,
        iterations=5,
        rows=tuple(rows),
        macs=0,
        flops=0,
        uncovered=(),
        uncovered_macs=0,
        latency_s=sum(row.layer.time_s or 0.0 for row in rows),
        onnx_sha256="f" * 64,
    )


@pytest.fixture(scope="module")
def tables(costs: PaperCosts) -> tuple[LayerTable, LayerTable]:
    macs = {layer.name: layer.macs for layer in costs.cost.layers}
    base = [
        _row("k1", "conv1", "relu1", time_s=4 * MS, executed="fp32", macs=macs["conv1"]),
        _row("k2", "pool1", time_s=MS, kind="MaxPool", executed="fp32"),
        _row("k3", "conv2", "relu2", time_s=8 * MS, executed="fp32", macs=macs["conv2"]),
        _row("k4", "fc1", time_s=2 * MS, kind="Gemm", executed="fp32", macs=macs["fc1"]),
    ]
    low = [
        _row("q", "input.quantize", time_s=MS, kind="QuantizeLinear", executed="fp32"),
        _row("w", "conv2.weight.dequantize", time_s=0.5 * MS, kind="DequantizeLinear", executed="int8"),
        _row("b", time_s=0.25 * MS, kind="DequantizeLinear", executed="int32"),
        _row("k1", "conv1", "conv1.quantize", time_s=2 * MS, kind="QLinearConv", executed="int8", macs=macs["conv1"]),
        _row("r1", "relu1", time_s=0.5 * MS, kind="Relu", executed="fp32"),
        _row("k3", "conv2", time_s=7 * MS, executed="fp32", macs=macs["conv2"]),
        _row("t", time_s=0.125 * MS, kind="Transpose", executed="int8"),
        _row("m", time_s=0.125 * MS, kind="Reorder", executed="int8"),
        _row("x", time_s=0.5 * MS, kind="Mystery", executed="int8"),
    ]
    return _table("fp32", base), _table("int8", low)


def _explained(
    costs: PaperCosts,
    tables: tuple[LayerTable, LayerTable],
    device: Device | None = DEVICE,
    *,
    by: str = "op",
    medians: tuple[list[float], list[float]] | None = None,
) -> Explanation:
    base, table = tables
    fp32, int8 = costs.precisions
    return explanation_of(table, base, cost=int8, base_cost=fp32, device=device, key=pair_key(by), medians=medians)


@pytest.mark.parametrize("by", ["op", "layer", "module"])
def test_every_second_has_a_cause_and_a_group(
    by: str, costs: PaperCosts, tables: tuple[LayerTable, LayerTable]
) -> None:
    found = _explained(costs, tables, by=by)
    assert sum(reason.time_s for reason in found.reasons) == pytest.approx(12 * MS)
    assert sum(group.time_s for group in found.groups) == pytest.approx(12 * MS)
    assert sum(group.base_time_s for group in found.groups) == pytest.approx(15 * MS)
    for group in found.groups:
        assert sum(reason.time_s for reason in group.reasons) == pytest.approx(group.time_s)


def test_causes(costs: PaperCosts, tables: tuple[LayerTable, LayerTable]) -> None:
    found = _explained(costs, tables)
    times = {reason.cause: reason.time_s for reason in found.reasons}
    assert times[Cause.REQUANTISING] == pytest.approx(MS)
    assert times[Cause.UNPACKING] == pytest.approx(0.75 * MS)
    assert times[Cause.WIDER] == pytest.approx(7 * MS)
    assert times[Cause.BETWEEN] == pytest.approx(0.5 * MS)
    assert times[Cause.REORDERING] == pytest.approx(0.25 * MS)
    assert times[Cause.UNKNOWN] == pytest.approx(0.5 * MS)
    assert (found.matrices, found.wider) == (2, 1)
    assert found.speedup == pytest.approx(15 / 12)
    wider = next(reason for reason in found.reasons if reason.cause is Cause.WIDER)
    assert wider.names == ("conv2",)
    assert wider.kinds == (("Conv", 1),)


def test_the_least_time_is_that_of_the_best_rates_seen(
    costs: PaperCosts, tables: tuple[LayerTable, LayerTable]
) -> None:
    """conv1 in int8 needs a quarter of the arithmetic at the best fp32 rate; the rest of its 2 ms is the kernel's."""
    found = _explained(costs, tables)
    macs = {layer.name: layer.macs for layer in costs.cost.layers}
    times = {"conv1": 4 * MS, "conv2": 8 * MS, "fc1": 2 * MS}
    best = max(2 * macs[name] / time for name, time in times.items())
    assert found.device is not None
    assert found.device.fp32_flops_per_s == pytest.approx(best)
    shares = {reason.cause: reason.time_s for reason in found.reasons}
    needed = 2 * macs["conv1"] / (4 * best)
    assert shares[Cause.ARITHMETIC] == pytest.approx(needed)
    assert shares[Cause.BEYOND] == pytest.approx(2 * MS - needed)
    assert found.base_beyond_s is not None
    assert 0 < found.base_beyond_s < 15 * MS


def test_published_rates_are_not_replaced(costs: PaperCosts, tables: tuple[LayerTable, LayerTable]) -> None:
    published = with_rates(DEVICE, flops_per_s=1e12, bytes_per_s=1e11)
    assert _explained(costs, tables, published).device == published


def test_nothing_is_known_of_the_device(costs: PaperCosts, tables: tuple[LayerTable, LayerTable]) -> None:
    found = _explained(costs, tables, None)
    assert found.bound.ideal is None
    assert found.base_beyond_s is None
    assert not {Cause.ARITHMETIC, Cause.BYTES} & {reason.cause for reason in found.reasons}
    assert sum(reason.time_s for reason in found.reasons) == pytest.approx(12 * MS)
    assert "its bound is unknown" in render_explanation(found, form="table")


def test_how_much_faster_rests_on_processes(costs: PaperCosts, tables: tuple[LayerTable, LayerTable]) -> None:
    before, after = (
        [15 * MS, 15.1 * MS, 14.9 * MS, 15.2 * MS, 15 * MS],
        [12 * MS, 12.1 * MS, 11.9 * MS, 12.2 * MS, 12 * MS],
    )
    found = _explained(costs, tables, medians=(before, after))
    assert found.speedup == pytest.approx(1.25, rel=0.01)
    assert found.speedup_interval is not None
    assert found.speedup_interval[0] < 1.25 < found.speedup_interval[1]
    assert "× as fast as fp32" in render_explanation(found, form="table")
    assert "(95 %, 5 processes a side, in turn)" in render_explanation(found, form="table")
    wide = [7 * MS, 30 * MS, 12 * MS, 20 * MS, 11 * MS]
    undecided = render_explanation(_explained(costs, tables, medians=(before, wide)), form="table")
    assert "No difference in speed between int8 and fp32 can be shown" in undecided


def test_golden(costs: PaperCosts, tables: tuple[LayerTable, LayerTable], monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_narrow_screen(monkeypatch)
    require_golden("explanation", render_explanation(_explained(costs, tables), form="table"))


def test_text_and_document(costs: PaperCosts, tables: tuple[LayerTable, LayerTable]) -> None:
    found = _explained(costs, tables)
    text = render_explanation(found, form="table")
    assert "No conclusion whether int8 is faster than fp32: 1 process a side gives no interval (here 1.25×)" in text
    assert "; at most " in text
    assert "1 of 2 convolutions and matrix products did not run in int8: 58 % of its time" in text
    assert "dequantising weights again in every inference takes 6.2 % (2 kernels)" in text
    assert "uantising, dequantising and casting takes 8.3 % (1 kernel)" in text
    assert render_explanation(found, form="md").startswith("| layers |")
    document = json.loads(render_explanation(found, form="json"))
    assert document["schema"] == "benchbox.layers/1"
    assert document["precision"] == "int8"
    against = document["against"]
    assert against["precision"] == "fp32"
    assert sum(reason["share"] for reason in against["reasons"]) == pytest.approx(1.0)
    assert len(against["layers"]) == 4
    assert against["rates"]["relative"] == {"fp32": 1.0, "int8": 4.0}
