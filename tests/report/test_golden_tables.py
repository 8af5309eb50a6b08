"""Every table fits a hundred columns, and those of fixed values are the texts in ``golden_tables/``, letter by letter.

After an intended change: BENCHBOX_GOLDEN=write python -m pytest tests/report tests/cost/executed, then read the
difference.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from golden_text import TABLE, WIDTH, on_a_narrow_screen, require_golden
from sample_nights import NEW_DRIVER, level, nights
from sample_records import ENVIRONMENT, record, trials

from benchbox.gate.comparable import Measured, Rules
from benchbox.gate.history import series_from_records
from benchbox.gate.judge import overall, verdict_between, verdicts_from_measured
from benchbox.machine.instruments import Instrument
from benchbox.report.records.base import FORMATS
from benchbox.report.views.doctor import BackendState, Checkup, Probe, render_checkup
from benchbox.report.views.history import render_history
from benchbox.report.views.layers import render_layers
from benchbox.report.views.verdicts import render_sides, render_verdicts
from benchbox.schema.environment import Environment
from benchbox.schema.layers import ExecutedLayer, LayerRow, LayerTable
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.reading import Flag, Severity
from benchbox.store.records import append


@pytest.fixture(autouse=True)
def screen(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_narrow_screen(monkeypatch)


def measured(number: int, medians_ns: list[int], **key: object) -> Measured:
    timed, weighed = trials()
    runs = [
        dataclasses.replace(timed, number=place, samples_ns=(value,) * 3, window_ns=3 * value)
        for place, value in enumerate(medians_ns)
    ]
    made = record(number, flags=())
    weights = [dataclasses.replace(weighed, number=place, peak_host_bytes=2**26 + place) for place in range(4)]
    return Measured(
        record=dataclasses.replace(made, key=dataclasses.replace(made.key, **key)), trials=(*runs, *weights)
    )


BASE = [1000, 1002, 998, 1004, 996]


def compare(form: str = "table") -> str:
    verdicts = verdicts_from_measured(
        [measured(0, BASE), measured(2, BASE, batch=8)],
        [measured(1, [1100, 1160, 1040, 1120, 1080]), measured(3, [1300, 1302, 1298, 1304, 1296], batch=8)],
        Rules(metrics=("latency_p50", "peak_host_memory")),
    )
    return render_verdicts(
        verdicts, overall(verdicts), form=form, machines=["AMD EPYC, 1 thread, environment 0123456789ab"]
    )


def sides() -> str:
    base, head = measured(0, BASE), measured(1, [value // 3 for value in BASE], precision=Precision.INT8)
    metrics = ("latency_p50", "throughput", "peak_host_memory")
    verdicts = [verdict_between(base, head, metric, Rules()) for metric in metrics]
    return render_sides(verdicts, [("fp32", "int8")] * 3, overall(verdicts), form="table")


def sides_of_four() -> str:
    """Three precisions against fp32: A is named once, and what came out for each."""
    first = measured(0, BASE)
    others = [
        measured(1, [value // 3 for value in BASE], precision=Precision.INT8),
        measured(2, [1100, 1160, 1040, 1120, 1080], precision=Precision.BF16),
        measured(3, [value * 2 for value in BASE], precision=Precision.FP16),
    ]
    metrics = ("latency_p50", "throughput", "peak_host_memory")
    verdicts = [verdict_between(first, head, metric, Rules()) for head in others for metric in metrics]
    labels = [("fp32", name) for name in ("int8", "bf16", "fp16") for _ in metrics]
    return render_sides(verdicts, labels, overall(verdicts), form="table")


def layers() -> str:
    def row(name: str, kind: str, time_s: float, macs: int, moved: int) -> LayerRow:
        layer = ExecutedLayer(name=f"run {name}", kind=kind, inputs=("fp32",), times_s=(time_s,))
        return LayerRow(name=name, layer=layer, nodes=(name,), macs=macs, flops=2 * macs, moved_bytes=moved)

    rows = (
        row("layer1.0.conv2_with_a_long_name_of_its_module_and_more", "NhwcFusedConv", 2e-3, 115_605_504, 1_753_088),
        row("fc", "Gemm", 1e-4, 512_000, 2_056_000),
    )
    table = LayerTable(
        model="net", backend="onnxruntime", precision="fp32", batch=1, threads=1, iterations=50, rows=rows,
        macs=116_117_504, flops=232_235_008, uncovered=(), uncovered_macs=0, latency_s=2.2e-3, onnx_sha256="f" * 64,
    )  # fmt: skip
    return render_layers(table, rows, form="table")


def run() -> str:
    return FORMATS.get("table").render([record(0), record(1)], width=WIDTH)


def checkup() -> Checkup:
    backend = BackendState(
        name="onnxruntime", device="cpu", usable=True, builds=False, version="1.32.0",
        precisions=("fp32", "fp16", "int8"), reason="", remedy="",
    )  # fmt: skip
    lacking = dataclasses.replace(
        backend, name="tensorrt", usable=False, reason="TensorRT is not installed", remedy="pip install it"
    )
    return Checkup(
        backends=(backend, lacking, dataclasses.replace(backend, name="null")),
        layers=(),
        environment=Environment(hash="0123456789ab", hardware={"cpu": "AMD EPYC"}, software={}, observed={}),
        instruments=(Instrument(name="clock", usable=True, detail="1 ns"),),
        flags=(Flag(code="VIRTUALIZED", severity=Severity.INFO, message="a virtual machine: use --ab"),),
        threads=2,
        probes=(
            Probe(title="core-to-core latency", metric="probe_handover", now_s=3e-7, usual=(1.2e-7, 1.3e-7, 1.5e-7),
                  records=41, limit=1.5),
        ),
    )  # fmt: skip


def doctor() -> str:
    return render_checkup(checkup())


def history() -> str:
    series = series_from_records(nights([*level(20, 1e-3), *level(10, 1.1e-3, 1)]), metric="latency_p50", effect=0.03)
    return render_history(series, last=14)


def history_of_a_server() -> str:
    """A case with all that names one, another environment, and commits of several letters."""
    key = dataclasses.replace(
        record().key, model="resnet18-3x320x320", variant="calibration=photos fallback=fp16", mode=Mode.SERVER
    )
    plan = MeasurementPlan(mode=Mode.SERVER, rate_per_s=40.0, latency_bound_s=0.05, streams=2, threads=2)
    newer = dataclasses.replace(
        NEW_DRIVER, software={"benchbox": "0.2.0", "driver": "560.35.03 with a long name", "onnxruntime": "1.33.0"}
    )
    entries = nights(
        [*level(8, 1e-3), *level(8, 1.1e-3, 1)],
        environment=lambda night: newer if night >= 8 else ENVIRONMENT,
        key=key,
        plan=plan,
    )
    return render_history(series_from_records(entries, metric="latency_p50", effect=0.03), last=10)


def test_a_comment_has_at_most_nine_columns_and_folds_the_rest() -> None:
    text = compare("md")
    assert text.splitlines()[0].count("|") <= 10
    require_golden("compare_markdown", text, width=None)


TABLES = (compare, sides, sides_of_four, layers, run, doctor, history, history_of_a_server)


@pytest.mark.parametrize("shown", TABLES, ids=lambda shown: shown.__name__)
def test_golden(shown: Callable[[], str]) -> None:
    require_golden(shown.__name__, shown())


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("flops", ("flops", "lenet5")),
        ("lecture", ("flops", "alexnet_lecture", "--convention", "lecture")),
        ("reconcile", ("flops", "lenet5", "--reconcile")),
        ("models", ("models",)),
    ],
)
def test_golden_commands(name: str, arguments: tuple[str, ...], benchbox: Callable, lenet_outlined: None) -> None:
    text = re.sub(r"(?<=sha256 )[0-9a-f]{16}", "0" * 16, benchbox(*arguments).out)
    require_golden(name, text)


def test_golden_gate(benchbox: Callable, tmp_path: Path) -> None:
    """A night on which two of three networks are slower, and one that was measured before is missing."""
    for number, model in enumerate(("lenet5", "resnet18", "vgg16")):
        values = [*level(20, 1e-3, number), *level(3, 1.2e-3 if number < 2 else 1e-3, 7 + number)]
        for night, entry in enumerate(nights(values[: 22 if number == 2 else None], flags=())):
            key = dataclasses.replace(entry.key, model=model)
            append(
                tmp_path, dataclasses.replace(entry, key=key, id=f"{entry.id[:-8]}{number:04d}{night:04d}"), trials()
            )
    require_golden("gate", benchbox("gate").out)


@pytest.mark.parametrize(
    "arguments",
    [
        ("flops", "resnet18", "--top", "5"),
        ("flops", "resnet18", "--by", "module"),
        ("flops", "resnet18", "--by", "op"),
        ("flops", "resnet18", "--by", "tree"),
        ("flops", "resnet18", "--precision", "fp16,int8", "--device", "l4"),
    ],
    ids=" ".join,
)
def test_every_line_fits(arguments: tuple[str, ...], benchbox: Callable, exports: Any, tmp_path: Path) -> None:
    exports.copy_structure_to(tmp_path, "resnet18")
    text = benchbox(*arguments).out
    assert TABLE.search(text)
    assert max(map(len, text.splitlines())) <= WIDTH, max(text.splitlines(), key=len)
