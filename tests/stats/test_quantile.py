"""Percentiles, and how many samples they need, against scipy's binomial distribution."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from benchbox.stats.quantile import median_interval_ranks, percentile, samples_needed


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.floats(0, 1))
def test_percentile_is_a_sample_with_the_right_rank(values: list[float], probability: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, probability)
    assert found in ordered
    assert sum(value < found for value in ordered) <= probability * len(ordered)


def test_percentile_by_hand() -> None:
    ordered = list(range(1, 101))
    assert percentile(ordered, 0.5) == 51
    assert percentile(ordered, 0.99) == 100
    assert percentile(ordered, 1.0) == 100
    assert percentile(ordered, 0.0) == 1


@pytest.mark.parametrize(
    ("probability", "confidence", "count"),
    [(0.5, 0.95, 5), (0.9, 0.95, 29), (0.95, 0.95, 59), (0.99, 0.95, 299), (0.999, 0.95, 2995), (0.99, 0.99, 459)],
)
def test_samples_needed(probability: float, confidence: float, count: int) -> None:
    assert samples_needed(probability, confidence=confidence) == count
    assert binom.pmf(count, count, probability) <= 1 - confidence < binom.pmf(count - 1, count - 1, probability)


@given(st.integers(1, 300))
def test_median_ranks_cover(count: int) -> None:
    ranks = median_interval_ranks(count)
    if count < 6:
        assert ranks is None
        return
    assert ranks is not None
    low, high = ranks
    # The median lies between the two order statistics unless too few or too many samples fall below it.
    coverage = binom.cdf(high, count, 0.5) - binom.cdf(low, count, 0.5)
    assert coverage >= 0.95
    narrower = binom.cdf(high - 1, count, 0.5) - binom.cdf(low + 1, count, 0.5)
    assert narrower < 0.95 or low + 1 >= high - 1
