"""Which backend runs where none is named: by what the processor has, by what records say, and with which words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_records import record, trials

from benchbox.backends.base import BACKENDS, Availability
from benchbox.errors import EnvironmentLackError, MeasurementError, UsageError
from benchbox.jobs.best_backend import Chooser
from benchbox.machine.environment import capture
from benchbox.machine.rates import INSTRUCTION_SETS
from benchbox.models.sources import resolve
from benchbox.schema.model import ModelSource, Precision, SourceKind
from benchbox.schema.plan import MeasurementPlan
from benchbox.store.records import append

LENET = resolve("lenet5", input_shape=None, weights=None)
FILE = dataclasses.replace(LENET, kind=SourceKind.ONNX)
GONE = Availability(usable=False, reason="not installed", remedy="install it")
# What OpenVINO's CPU plugin lists on processors of these instruction sets.
CAPABILITIES = {
    "avx2": {"FP32", "INT8"},
    "avx512-bf16": {"FP32", "INT8", "BF16"},
    "amx": {"FP32", "INT8", "BF16", "FP16"},
}


@pytest.fixture
def chooser_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Chooser]:
    """A chooser on a machine without a GPU whose processor has these instruction sets; every runtime is there."""

    def make(processor: str = "avx2", *, without: tuple[str, ...] = (), **fields: Any) -> Chooser:
        for backend in BACKENDS:
            usable = backend.device == "cpu" and backend.name not in without
            state = Availability(usable=True, version="1") if usable else GONE
            monkeypatch.setattr(backend, "probe", lambda state=state: state)
        capabilities = frozenset(CAPABILITIES[processor])
        monkeypatch.setattr("benchbox.backends.openvino.cpu.cpu_capabilities", lambda: capabilities)
        return Chooser(root=tmp_path, isa=frozenset(INSTRUCTION_SETS[processor]), **fields)

    return make


@pytest.mark.parametrize(
    ("processor", "source", "precision", "backend", "others"),
    [
        ("avx2", LENET, "fp32", "onnxruntime", ("openvino", "pytorch")),
        ("avx2", FILE, "fp32", "onnxruntime", ("openvino",)),
        ("avx2", LENET, "int8", "onnxruntime", ("openvino (in part)",)),
        ("avx2", LENET, "bf16", "pytorch", ()),
        ("avx2", LENET, "fp16", "pytorch", ("onnxruntime (in fp32 between casts)",)),
        ("avx2", FILE, "fp16", "onnxruntime", ()),
        ("avx512-bf16", LENET, "bf16", "openvino", ("pytorch",)),
        ("avx512-bf16", FILE, "bf16", "openvino", ()),
        ("avx512-bf16", LENET, "int8", "openvino", ("onnxruntime (in part)",)),
        ("amx", LENET, "fp16", "openvino", ("pytorch", "onnxruntime (in fp32 between casts)")),
    ],
)
def test_what_computes_best_in_the_precision(
    processor: str,
    source: ModelSource,
    precision: str,
    backend: str,
    others: tuple[str, ...],
    chooser_on: Callable[..., Chooser],
) -> None:
    choice = chooser_on(processor).best(source, [Precision(precision)])
    assert (choice.backend, choice.others) == (backend, others)
    assert choice.text.startswith(f"{precision} on {backend}: ")


def test_what_refuses_is_named_where_nothing_is_native(chooser_on: Callable[..., Chooser]) -> None:
    slow = chooser_on("avx2", without=("onnxruntime",)).best(LENET, [Precision.BF16])
    assert [line.partition(":")[0] for line in slow.refused] == ["openvino"]
    assert "cannot run it: openvino: OpenVINO does not compute in bf16 on this CPU" in slow.text
    assert "cannot run it" not in chooser_on("avx512-bf16").best(LENET, [Precision.BF16]).text


def test_one_backend_for_several_precisions(chooser_on: Callable[..., Chooser]) -> None:
    both = (Precision.FP32, Precision.BF16)
    assert chooser_on("avx512-bf16").best(LENET, both).backend == "openvino"
    slow = chooser_on("avx2").best(LENET, both)
    assert slow.backend == "pytorch"
    assert "fp32/bf16 on pytorch: no backend here computes in all of them natively" in slow.text
    assert chooser_on("avx2", modules=False).best(LENET, [Precision.FP32]).others == ("openvino",)


def test_what_nothing_can_run_is_refused_with_the_reason_of_each(chooser_on: Callable[..., Chooser]) -> None:
    with pytest.raises(UsageError, match="no backend on this machine can run bf16") as caught:
        chooser_on("avx2").best(FILE, [Precision.BF16])
    assert "onnxruntime: ONNX Runtime's CPU provider has no bf16" in caught.value.values
    assert "openvino: OpenVINO does not compute in bf16" in caught.value.values


def test_in_a_matrix_such_a_precision_goes_to_the_backend_of_another(chooser_on: Callable[..., Chooser]) -> None:
    wanted = (Precision.FP32, Precision.FP8)
    chooser = chooser_on("avx2")
    assert [chooser.of_matrix(LENET, precision, wanted) for precision in wanted] == ["onnxruntime", "onnxruntime"]
    with pytest.raises(UsageError, match="fp8"):
        chooser.of_matrix(LENET, Precision.FP8, (Precision.FP8, Precision.TF32))


def test_a_missing_or_failing_runtime_leaves_the_others(
    chooser_on: Callable[..., Chooser], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chooser_on("avx2", without=("onnxruntime",)).best(LENET, [Precision.FP32]).backend == "openvino"
    chooser = chooser_on("avx2")

    def busy() -> Availability:
        raise MeasurementError("the device is busy")

    monkeypatch.setattr(BACKENDS.get("tensorrt"), "probe", busy)
    assert chooser.best(LENET, [Precision.FP32]).backend == "onnxruntime"
    nothing = chooser_on("avx2", without=("onnxruntime", "openvino", "pytorch"))
    with pytest.raises(EnvironmentLackError, match="CPU, onnxruntime: not installed; install it"):
        nothing.best(LENET, [Precision.FP32])


@pytest.mark.parametrize(("faster", "backend"), [(0.3, "openvino"), (0.99, "onnxruntime"), (1.5, "onnxruntime")])
def test_among_equals_stored_records_of_this_machine_decide(
    faster: float, backend: str, chooser_on: Callable[..., Chooser], tmp_path: Path
) -> None:
    """Only where the intervals are apart: half a percent is no reason to leave the usual backend."""
    plan = MeasurementPlan(threads=2)
    here = capture()
    for number, (name, factor) in enumerate((("onnxruntime", 1.0), ("openvino", faster))):
        usual = record(number)
        readings = tuple(
            dataclasses.replace(each, value=factor, low=0.98 * factor, high=1.02 * factor)
            for each in usual.readings
            if each.metric == "latency_p50"
        )
        key = dataclasses.replace(usual.key, backend=name, batch=1)
        append(tmp_path, dataclasses.replace(usual, key=key, plan=plan, readings=readings, environment=here), trials())
    choice = chooser_on("avx2", plan=plan).best(LENET, [Precision.FP32])
    assert choice.backend == backend
    assert ("3.3 times as fast as onnxruntime in stored records" in choice.text) is (faster < 0.5)
    other = chooser_on("avx2", plan=MeasurementPlan(threads=1)).best(LENET, [Precision.FP32])
    assert other.backend == "onnxruntime", "records of other threads say nothing"
