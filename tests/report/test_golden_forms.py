"""Other forms of tables at a hundred columns, letter by letter; ``test_golden_tables.py`` says how to renew them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pytest
from ceilings_made import bandwidth, ceilings, compute
from golden_text import WIDTH, on_a_narrow_screen, require_golden
from sample_configurations import candidates, measured, reading
from sample_records import ENVIRONMENT, skipped
from test_golden_tables import BASE
from test_golden_tables import measured as timed

from benchbox.choose.choosing import Request, choices_of
from benchbox.choose.limits import limit_from_text, objective_from_names
from benchbox.choose.text import render_choices
from benchbox.gate.comparable import Rules
from benchbox.gate.judge import overall, verdicts_from_measured
from benchbox.report.records.base import FORMATS, View
from benchbox.report.views.ceilings import render_ceilings
from benchbox.report.views.engines import Listed, render_listed
from benchbox.report.views.verdicts import render_verdicts
from benchbox.schema.artifact import BatchRange
from benchbox.schema.device import Level, Pace
from benchbox.schema.engine import EngineArtifact, EngineMemory, EngineRecipe
from benchbox.schema.model import Precision
from benchbox.schema.proof import Proof
from benchbox.schema.reading import Flag, Severity
from benchbox.schema.record import Record, Status

HERE = dataclasses.replace(ENVIRONMENT, hardware={"cpu": "AMD EPYC"})


@pytest.fixture(autouse=True)
def screen(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_narrow_screen(monkeypatch)


def proof(precision: Precision, share: float) -> Proof:
    macs = {precision.value: share, "fp32": 1 - share}
    return Proof(
        asked=precision, required=0.9, share=share, macs=macs, bytes=macs, passed=share >= 0.9, layers=(), tf32="absent"
    )


def case(number: int, p50_s: float, memory: float, spread: float, *flags: Flag, **fields: object) -> Record:
    readings = (
        reading("latency_p50", p50_s, spread=spread),
        reading("throughput", 1 / p50_s, spread=spread),
        reading("peak_host_memory", memory, spread=0.001),
        reading("latency_p90", 1.2 * p50_s),
        reading("latency_p99", 1.5 * p50_s),
    )
    made = measured("resnet50", *readings, number=number, flags=flags, environment=HERE, **fields)
    return dataclasses.replace(made, key=dataclasses.replace(made.key, backend="onnxruntime", device="cpu"))


def noisy(share: float) -> Flag:
    message = f"inferences in a process vary by {100 * share:.0f} % (standard deviation over mean)"
    return Flag(code="NOISY", severity=Severity.WARNING, message=message, size=share)


def matrix() -> list[Record]:
    """What a run of several precisions gives: one is partly in int8, one wholly in another, one fails, two cannot."""
    not_executed = Flag(code="PRECISION_NOT_EXECUTED", severity=Severity.ERROR, message="fp16 was requested", size=1.0)
    failed = case(4, 1.0, 1e8, 0.1, precision=Precision.INT8, variant="fallback=fp16", status=Status.FAILED)
    refused = [skipped(number) for number in (5, 6)]
    return [
        case(0, 50e-3, 300e6, 0.02, noisy(0.12)),
        case(1, 25e-3, 170e6, 0.08, noisy(0.35), precision=Precision.INT8, proof=proof(Precision.INT8, 0.91)),
        case(2, 51e-3, 290e6, 0.02, not_executed, precision=Precision.FP16, proof=proof(Precision.FP16, 0.0)),
        case(3, 400e-3, 500e6, 0.02, batch=8),
        dataclasses.replace(failed, readings=(), reason="numerics: outputs beyond tolerance"),
        *(dataclasses.replace(each, key=dataclasses.replace(each.key, batch=8 * place + 1))
          for place, each in enumerate(refused)),
    ]  # fmt: skip


def run_matrix() -> str:
    return FORMATS.get("table").render(matrix(), width=WIDTH, view=View(quick=True))


def report_twice() -> str:
    """The same case at two times, and another one: only the beginning of the id tells two rows apart."""
    noisy_later = case(40, 57e-3, 301e6, 0.03, noisy(0.35))
    rows = [case(0, 50e-3, 300e6, 0.02, noisy(0.12)), case(1, 25e-3, 170e6, 0.08, batch=8), noisy_later]
    return FORMATS.get("table").render(rows, width=WIDTH)


def report_machines() -> str:
    """The same case on two machines: the environment tells them apart."""
    there = dataclasses.replace(HERE, hash="ba9876543210", hardware={"cpu": "Intel Xeon"})
    rows = [case(0, 50e-3, 300e6, 0.02), dataclasses.replace(case(1, 31e-3, 301e6, 0.02), environment=there)]
    return FORMATS.get("table").render(rows, width=WIDTH)


def report_wide() -> str:
    return FORMATS.get("table").render(matrix(), width=WIDTH, view=View(wide=True, notes=True))


def report_columns() -> str:
    columns = ("model", "precision", "p50", "speed-up", "MACs")
    return FORMATS.get("table").render(matrix(), width=WIDTH, view=View(columns=columns))


def compare_match() -> str:
    base = [timed(0, BASE), timed(2, [8 * value for value in BASE], batch=8)]
    head = [timed(1, [value // 3 for value in BASE], precision=Precision.INT8)]
    rules = Rules(metrics=("latency_p50", "peak_host_memory"), match=("model", "batch"))
    verdicts = verdicts_from_measured(base, head, rules)
    return render_verdicts(verdicts, overall(verdicts), form="table")


def choose() -> str:
    records = [
        measured(name, reading("latency_p50", p50_s, spread=spread), reading("peak_host_memory", memory, spread=0))
        for name, p50_s, memory, spread in (
            ("small", 4e-3, 8e7, 0.02), ("quick", 2e-3, 2e8, 0.02),
            ("near", 4.9e-3, 7e7, 0.1), ("large", 3e-3, 9e8, 0.02),
        )
    ]  # fmt: skip
    limits = (limit_from_text("latency", "5 ms"), limit_from_text("memory", "500 MB"))
    request = Request(limits=limits, objective=objective_from_names(None, None))
    return render_choices(
        choices_of(candidates(*records), (), request),
        command_of=lambda _: "benchbox run near",
        measuring=lambda _: "benchbox run further",
    )


def ceilings_table() -> str:
    kinds = [(Precision.FP32, 150e9), (Precision.INT8, 310e9)]
    rates = [
        compute(rate * (1.05 if pace is Pace.BURST else 1), precision=precision, kind=pace)
        for precision, rate in kinds for pace in (Pace.BURST, Pace.SUSTAINED)
    ]  # fmt: skip
    slower = [compute(90e9, library="openvino")]
    found = ceilings(*rates, backends=(*rates, *slower), bandwidth=(bandwidth(), bandwidth(80e9, level=Level.L1)))
    return render_ceilings([found])


def engines() -> str:
    recipe = EngineRecipe(
        onnx_sha256="ab" * 32, weights_sha256=None, backend="tensorrt-rtx", backend_version="1.4.0.76",
        targets=("sm86", "sm89"), device="", profiles=(), flags=(), timing_cache_sha256=None,
    )  # fmt: skip
    engine = EngineArtifact(
        key="cd" * 32, model="lenet5", source="zoo:lenet5", weights=None, precision=Precision.FP16,
        batch=BatchRange(minimum=1, optimum=8, maximum=32), recipe=recipe, onnx_path="a.onnx", path="a.engine",
        sha256="ef" * 32, size_bytes=2_621_440, log_path="a.log", timing_cache_path=None, build_s=12.5, layers=12,
        memory=EngineMemory(), built_at="2026-01-02T03:04:00+00:00", warnings=(),
    )  # fmt: skip
    name = "lenet5-fp16-cdcdcdcdcdcd"
    broken = Listed(name=f"{name}-2", engine=engine, fault="its file is damaged: the sha256 differs")
    return render_listed([Listed(name=name, engine=engine, fault=""), broken])


FORMS = [
    run_matrix,
    report_twice,
    report_machines,
    report_wide,
    report_columns,
    compare_match,
    choose,
    ceilings_table,
    engines,
]


@pytest.mark.parametrize("shown", FORMS, ids=lambda shown: shown.__name__)
def test_golden(shown: Callable[[], str]) -> None:
    require_golden(shown.__name__, shown())


def test_markdown_of_a_run() -> None:
    """Lines of Markdown are as long as they are: a page folds them."""
    require_golden("run_markdown", FORMATS.get("md").render(matrix(), view=View(quick=True)), width=None)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("flops_module", ("--by", "module")),
        ("flops_op", ("--by", "op")),
        ("flops_tree", ("--by", "tree")),
        ("flops_top", ("--top", "2")),
        ("flops_precisions", ("--precision", "fp16,int8", "--device", "l4")),
        ("flops_convention", ("--convention", "fvcore")),
    ],
)
def test_golden_flops(name: str, arguments: tuple[str, ...], benchbox: Callable, lenet_outlined: None) -> None:
    text = re.sub(r"(?<=sha256 )[0-9a-f]{16}", "0" * 16, benchbox("flops", "lenet5", *arguments).out)
    require_golden(name, text)


def test_golden_explain(benchbox: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    require_golden("explain", benchbox("explain", "OVERSUBSCRIBED", "speed-up", "converted").out)
