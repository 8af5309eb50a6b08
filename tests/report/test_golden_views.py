"""Tables of networks, levels and the store at a hundred columns, letter by letter, of what is made up here.

``test_golden_tables.py`` says how to renew them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from golden_text import on_a_narrow_screen, require_golden
from sample_records import EVIDENCE, record
from test_golden_tables import checkup

from benchbox.fleet.plan import plan_of
from benchbox.fleet.sweep_file import Sweep, SweepCase
from benchbox.fleet.text import render_plan
from benchbox.gate.formats.levels import render_levels
from benchbox.gate.levels.baseline import Expected, Level
from benchbox.gate.night import Acknowledgement
from benchbox.report.views.accuracy import render_accuracies
from benchbox.report.views.artifact import render_artifact
from benchbox.report.views.bisection import render_bisection
from benchbox.report.views.checking import render_checked
from benchbox.report.views.doctor import render_checkup
from benchbox.schema.accuracy import AccuracyResult, Bisection, LayerError, Share
from benchbox.schema.artifact import BatchRange, Hop, OnnxArtifact
from benchbox.schema.derivation import CalibrationMethod, Quantization
from benchbox.schema.identity import case_of
from benchbox.schema.model import Precision
from benchbox.stats.interval import wilson_interval
from benchbox.store.checking import Checked, Fault


@pytest.fixture(autouse=True)
def screen(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_narrow_screen(monkeypatch)


def share(right: int, samples: int) -> Share:
    low, high = wilson_interval(right, samples)
    return Share(value=right / samples, low=low, high=high)


def right_ones(right: int, samples: int, first: int = 0) -> str:
    """That many pictures in a row, as a result keeps them."""
    return f"{int(('0' * first + '1' * right).ljust(samples, '0'), 2):x}"


def accuracy() -> str:
    samples = 5000
    fp32 = AccuracyResult(
        model="resnet50", backend="onnxruntime", precision=Precision.FP32, variant="", samples=samples, classes=1000,
        top1=share(3806, samples), top5=share(4644, samples), recipe="", onnx_sha256="ab" * 32, evidence=EVIDENCE,
        right=right_ones(3806, samples), data_sha256="cd" * 32,
    )  # fmt: skip
    int8 = dataclasses.replace(
        fp32, precision=Precision.INT8, variant="calibration=photos fallback=fp16", top1=share(3771, samples),
        top5=share(4630, samples), right=right_ones(3771, samples, first=20),
    )  # fmt: skip
    return render_accuracies([fp32, int8])


def accuracy_of_few() -> str:
    few = AccuracyResult(
        model="mycolours.Colours", backend="onnxruntime", precision=Precision.FP32, variant="", samples=24, classes=3,
        top1=share(24, 24), top5=share(24, 24), recipe="", onnx_sha256="ab" * 32, evidence=EVIDENCE,
        right=right_ones(24, 24), data_sha256="cd" * 32,
    )  # fmt: skip
    return render_accuracies([few])


def hop(source: str, target: str, error: float, *, passed: bool = True, top1: float | None = None) -> Hop:
    return Hop(
        source=source, target=target, max_abs_error=2 * error, rel_l2_error=error, cosine=1 - error**2 / 2,
        passed=passed, top1_agreement=top1,
    )  # fmt: skip


LAYERS = (
    LayerError(node="layer4.0.downsample.0", op="Conv", before=0.021, after=0.097, added=0.0947),
    LayerError(node="features.12.conv.pointwise.with_a_name_that_goes_on_and_on.0.block.3.conv2", op="Conv",
               before=0.0131, after=0.0312, added=0.0283),
    LayerError(node="fc", op="Gemm", before=0.0021, after=0.0024, added=0.00116),
)  # fmt: skip


def bisect() -> str:
    found = Bisection(
        model="resnet50", precision=Precision.INT8, rel_l2_tolerance=0.02, cosine_tolerance=-1.0,
        before=hop("onnx-fp32", "onnx-int8", 0.0412, passed=False), layers=LAYERS, exclude=("layer4.0.downsample.0",),
        restored=hop("onnx-fp32", "onnx-int8", 0.0187), conversions=6,
    )  # fmt: skip
    return render_bisection(found, shown=2, arguments=["--exclude", "layer4.0.downsample.0"])


def bisect_within() -> str:
    before = hop("onnx-fp32", "onnx-bf16", 0.0041)
    found = Bisection(
        model="resnet50", precision=Precision.BF16, rel_l2_tolerance=0.05, cosine_tolerance=0.998, before=before,
        layers=LAYERS, exclude=(), restored=before, conversions=1,
    )  # fmt: skip
    return render_bisection(found, shown=10, arguments=[])


def export() -> str:
    artifact = OnnxArtifact(
        model="resnet50", source="zoo:resnet50", precision=Precision.INT8, opset=20, path="", sha256="ab" * 32,
        size_bytes=25_802_113, params=25_557_032, batch=BatchRange(), inputs=(), outputs=(), exporter="",
        evaluator="onnxruntime 1.32.0 (CPU, no graph optimisations, 1 thread)", expected_by="pytorch 2.13.0",
        expected_path=None, expected_samples=4, seed=0, recipe="",
        hops=(
            hop("pytorch-fp64", "pytorch-fp32", 8.3e-8, top1=1.0),
            hop("pytorch-fp32", "onnx-fp32", 1.24e-7, top1=1.0),
            hop("onnx-fp32", "onnx-int8", 0.0262, top1=0.75),
        ),
        warnings=("the first and the last layer are in int8 too; exclude them where accuracy matters more than speed",),
        quantization=Quantization(
            method=CalibrationMethod.MINMAX, data="256 pictures of photos/train/by-class, seed 0", synthetic=False,
            digest="cd" * 32, samples=256, exclude=(), fallback=Precision.FP32, quantized=53, quantizable=54,
        ),
    )  # fmt: skip
    return render_artifact(artifact, "/srv/bench/engines/onnx/resnet50-int8-abababababab.onnx")


def sweep_plan() -> str:
    sweep = Sweep(
        models=["lenet5", "resnet18"], backends=["onnxruntime", "openvino"], batches=[1, 8], name="nightly",
        calibration="photos", max_time_s=10.0, processes=8, passes=1, unit_minutes=4,
        include=[SweepCase(model="mynets:small", backend="pytorch", precision="bf16", mode="offline", threads=2)],
    )  # fmt: skip
    plan = plan_of(sweep, estimate=lambda case, processes: 5.0 * processes * (2 if (case.batch or 1) > 1 else 1))
    return render_plan(plan, timed=3, cases=9)


def store_check() -> str:
    root = Path("/srv/bench")
    damaged = [root / "results" / "records" / "2026-01" / f"20260102T03040{number}Z-0000000{number}.json"
               for number in (1, 2)]  # fmt: skip
    found = Checked(
        counts={"records": 41, "accuracies": 1, "layers": 2, "artifacts": 0, "engines": 1},
        faults=(
            Fault(path=damaged[0], reason="its samples are missing: the file beside it is not there", record=True),
            Fault(path=damaged[1], reason="it is not a JSON document", record=True),
        ),
    )
    return render_checked(found, {damaged[1]: root / "results" / "damaged" / damaged[1].name}, root=root)


def store_check_whole() -> str:
    return render_checked(Checked(counts={"records": 1, "layers": 0}, faults=()), {}, root=Path("/srv/bench"))


def baseline_show() -> str:
    case = case_of(record())
    level = Level(
        unit="s", value=1.0021e-3, night="2026-01-23", environment="0123456789ab", kind="measured",
        values=(1e-3,) * 14, records=("a",), commit="c0ffee1234567",
    )  # fmt: skip
    levels = {
        "latency_p50": level,
        "onnx_nodes": dataclasses.replace(level, unit="1", value=12.0, values=(), kind="counted"),
        "peak_host_memory": dataclasses.replace(level, unit="bytes", value=80_530_440.0),
    }
    anchor = dataclasses.replace(level, value=0.9876e-3, night="2026-01-02", pinned="v1.4")
    expected = Expected(case=case, machine="here", levels=levels, anchors={"latency_p50": anchor})
    accepted = Acknowledgement(
        group="20260121-none-null-fp32-slower", cases=("lenet5/*", "resnet18/*"), metric="latency_p50",
        ratio=(1.05, 1.21), until="2026-04-23", accepted="2026-01-23", issue="https://example.org/issues/12",
        reason="padding for alignment: rows of the first layer begin at 64 bytes, which later layers gain from",
    )  # fmt: skip
    return render_levels({"lenet5/null/fp32/b1/isolated/t1/virtual@none": expected}, [accepted])


def doctor_all() -> str:
    found = checkup()
    hardware = {"cpu": "AMD EPYC", "cpu_flags": " ".join(f"feature{number}" for number in range(20)), "memory_gib": "8"}
    environment = dataclasses.replace(
        found.environment, hardware=hardware, software={"python": "3.13.1", "onnxruntime": "1.32.0"},
        observed={"load_1min": "0.12"},
    )  # fmt: skip
    return render_checkup(dataclasses.replace(found, environment=environment), every=True)


VIEWS = [
    accuracy, accuracy_of_few, bisect, bisect_within, export, sweep_plan, store_check, store_check_whole, baseline_show,
    doctor_all,
]  # fmt: skip


@pytest.mark.parametrize("shown", VIEWS, ids=lambda shown: shown.__name__)
def test_golden(shown: Callable[[], str]) -> None:
    require_golden(shown.__name__, shown())
