"""Intervals over processes cover what they claim to cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchbox.stats.interval import log_t_interval, wilson_interval

positive = st.floats(1e-9, 1e9)


@given(st.lists(positive, min_size=2, max_size=30))
def test_interval_is_scipys_on_logarithms(values: list[float]) -> None:
    centre, low, high = log_t_interval(values)
    logs = np.log(values)
    assert centre == pytest.approx(stats.gmean(values), rel=1e-9)
    assert low is not None
    assert high is not None
    if logs.std() > 1e-9:
        ends = stats.t.interval(0.95, len(logs) - 1, loc=logs.mean(), scale=stats.sem(logs))
        assert (math.log(low), math.log(high)) == pytest.approx(ends, rel=1e-6, abs=1e-9)


def test_equal_values_have_no_width() -> None:
    assert log_t_interval([2.0, 2.0, 2.0]) == pytest.approx((2.0, 2.0, 2.0))


def test_one_value_has_no_interval() -> None:
    assert log_t_interval([3.0]) == (pytest.approx(3.0), None, None)


@pytest.mark.parametrize("values", [[], [0.0], [1.0, -1.0]])
def test_what_has_no_logarithm_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        log_t_interval(values)


@pytest.mark.parametrize("processes", [3, 5, 10])
def test_coverage_over_processes_is_what_it_says(processes: int) -> None:
    """1 % between processes, 2 % within: the interval over process medians covers the truth in 95 % of trials."""
    draw = np.random.default_rng(7)
    covered = 0
    repeats = 1500
    for _ in range(repeats):
        levels = draw.normal(0.0, 0.01, processes)
        medians = np.exp(levels + draw.normal(0.0, 0.02 * 1.25 / math.sqrt(1000), processes))
        _, low, high = log_t_interval(medians.tolist())
        assert low is not None
        assert high is not None
        covered += low <= 1.0 <= high
    assert 0.93 <= covered / repeats <= 0.97


@pytest.mark.parametrize("between", [0.005, 0.015, 0.05])
def test_going_on_while_the_interval_is_wide_costs_little_coverage(between: float) -> None:
    """As ``benchbox run`` does: from 5 processes to 12, until the interval is within 1 %."""
    draw = np.random.default_rng(11)
    covered = 0
    repeats = 1500
    for _ in range(repeats):
        medians = np.exp(draw.normal(0.0, between, 12)).tolist()
        for count in range(5, 13):
            _, low, high = log_t_interval(medians[:count])
            assert low is not None
            assert high is not None
            if high / low <= 1.01**2:
                break
        covered += low <= 1.0 <= high
    assert 0.915 <= covered / repeats <= 0.97


def test_pooling_iterations_would_not_cover() -> None:
    """The reason for the rule: the same data pooled as if iterations were independent covers far less."""
    draw = np.random.default_rng(7)
    covered = 0
    for _ in range(300):
        pooled = np.concatenate([draw.normal(1 + draw.normal(0.0, 0.01), 0.02, 200) for _ in range(5)])
        half = 1.96 * pooled.std() / math.sqrt(len(pooled))
        covered += abs(pooled.mean() - 1) <= half
    assert covered / 300 < 0.5


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (0, 20), (7, 20), (20, 20), (761, 1000)])
def test_wilson_is_scipys(successes: int, trials: int) -> None:
    from scipy.stats import binomtest

    expected = binomtest(successes, trials).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_what_is_no_share(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="not a share"):
        wilson_interval(successes, trials)
