"""Bounds and chances of single numbers, against scipy."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from sample_configurations import reading
from scipy import stats

from benchbox.choose.amounts import Counted, Spread, Stated, amount_from_reading, chance_within
from benchbox.schema.reading import Better
from benchbox.stats.interval import log_t_interval

VALUES = [1.02e-3, 0.98e-3, 1.05e-3, 1.0e-3, 0.97e-3]


def amount_from_values() -> Spread:
    centre, low, high = log_t_interval(VALUES)
    return amount_from_reading(dataclasses.replace(reading("latency_p50", centre, n=5), low=low, high=high))


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.975, 0.999])
def test_a_bound_is_that_of_the_values_themselves(confidence: float) -> None:
    amount = amount_from_values()
    logs = np.log(VALUES)
    expected = stats.t.ppf(confidence, 4, loc=logs.mean(), scale=stats.sem(logs))
    assert amount.bound(confidence, upper=True) == pytest.approx(math.exp(expected), rel=1e-9)
    lower = stats.t.ppf(1 - confidence, 4, loc=logs.mean(), scale=stats.sem(logs))
    assert amount.bound(confidence, upper=False) == pytest.approx(math.exp(lower), rel=1e-9)


@pytest.mark.parametrize("limit", [0.95e-3, 1.0e-3, 1.03e-3, 1.1e-3])
def test_a_chance_is_students(limit: float) -> None:
    logs = np.log(VALUES)
    expected = stats.t.cdf(math.log(limit), 4, loc=logs.mean(), scale=stats.sem(logs))
    amount = amount_from_values()
    assert chance_within(amount, limit, Better.LOWER) == pytest.approx(expected, rel=1e-6)
    assert chance_within(amount, limit, Better.HIGHER) == pytest.approx(1 - expected, rel=1e-6)


def test_draws_are_spread_like_the_mean() -> None:
    draws = np.log(amount_from_values().draws(np.random.default_rng(0), 20_000))
    logs = np.log(VALUES)
    assert stats.kstest((draws - logs.mean()) / stats.sem(logs), "t", args=(4,)).pvalue > 0.001


def test_one_process_has_no_bound() -> None:
    amount = amount_from_reading(reading("latency_p50", 1e-3, n=1))
    assert amount.bound(0.95, upper=True) is None
    assert chance_within(amount, 2e-3, Better.LOWER) is None


def test_equal_processes_are_sure() -> None:
    amount = amount_from_reading(reading("latency_p50", 1e-3, spread=0.0))
    assert amount.bound(0.999, upper=True) == 1e-3
    assert chance_within(amount, 1e-3, Better.LOWER) == 1.0
    assert chance_within(amount, 0.9e-3, Better.LOWER) == 0.0
    assert chance_within(amount, 1e-3, Better.HIGHER) == 1.0


def test_a_share_has_wilsons_bound_and_its_test() -> None:
    counted = Counted(right=760, samples=1000)
    expected = stats.binomtest(760, 1000).proportion_ci(0.9, method="wilson")
    assert counted.bound(0.95, upper=False) == pytest.approx(expected.low, rel=1e-9)
    assert counted.bound(0.95, upper=True) == pytest.approx(expected.high, rel=1e-9)
    low = counted.bound(0.95, upper=False)
    assert low is not None
    assert chance_within(counted, low, Better.HIGHER) == pytest.approx(0.95, abs=1e-6)
    assert chance_within(counted, 1.0, Better.LOWER) == 1.0


def test_a_published_number_is_taken_as_exact() -> None:
    stated = Stated(value=0.75, source="published: a paper")
    assert stated.bound(0.99, upper=False) == 0.75
    assert chance_within(stated, 0.75, Better.HIGHER) == 1.0
    assert chance_within(stated, 0.76, Better.HIGHER) == 0.0
