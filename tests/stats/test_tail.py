"""Bounds of tail percentiles hold as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchbox.stats.quantile import samples_needed
from benchbox.stats.tail import percentile_upper_bound, upper_bound_rank


@pytest.mark.parametrize("probability", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("count", [1, 44, 458, 459, 662, 2000])
def test_rank_is_the_binomials(count: int, probability: float) -> None:
    ranks = [rank for rank in range(1, count + 1) if stats.binom.cdf(rank - 1, count, probability) >= 0.99]
    assert upper_bound_rank(count, probability) == (ranks[0] if ranks else None)


@pytest.mark.parametrize(("probability", "least"), [(0.5, 7), (0.9, 44), (0.95, 90), (0.99, 459), (0.999, 4603)])
def test_least_number_of_samples(probability: float, least: int) -> None:
    assert samples_needed(probability, confidence=0.99) == least
    assert upper_bound_rank(least, probability) == least
    assert upper_bound_rank(least - 1, probability) is None


def test_bound_covers() -> None:
    draw = np.random.default_rng(2)
    bounds = [percentile_upper_bound(np.sort(draw.exponential(size=500)).tolist(), 0.95) for _ in range(2000)]
    assert np.mean([bound is not None and bound >= -np.log(0.05) for bound in bounds]) >= 0.985
