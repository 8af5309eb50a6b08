"""Numbers as text: four digits, the prefix chosen by what is printed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbox.units import (
    ABSENT,
    counted,
    format_alike,
    format_bytes,
    format_change,
    format_changes,
    format_count,
    format_factor,
    format_flops_per_s,
    format_half_width,
    format_percent,
    format_quantity,
    format_rate,
    format_ratio,
    format_share,
    format_time,
)

FACTORS = {"n": 1e-9, "µ": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (format_time(999.96e-6), "1.000 ms"),
        (format_time(999.94e-6), "999.9 µs"),
        (format_time(0.0123456), "12.35 ms"),
        (format_time(123.4), "123.4 s"),
        (format_time(0), "0 s"),
        (format_time(None), ABSENT),
        (format_time(float("inf")), "inf s"),
        (format_count(4_089_184_256), "4.089 G"),
        (format_count(999), "999"),
        (format_count(0), "0"),
        (format_count(999_960), "1.000 M"),
        (format_bytes(102_149_634), "97.42 MiB"),
        (format_bytes(1023), "1023 B"),
        (format_bytes(1024), "1.000 KiB"),
        (format_rate(24.5), "24.50 /s"),
        (format_flops_per_s(2.013e11), "201.3 GFLOP/s"),
        (format_ratio(0.00432), "0.43 %"),
        (format_ratio(0.5), "50 %"),
        (format_ratio(0), "0 %"),
        (format_ratio(0.009996), "1.0 %"),
        (format_ratio(0.0996), "10 %"),
        (format_ratio(-0.0123), "-1.2 %"),
        (format_ratio(2.5), "250 %"),
        (format_ratio(1e-7), "0.0000 %"),
        (format_ratio(None), ABSENT),
        (format_ratio(float("inf")), "inf"),
        (format_share(0.931), "93.1 %"),
        (format_share(0.98), "98 %"),
        (format_share(1), "100 %"),
        (format_share(0.9999), ">99.9 %"),
        (format_share(0.0001), "<0.1 %"),
        (format_share(0), "0 %"),
        (format_percent(0.042), "4.2 %"),
        (format_percent(0.04), "4 %"),
        (format_percent(0.0996), "10 %"),
        (format_percent(0.162), "16 %"),
        (format_percent(0.0004), "0 %"),
        (format_percent(0.162, 2), "16.20 %"),
        (format_percent(-0.021, 1, signed=True), "-2.1 %"),
        (format_percent(None), ABSENT),
        (format_change(1.104), "+10.4 %"),
        (format_change(0.98), "-2.0 %"),
        (format_change(None), ABSENT),
        (format_changes(0.98, 1.107), "-2.0 to +10.7 %"),
        (format_half_width(1.0, 0.99, 1.02), "±2.0 %"),
        (format_half_width(1.0, None, None), ABSENT),
        (format_quantity(0.001, "s"), "1.000 ms"),
        (format_quantity(2048, "bytes"), "2.000 KiB"),
        (format_quantity(10, "1/s"), "10.00 /s"),
        (format_quantity(3.5, "J"), "3.500 J"),
    ],
)
def test_by_hand(text: str, wanted: str) -> None:
    assert text == wanted


@given(st.floats(1e-9, 1e5))
def test_time_reads_back_and_has_at_most_four_digits(seconds: float) -> None:
    number, _, unit = format_time(seconds).partition(" ")
    value = float(number) * FACTORS[unit.removesuffix("s")]
    assert value == pytest.approx(seconds, rel=6e-4)
    if seconds < 999.95:
        assert abs(float(number)) < 1000
        assert len(re.sub(r"[^0-9]", "", number).lstrip("0")) <= 4


@given(st.integers(0, 2**50))
def test_bytes_read_back(size: int) -> None:
    number, _, unit = format_bytes(size).partition(" ")
    factor = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}[unit]
    assert float(number) * factor == pytest.approx(size, rel=6e-4, abs=0.5)
    assert float(number) < 1024 or unit == "TiB"


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (1.0, "1.00×"),
        (0.99996, "1.00×"),
        (1.3149, "1.31×"),
        (0.8742, "0.874×"),
        (9.996, "10×"),
        (29.58, "29.6×"),
        (999.6, "1000×"),
        (123456.0, "123456×"),
        (None, "–"),
        (float("inf"), "inf×"),
    ],
)
def test_factors(factor: float | None, text: str) -> None:
    assert format_factor(factor) == text


def test_one_thing_and_several() -> None:
    assert [counted(count, "case") for count in (0, 1, 2.0)] == ["0 cases", "1 case", "2 cases"]


@pytest.mark.parametrize(
    ("values", "unit", "texts"),
    [
        ([1.0051e-3, 0.9968e-3], "s", ["1.005 ms", "0.997 ms"]),
        ([0.5, 51.25, 5.0], "s", ["0.50 s", "51.25 s", "5.00 s"]),
        ([1200.0, 900.0], "1/s", ["1.200 k/s", "0.900 k/s"]),
        ([2.0**20, 2.0**19], "bytes", ["1.000 MiB", "0.500 MiB"]),
        ([3.5, 7.0], "J", ["3.500 J", "7.000 J"]),
        ([], "s", []),
        ([0.0, 0.0], "s", ["0 s", "0 s"]),
    ],
)
def test_a_column_has_one_prefix(values: list[float], unit: str, texts: list[str]) -> None:
    assert format_alike(values, unit) == texts
