"""Combinations without a record are bounded by ceilings and never chosen."""

from __future__ import annotations

import dataclasses

import pytest
from sample_configurations import measured, reading
from sample_records import ENVIRONMENT, record

from benchbox.choose.limits import limit_from_text
from benchbox.choose.unmeasured import Unmeasured, unmeasured_of
from benchbox.schema.device import Ceilings, ComputeCeiling, Pace
from benchbox.schema.model import Precision
from benchbox.schema.record import Record, Status

ONE = ComputeCeiling(
    precision=Precision.FP32,
    kind=Pace.BURST,
    threads=1,
    flops_per_s=9e9,
    low=8e9,
    high=10e9,
    library="numpy",
    shape=(1, 1, 1),
    n=3,
)
CEILINGS = Ceilings(
    id="1", started_at="", device="cpu", title="", epoch="", environment=ENVIRONMENT, cpus=1, compute=(ONE,)
)
MACS = record().analytic.macs  # type: ignore[union-attr]  # of one sample


def of(model: str, batch: int, **fields: object) -> Record:
    analytic = dataclasses.replace(record().analytic, macs=MACS * batch)  # type: ignore[type-var]
    return measured(model, reading("latency_p50", 1e-3), batch=batch, analytic=analytic, **fields)


def found(*records: Record, limits: tuple[tuple[str, str], ...] = (), ceilings: bool = True) -> list[Unmeasured]:
    asked = [limit_from_text(name, text) for name, text in limits]
    return list(
        unmeasured_of(
            records,
            asked,
            [CEILINGS] if ceilings else [],
            name_of=lambda one: f"{one.key.model} {one.key.precision} b{one.key.batch}",
        )
    )


def test_what_was_measured_apart_but_not_together() -> None:
    assert [entry.name for entry in found(of("a", 1), of("b", 1), of("b", 8))] == ["a fp32 b8"]
    assert found(of("a", 1), of("a", 8)) == []


def test_a_failure_is_a_measurement_too_and_what_nowhere_works_is_not_proposed() -> None:
    failed = of("a", 8, status=Status.FAILED)
    assert found(of("a", 1), of("b", 1), of("b", 8), failed) == []
    refused = of("a", 1, precision=Precision.FP16, status=Status.SKIPPED)
    assert found(of("a", 1), of("b", 1), refused) == []


def test_variants_are_not_combined() -> None:
    assert found(of("a", 1), of("b", 8, variant="exclude=fc")) == []


def test_the_bound_is_of_the_fastest_process_with_what_algorithms_save() -> None:
    (entry,) = found(of("a", 8), of("b", 8), of("b", 1))
    assert entry.latency_s == pytest.approx(2 * MACS / (10e9 * 1.05 * 4))
    (entry,) = found(of("a", 1), of("b", 1), of("b", 8))
    assert entry.latency_s == pytest.approx(8 * 2 * MACS / (10e9 * 1.05 * 4))


@pytest.mark.parametrize(
    ("name", "beyond", "within"),
    [
        ("latency", "<= 1 ms", "<= 5 ms"),
        ("latency-p99", "<= 1 ms", "<= 5 ms"),
        ("throughput", ">= 5000 /s", ">= 10 /s"),
        ("memory", "<= 1 MB", "<= 10 MB"),
    ],
)
def test_beyond_a_limit_it_cannot_meet_it(name: str, beyond: str, within: str) -> None:
    records = of("a", 1), of("b", 1), of("b", 8)
    (entry,) = found(*records, limits=((name, beyond),))
    assert [bounded.limit.quality.name for bounded in entry.broken] == [name]
    (entry,) = found(*records, limits=((name, within),))
    assert entry.broken == ()


def test_without_ceilings_only_memory_has_a_bound() -> None:
    (entry,) = found(
        of("a", 1), of("b", 1), of("b", 8), limits=(("latency", "<= 1 ns"), ("memory", "<= 1 MB")), ceilings=False
    )
    assert entry.latency_s is None
    assert [bounded.limit.quality.name for bounded in entry.broken] == ["memory"]


def test_another_precision_has_smaller_weights_and_its_own_rate_if_it_has_one() -> None:
    half = of("b", 1, precision=Precision.FP16)
    entries = {entry.name: entry for entry in found(of("a", 1), of("b", 1), half)}
    assert set(entries) == {"a fp16 b1"}
    analytic = entries["a fp16 b1"].like.analytic
    assert analytic is not None
    assert analytic.weight_bytes == record().analytic.weight_bytes // 2  # type: ignore[union-attr]
    assert entries["a fp16 b1"].latency_s == pytest.approx(2 * MACS / (10e9 * 1.05 * 4)), "none: as in fp32"
