"""Every format shows every record, and numbers become text only for people."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from typing import Any

import pytest
from sample_records import record, skipped

from benchbox.errors import UsageError
from benchbox.report.forms import require_form
from benchbox.report.records.base import FORMATS, View
from benchbox.report.screen import screen_width, table_of
from benchbox.report.table import Column, csv_text, folded_table, markdown_table, text_table
from benchbox.report.views.cost import document_from_cost, render_cost
from benchbox.report.views.precisions import render_precisions
from benchbox.report.views.reconciliation import render_reconciliation
from benchbox.schema.cost import LayerCost, NetworkCost
from benchbox.schema.device import Device
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.proof import Proof
from benchbox.schema.reading import Better, Flag, Reading, Severity
from benchbox.schema.record import Record
from benchbox.store.documents import document_from_record, json_text

RECORDS = (record(0), skipped(1))


def test_the_terminal_shows_numbers_reasons_and_flags() -> None:
    text = FORMATS.get("table").render(RECORDS, view=View(wide=True))
    lines = text.splitlines()
    assert lines[0].split()[:5] == ["model", "backend", "precision", "batch", "threads"]
    assert "1.000 ms" in lines[2]
    assert "±10 %" in lines[2]
    assert "6.522 M" in lines[2]
    assert "0123456789ab" in lines[2]
    assert "skipped: lenet5 null bf16 batch 1: bf16 cannot run here" in text
    assert "VIRTUAL_CLOCK (error), lenet5 fp32: nothing was computed" in text
    assert "benchbox explain" in lines[-1]
    assert "no records" in FORMATS.get("table").render(())


def test_a_narrow_screen_gets_the_table_in_parts() -> None:
    columns = [Column(title=title) for title in ("name", "first", "second", "third")]
    rows = [["a", "1" * 8, "2" * 8, "3" * 8], ["b", "4" * 8, "5" * 8, "6" * 30]]
    parts = folded_table(columns, rows, keys=1, width=24).split("\n\n")
    assert [part.splitlines()[0].split() for part in parts] == [["name", "first", "second"], ["name", "third"]]
    assert [part.splitlines()[2].split() for part in parts] == [["a", "1" * 8, "2" * 8], ["a", "3" * 8]]
    assert max(len(line) for line in parts[0].splitlines()) <= 24
    assert folded_table(columns, rows, keys=1, width=200) == text_table(columns, rows)


def test_a_screen_gets_no_line_that_is_wider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "90")
    text = FORMATS.get("table").render(RECORDS, width=screen_width())
    assert max(len(line) for line in text.splitlines()) <= 90
    assert "VIRTUAL_CLOCK (error)" in text


def measured(number: int = 0, *, batch: int = 1, p50_s: float = 0.0515, **fields: Any) -> Record:
    """A record with intervals and no flag, on a device that does not exist."""
    readings = (
        Reading(
            metric="latency_p50", unit="s", value=p50_s, low=0.98 * p50_s, high=1.02 * p50_s, n=8, better=Better.LOWER
        ),
        Reading(metric="latency_p90", unit="s", value=1.1 * p50_s, low=None, high=None, n=8, better=Better.LOWER),
        Reading(metric="latency_p99", unit="s", value=1.2 * p50_s, low=None, high=None, n=8, better=Better.LOWER),
        Reading(
            metric="throughput",
            unit="1/s",
            value=batch / p50_s,
            low=0.98 * batch / p50_s,
            high=1.02 * batch / p50_s,
            n=8,
            better=Better.HIGHER,
        ),
        Reading(
            metric="peak_host_memory", unit="bytes", value=80e6, low=79.99e6, high=80.01e6, n=3, better=Better.LOWER
        ),
    )
    key = dataclasses.replace(record().key, model="resnet50", backend="onnxruntime", batch=batch)
    return record(number, **{"readings": readings, "flags": (), "key": key, **fields})


def proof(precision: Precision, share: float) -> Proof:
    macs = {precision.value: share, "fp32": 1 - share}
    return Proof(
        asked=precision, required=0.9, share=share, macs=macs, bytes=macs, passed=share >= 0.9, layers=(), tf32="absent"
    )


def in_precision(number: int, precision: Precision, share: float, p50_s: float) -> Record:
    first = measured(number, p50_s=p50_s, proof=proof(precision, share))
    return dataclasses.replace(first, key=dataclasses.replace(first.key, precision=precision))


def test_the_usual_table_answers_first_and_fits_a_hundred_columns() -> None:
    records = (
        measured(0),
        skipped(1),
        in_precision(2, Precision.INT8, 0.91, 0.025),
        in_precision(3, Precision.FP16, 0.0, 0.06),
        measured(4, batch=8, p50_s=0.4),
    )
    assert FORMATS.get("table").render(records, width=100).split("\n\n")[0].splitlines() == [
        "model     precision  batch           p50  samples/s    speed-up  peak memory      p90      p99",
        "────────  ─────────  ─────  ────────────  ─────────  ──────────  ───────────  ───────  ───────",
        "resnet50  fp32           1  51.5 ms ±2 %  19.4 ±2 %          1×    76.29 MiB  56.6 ms  61.8 ms",
        "resnet50  int8 91 %      1  25.0 ms ±2 %  40.0 ±2 %  2.06× ±3 %    76.29 MiB  27.5 ms  30.0 ms",
        "resnet50  fp16 0 %       1          void          –           –            –        –        –",
        "resnet50  fp32           8   400 ms ±2 %  20.0 ±2 %  1.03× ±3 %    76.29 MiB   440 ms   480 ms",
        "in all rows: backend onnxruntime",
        "left out at 100 columns: id (--wide shows all)",
    ]
    sides = FORMATS.get("table").render(records, view=View(paired=True))
    assert "speed-up" not in sides.splitlines()[0], "the verdicts say it"


def test_void_rows_have_no_speed_and_skipped_ones_are_a_line() -> None:
    text = FORMATS.get("table").render((measured(0), skipped(1), in_precision(3, Precision.FP16, 0.0, 0.06)))
    (void,) = [line for line in text.splitlines() if "fp16 0 %" in line]
    assert "void" in void
    assert "ms" not in void
    assert "×" not in void
    assert "skipped: lenet5 null bf16 batch 1: bf16 cannot run here" in text.splitlines()
    assert "60.00 ms" in FORMATS.get("table").render(
        (in_precision(3, Precision.FP16, 0.0, 0.06),), view=View(wide=True)
    )


def test_a_network_is_as_fast_as_itself_whatever_the_other_networks() -> None:
    other = measured(1, p50_s=0.001)
    other = dataclasses.replace(other, key=dataclasses.replace(other.key, model="lenet5"))
    text = FORMATS.get("table").render((measured(0), other, measured(2, p50_s=0.103)))
    assert [line.count("×") for line in text.splitlines()[2:5]] == [1, 0, 1]
    assert "0.500×" in text


def test_chosen_columns_stand_in_their_order() -> None:
    text = FORMATS.get("table").render((measured(0),), view=View(columns=("MACs", "id", "p50")))
    assert text.splitlines()[0].split() == ["MACs", "id", "p50"]
    with pytest.raises(UsageError, match="did you mean 'p50'"):
        FORMATS.get("table").render((measured(0),), view=View(columns=("p5",)))


def test_five_notes_the_most_severe_first() -> None:
    codes = [(f"W{number}", Severity.WARNING) for number in range(6)] + [
        ("BAD", Severity.ERROR),
        ("FYI", Severity.INFO),
    ]
    flags = tuple(Flag(code=code, severity=severity, message="look") for code, severity in codes)
    few = FORMATS.get("table").render((measured(0, flags=flags),)).splitlines()
    shown = [line.split()[0] for line in few if "(warning)" in line or "(error)" in line or "(info)" in line]
    assert shown == ["BAD", "W0", "W1", "W2", "W3"]
    assert "more notes: 2, shown by --notes" in few
    every = FORMATS.get("table").render((measured(0, flags=flags),), view=View(notes=True))
    assert "FYI (info)" in every
    assert "W5 (warning)" in every


@pytest.mark.parametrize(("quick", "advice"), [(True, "run without --quick"), (False, "more --trials")])
def test_advice_knows_what_was_asked(quick: bool, advice: str) -> None:
    text = FORMATS.get("table").render((record(0),), view=View(quick=quick))
    assert f"p50 is known to ±10 % only; for narrower intervals: {advice}" in text
    assert "p50 is known" not in FORMATS.get("table").render((measured(0),))


def test_the_machine_is_named_once() -> None:
    lines = FORMATS.get("table").render((measured(0), measured(1))).splitlines()
    assert [line for line in lines if "environment" in line] == ["none, 1 thread, environment 0123456789ab"]


@pytest.mark.parametrize("form", ["table", "md"])
def test_analytical_memory_stands_beside_what_was_measured(form: str) -> None:
    text = FORMATS.get(form).render(RECORDS, view=View(wide=True)).replace("\N{NO-BREAK SPACE}", " ")
    head, _, measured, skipped_row = [line for line in text.splitlines() if line.startswith("|") or form == "table"][:4]
    assert "analytical" in head
    assert "4.911 MiB" in measured, "5,024,336 bytes of weights and 125,440 of activations"
    assert "4.911 MiB" not in skipped_row


def test_numbers_that_json_cannot_hold_are_null() -> None:
    assert json.loads(json_text({"rate": math.inf, "rows": [{"value": math.nan}, -math.inf, 1.5]})) == {
        "rate": None,
        "rows": [{"value": None}, None, 1.5],
    }
    endless = dataclasses.replace(COST, layers=(dataclasses.replace(COST.layers[0], count=math.inf),))
    device = Device(name="d", title="d", rates={"fp32": 1.0}, fp32_flops_per_s=1e12, bytes_per_s=math.inf)
    for text in (
        render_cost(endless, rows=endless.layers, form="json"),
        render_precisions(COST, (), device, named="d", form="json"),
    ):
        assert "Infinity" not in text
        json.loads(text, parse_constant=pytest.fail)


def test_lists_documents_and_gaps_in_csv() -> None:
    rows = [{"name": "a", "types": ["fp32", "int8"], "bound": {"by": "compute"}, "time_s": None}, {"name": "b,c"}]
    assert csv_text(rows).splitlines() == ["name,types,time_s", "a,fp32 int8,", '"b,c",,']
    assert csv_text([]) == "name"


def test_an_optional_column_is_left_out_where_no_row_has_it() -> None:
    columns: list[Column[str]] = [
        Column(title="name"),
        Column(title="long", cell=lambda row: row if len(row) > 3 else "–", optional=True),
    ]
    assert table_of(columns, ["ab", "cd"]).splitlines()[0] == "name"
    assert table_of(columns, ["ab", "cdef"]).splitlines()[0].split() == ["name", "long"]
    assert table_of(columns, ["ab"], last=("total",), form="md").splitlines()[-1] == "| total |"


def test_rows_say_what_tells_them_apart() -> None:
    wide = View(wide=True)
    plain_row, *_ = FORMATS.get("table").render(RECORDS, view=wide).splitlines()
    assert not {"variant", "mode", "network", "transfer", "wait"} & set(plain_row.split())
    changed = [
        dataclasses.replace(record(2), key=dataclasses.replace(record().key, variant="fallback=fp16")),
        dataclasses.replace(record(3), onnx_sha256="cd" * 32),
        dataclasses.replace(record(4), plan=MeasurementPlan(transfer="inside", like="trtexec-11")),
    ]
    lines = FORMATS.get("table").render((record(0), *changed), view=wide).splitlines()
    named = ["model", "network", "backend", "precision", "variant", "batch", "mode", "threads", "transfer"]
    assert lines[0].replace("like ", "like_").split()[:9] == named
    assert len({line.split("  ")[0] + line[: line.index("ms")] for line in lines[2:6]}) == 4
    assert "abababab" in lines[2]
    assert "fallback=fp16" in lines[3]
    assert "cdcdcdcd" in lines[4]
    assert "like trtexec-11" in lines[5]
    assert all(each.id in line for each, line in zip((record(0), *changed), lines[2:6], strict=True))


def test_other_external_weights_are_another_network() -> None:
    """Two files of equal graphs: their rows differ, and none is faster than the other."""
    rows = [measured(place, weights_sha256=sha * 32) for place, sha in enumerate(("cd", "ef", "cd"))]
    lines = FORMATS.get("table").render(rows, view=View(wide=True)).splitlines()
    place = lines[0].split().index("network")
    networks = [line.split()[place] for line in lines[2:5]]
    assert networks[0] == networks[2] != networks[1]
    document = FORMATS.get("table").render(rows, view=View(columns=("model", "speed-up"))).splitlines()
    assert [line.split()[-1] for line in document[2:5]] == ["1×", "–", "%"]


def test_markdown_is_one_table_with_bars_escaped() -> None:
    text = FORMATS.get("md").render(RECORDS, view=View(wide=True))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    usual = FORMATS.get("md").render((measured(0), measured(1), skipped(2)))
    assert usual.splitlines()[0].count("|") <= 10
    assert "<details><summary>1 note</summary>" in usual
    assert "in all rows: backend onnxruntime" in usual, "said once, so that samples/s and memory fit"
    assert usual.splitlines()[0].count("| peak memory |") == 1


def test_csv_says_units_and_has_empty_cells_for_the_unmeasured() -> None:
    rows = list(csv.DictReader(io.StringIO(FORMATS.get("csv").render(RECORDS))))
    assert [row["status"] for row in rows] == ["ok", "skipped"]
    assert float(rows[0]["latency_p50_s"]) == 1e-3
    assert rows[0]["throughput_low_per_s"] == ""
    assert rows[1]["latency_p50_s"] == ""
    assert rows[0]["env"] == "0123456789ab"
    assert {"cpu", "gpu"} <= set(rows[0])
    assert FORMATS.get("csv").render(()).startswith("id,")


def test_csv_has_the_digits_that_the_interval_leaves_known() -> None:
    usual = record()
    readings = tuple(
        dataclasses.replace(each, value=0.0012345678, low=0.0011987654, high=0.0012654321)
        for each in usual.readings
        if each.metric == "latency_p50"
    )
    text = FORMATS.get("csv").render([dataclasses.replace(usual, readings=readings)])
    (row,) = csv.DictReader(io.StringIO(text))
    names = ("latency_p50_s", "latency_p50_low_s", "latency_p50_high_s")
    assert [float(row[name]) for name in names] == [0.001235, 0.001199, 0.001265]


def test_json_holds_the_whole_records() -> None:
    document = json.loads(FORMATS.get("json").render(RECORDS))
    assert document == {
        "schema": "benchbox.report/1",
        "records": [json.loads(json.dumps(document_from_record(one))) for one in RECORDS],
    }


def test_tables_are_aligned_by_what_is_seen() -> None:
    columns = (Column(title="name"), Column(title="n", number=True))
    assert text_table(columns, [("é—µ", "10"), ("表", "2")]).splitlines() == [
        "name   n",
        "────  ──",
        "é—µ   10",
        "表     2",
    ]
    assert markdown_table(columns, [("a|b", "1")]).splitlines()[2] == "| a\\|b | 1 |"


COST = NetworkCost(
    model="net",
    input_shape=(3, 8, 8),
    batch=2,
    onnx_sha256="cd" * 32,
    params=30,
    onnx_nodes=2,
    weight_bytes=120,
    activation_bytes=64,
    peak_activation_bytes=48,
    convention="mac",
    layers=(
        LayerCost(
            name="conv",
            op="Conv",
            output_shape=(2, 4),
            macs=100,
            elementwise=0,
            params=30,
            weight_bytes=120,
            read_bytes=16,
            write_bytes=32,
            count=100,
        ),
        LayerCost(name="relu", op="Relu", output_shape=(2, 4), elementwise=8, read_bytes=32, write_bytes=32),
    ),
)


@pytest.mark.parametrize("form", ["table", "md"])
def test_the_cost_for_people(form: str) -> None:
    text = render_cost(COST, rows=COST.layers, form=form).replace("\N{NO-BREAK SPACE}", " ")
    assert "conv" in text
    assert "100 %" in text
    assert "100 MACs, 208 FLOPs" in text


def test_the_cost_for_programs() -> None:
    document = document_from_cost(COST, rows=COST.layers)
    text = render_cost(COST, rows=COST.layers, form="json")
    assert json.loads(text) == json.loads(json.dumps(document))
    assert document["layers"][1]["flops"] == 8  # type: ignore[index]
    rows = list(csv.DictReader(io.StringIO(render_cost(COST, rows=COST.layers, form="csv"))))
    assert [row["output_shape"] for row in rows] == ["2x4", "2x4"]
    assert sum(int(row["flops"]) for row in rows) == 208
    with pytest.raises(Exception, match="did you mean 'csv'"):
        require_form("cvs")


def test_another_convention_has_a_column_and_what_is_not_counted_is_said() -> None:
    cost = dataclasses.replace(COST, convention="fvcore", uncounted=tuple(f"node{k} (Magic)" for k in range(7)))
    text = render_cost(cost, rows=cost.layers, form="table")
    assert "count" in text.splitlines()[0]
    assert "share is of the fvcore count, 100" in text
    assert "UNCOUNTED, taken as zero: node0 (Magic)" in text
    assert "and 2 more" in text


def test_intensity_is_operations_per_byte_moved() -> None:
    assert COST.layers[0].intensity == pytest.approx(200 / 168)
    assert LayerCost(name="view", op="Reshape", output_shape=(1,)).intensity is None
    document = document_from_cost(COST, rows=COST.layers)
    assert document["arithmetic_intensity"] == pytest.approx(208 / (120 + 48 + 64))


def test_a_reconciliation_takes_numbers_apart() -> None:
    counts = [{"name": "fvcore", "unit": "FLOPs", "total": 12, "parts": {"products": 10, "norms": 2}, "source": "1.0"}]
    text = render_reconciliation("net", counts, {"ptflops": "no layers"}, form="table")
    lines = text.splitlines()
    assert lines[0] == "net"
    assert any("fvcore" in line and "12" in line and "products" in line for line in lines)
    assert any("norms" in line and "fvcore" not in line for line in lines)
    assert "fvcore: 1.0" in text
    assert "ptflops: not reproduced here: no layers" in text
