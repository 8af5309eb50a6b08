"""Slopes are scipy's; shifts are found where they are made and seldom where there are none."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import theilslopes

from benchbox.stats.trend import level_shift, median_slope


@given(st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=25, unique=True))
def test_slope_is_scipys(values: list[float]) -> None:
    ours = median_slope(values)
    theirs = theilslopes(values, alpha=0.95)
    assert ours.slope == pytest.approx(theirs.slope, abs=1e-9)
    assert (ours.low, ours.high) == pytest.approx((theirs.low_slope, theirs.high_slope), abs=1e-9)


def test_slope_covers() -> None:
    draw = np.random.default_rng(3)
    slopes = [median_slope((0.2 * np.arange(20) + draw.normal(0, 1, 20)).tolist()) for _ in range(600)]
    assert np.mean([one.low <= 0.2 <= one.high for one in slopes]) == pytest.approx(0.95, abs=0.03)


def test_a_shift_is_found_where_it_is() -> None:
    draw = np.random.default_rng(4)
    found = [level_shift([*draw.normal(1, 0.01, 8).tolist(), *draw.normal(1.1, 0.01, 12).tolist()]) for _ in range(50)]
    assert statistics.mode(shift.at for shift in found) == 8
    assert all(abs(shift.at - 8) <= 2 for shift in found)
    assert max(shift.p_value for shift in found) < 0.01
    assert found[0].after / found[0].before == pytest.approx(1.1, rel=0.02)


def test_false_alarms_are_rarer_than_the_p_value() -> None:
    """Pettitt's approximation is known to be conservative."""
    draw = np.random.default_rng(5)
    alarms = [level_shift(draw.normal(0, 1, 20).tolist()).p_value < 0.05 for _ in range(1000)]
    assert np.mean(alarms) < 0.05


@pytest.mark.parametrize(("function", "least"), [(median_slope, 3), (level_shift, 4)])
def test_too_few_values(function: object, least: int) -> None:
    with pytest.raises(ValueError, match=f"got {least - 1}"):
        function([1.0] * (least - 1))  # type: ignore[operator]
    function([1.0] * least)  # type: ignore[operator]
