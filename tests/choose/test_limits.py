"""Limits are read with their units, and what makes no sense is refused."""

from __future__ import annotations

import pytest

from benchbox.choose.limits import QUALITIES, limit_from_text, limits_from_texts, objective_from_names
from benchbox.errors import UsageError


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("latency", "<= 5 ms", 5e-3),
        ("latency", "5ms", 5e-3),
        ("latency", "< 250 us", 250e-6),
        ("latency", "≤ 1.5e-3 s", 1.5e-3),
        ("latency-p99", "<= 2 µs", 2e-6),
        ("memory", "<= 2 GB", 2e9),
        ("memory", "<=2GiB", 2**31),
        ("memory", "512 MiB", 2**29),
        ("accuracy", ">= 0.75", 0.75),
        ("accuracy", ">= 75 %", 0.75),
        ("accuracy", "> 75%", 0.75),
        ("energy", "<= 50 mJ", 0.05),
        ("throughput", ">= 200 /s", 200.0),
        ("throughput", ">= 1.5 k/s", 1500.0),
    ],
)
def test_limits_are_base_units(name: str, text: str, value: float) -> None:
    assert limit_from_text(name, text).value == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("latency", "5", "needs a unit"),
        ("latency", "<= 5", "needs a unit"),
        ("latency", "<= 5 kg", "'kg' does not fit"),
        ("latency", ">= 5 ms", "limited from above"),
        ("accuracy", "<= 0.5", "limited from below"),
        ("accuracy", ">= 75", "is a share"),
        ("latency", "soon", "takes a limit"),
        ("latency", "", "takes a limit"),
        ("latency", "<= 0 ms", "positive"),
        ("latency", "<= -3 ms", "positive"),
        ("latency", "<= 1e999 s", "positive"),
        ("latency", "<= 1.2.3 s", "takes a limit"),
        ("memory", "<= 2 Gb", "'Gb' does not fit"),
        ("latency", "<= nan ms", "takes a limit"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(name: str, text: str, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        limit_from_text(name, text)
    assert part in str(caught.value)
    assert f"--{name}" in str(caught.value) or "share" in part


def test_every_example_is_read() -> None:
    for name, quality in QUALITIES.items():
        assert limit_from_text(name, quality.example).value > 0


def test_two_limits_of_one_quality_are_refused() -> None:
    assert len(limits_from_texts({"latency": ["5 ms"], "memory": ["2 GB"]})) == 2
    with pytest.raises(UsageError, match="twice"):
        limits_from_texts({"latency": ["5 ms", "4 ms"]})


def test_objectives_have_a_direction() -> None:
    assert objective_from_names(None, None).name == "latency"
    assert objective_from_names("throughput", None).name == "throughput"
    assert objective_from_names(None, "memory").name == "memory"
    for wrong in ((None, "accuracy"), ("latency", None), ("throughput", "memory"), ("speed", None)):
        with pytest.raises(UsageError):
            objective_from_names(*wrong)
