"""What can be chosen, and why the rest cannot."""

from __future__ import annotations

import dataclasses

import pytest
from sample_configurations import candidates, measured, reading
from sample_records import EVIDENCE, HOP, skipped

from benchbox.choose.amounts import Counted, Stated
from benchbox.choose.candidates import candidates_from_records, reason_against
from benchbox.schema.accuracy import AccuracyResult, Share
from benchbox.schema.model import Precision
from benchbox.schema.proof import Proof
from benchbox.schema.reading import Flag, Severity
from benchbox.schema.record import Correctness, Record, Status

P50 = reading("latency_p50", 1e-3)


def proof(precision: Precision, share: float, *, passed: bool | None) -> Proof:
    shares = {precision.value: share, "fp32": 1 - share} if share < 1 else {precision.value: 1.0}
    return Proof(asked=precision, required=0.9, share=share, macs=shares, bytes=shares, passed=passed)


INT8 = {"precision": Precision.INT8}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (measured("a", P50), ""),
        (measured("a", P50, **INT8, proof=proof(Precision.INT8, 0.95, passed=True)), ""),
        (measured("a", P50, **INT8, proof=proof(Precision.INT8, 0.4, passed=False)), "precision not proven"),
        (measured("a", P50, **INT8, proof=proof(Precision.INT8, 0.4, passed=None)), "precision not proven"),
        (measured("a", P50, **INT8), "precision not proven"),
        (measured("a", P50, correctness=Correctness(hops=(HOP,), passed=False)), "outputs not right"),
        (measured("a", P50, correctness=Correctness()), "outputs not checked"),
        (measured("a", P50, flags=(Flag(code="VIRTUAL_CLOCK", severity=Severity.ERROR, message=""),)), "void"),
        (
            measured("a", P50, flags=(Flag(code="OVERSUBSCRIBED", severity=Severity.WARNING, message=""),)),
            "void",
        ),
        (measured("a", P50, flags=(Flag(code="CPU_STEAL", severity=Severity.WARNING, message=""),)), ""),
        (measured("a", status=Status.FAILED, reason="died"), "failed"),
        (skipped(), "skipped"),
    ],
)
def test_only_right_proven_and_valid_numbers_count(record: Record, reason: str) -> None:
    assert reason_against(record) == reason


def test_a_metric_with_an_error_is_absent_alone() -> None:
    flag = Flag(code="ENERGY_SHARED", severity=Severity.ERROR, message="", metrics=("energy_per_sample",))
    energy = dataclasses.replace(reading("energy_per_sample", 0.1), unit="J")
    (found,) = candidates(measured("a", P50, energy, flags=(flag,)))
    assert set(found.amounts) == {"latency"}


def test_the_newest_record_with_numbers_stands_for_its_case() -> None:
    old = measured("a", reading("latency_p50", 1e-3), number=1)
    new = measured("a", reading("latency_p50", 2e-3), number=2)
    failed = measured("a", number=3, status=Status.FAILED, reason="died")
    (found,) = candidates(new, failed, old)
    assert found.record.id == new.id
    lost = measured("a", number=4, status=Status.FAILED, reason="died", onnx_sha256=None)
    kept, excluded = candidates_from_records(
        [new, lost], facet_of=lambda _: ("here",), name_of=lambda entry: entry.key.model
    )
    assert [entry.record.id for entry in kept] == [new.id]
    assert not excluded


def test_memory_is_the_devices_where_there_is_one() -> None:
    host, device = reading("peak_host_memory", 5e9), reading("peak_device_memory", 1e9)
    (gpu,) = candidates(measured("a", P50, host, device))
    assert gpu.amounts["memory"].value == 1e9
    (cpu,) = candidates(measured("a", P50, host))
    assert cpu.amounts["memory"].value == 5e9


def accuracy(sha256: str, precision: Precision) -> AccuracyResult:
    share = Share(value=0.7, low=0.65, high=0.75)
    return AccuracyResult(
        model="a", backend="null", precision=precision, variant="", samples=1000, classes=10, top1=share, top5=share,
        recipe="", onnx_sha256=sha256, evidence=EVIDENCE,
    )  # fmt: skip


def test_measured_accuracy_goes_before_published_and_published_is_fp32s() -> None:
    ours = measured("a", P50)
    int8 = measured("a", P50, number=1, **INT8, onnx_sha256="8" * 64, proof=proof(Precision.INT8, 1.0, passed=True))
    published = {"a": (0.72, "a paper")}
    plain, quantised = candidates(ours, int8, published=published)
    assert isinstance(plain.amounts["accuracy"], Stated)
    assert plain.amounts["accuracy"].source == "published: a paper"
    assert "accuracy" not in quantised.amounts
    assert ours.onnx_sha256
    results = [accuracy(ours.onnx_sha256, Precision.FP32), accuracy("8" * 64, Precision.INT8)]
    plain, quantised = candidates(ours, int8, published=published, accuracies=results)
    assert isinstance(plain.amounts["accuracy"], Counted)
    assert quantised.amounts["accuracy"].value == pytest.approx(0.7)
