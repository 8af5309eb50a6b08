"""The rank test and its ratio against scipy, and what they promise, by simulation."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from benchbox.stats.rank import minimum_detectable_effect, rank_test, ratio_interval

values = st.lists(st.floats(1e-3, 1e3, allow_nan=False), min_size=2, max_size=8)


@given(base=values, head=values)
def test_p_values_are_scipys_exact_ones(base: list[float], head: list[float]) -> None:
    assume(len(set(base + head)) == len(base + head))
    theirs = stats.mannwhitneyu(base, head, alternative="two-sided", method="exact").pvalue
    assert rank_test(base, head) == pytest.approx(theirs, abs=1e-12)


@settings(max_examples=30)
@given(
    base=st.lists(st.integers(1, 4), min_size=2, max_size=5), head=st.lists(st.integers(1, 4), min_size=2, max_size=5)
)
def test_ties_by_all_permutations(base: list[int], head: list[int]) -> None:
    def distance(one: np.ndarray, two: np.ndarray, axis: int = -1) -> np.ndarray:
        ranks = stats.rankdata(np.concatenate([one, two], axis=axis), axis=axis)
        return np.abs(ranks[..., len(base) :].sum(axis=axis) - len(head) * (len(base) + len(head) + 1) / 2)

    theirs = stats.permutation_test(
        (np.array(base, float), np.array(head, float)),
        distance,
        alternative="greater",
        vectorized=True,
        n_resamples=np.inf,
    ).pvalue
    assert rank_test(base, head) == pytest.approx(theirs, abs=1e-9)


def test_the_least_p_values_of_small_groups() -> None:
    for count in range(2, 9):
        base, head = list(range(1, count + 1)), list(range(count + 1, 2 * count + 1))
        assert rank_test(base, head) == pytest.approx(2 / math.comb(2 * count, count))


def test_the_ratio_is_the_median_of_all_ratios() -> None:
    base, head = [1.0, 2.0, 4.0], [3.0, 6.0]
    ratio, low, high = ratio_interval(base, head)
    assert ratio == pytest.approx(math.exp(statistics.median(math.log(h / b) for b in base for h in head)))
    assert (low, high) == (None, None)
    assert ratio_interval([1, 1, 1], [1, 1, 1])[1] is None
    assert ratio_interval([1, 1, 1, 1], [2, 2, 2, 2]) == pytest.approx((2, 2, 2))


@given(base=st.lists(st.floats(0.5, 2), min_size=4, max_size=8, unique=True), shift=st.floats(0.5, 2))
def test_the_interval_is_the_test_turned_round(base: list[float], shift: float) -> None:
    """A ratio lies inside the interval exactly when the test does not reject it."""
    draw = np.random.default_rng(len(base))
    head = [value * shift * draw.lognormal(0, 0.1) for value in base]
    _, low, high = ratio_interval(base, head)
    assert low is not None and high is not None  # noqa: PT018
    for ratio, rejected in ((low * 0.999, True), (high * 1.001, True), (low * 1.001, False), (high * 0.999, False)):
        assume(low * 1.002 < high)
        assert (rank_test([value * ratio for value in base], head) <= 0.05) is rejected


@pytest.mark.parametrize("count", [4, 5, 8, 10])
def test_coverage_with_heavy_tails(count: int) -> None:
    """At least 95 % of the intervals cover, up to what 1,500 draws can tell; noise: t with 3 degrees, 2 % scale."""
    draw = np.random.default_rng(count)
    covered = 0
    for _ in range(1500):
        base, head = (np.exp(0.02 * draw.standard_t(3, count)) for _ in range(2))
        _, low, high = ratio_interval(base.tolist(), (1.1 * head).tolist())
        assert low is not None and high is not None  # noqa: PT018
        covered += low <= 1.1 <= high
    assert covered / 1500 > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 1500)


def test_the_detectable_effect_is_detected_in_four_of_five() -> None:
    draw = np.random.default_rng(7)
    count, found = 8, 0
    effect = minimum_detectable_effect(*(np.exp(draw.normal(0, 0.01, 2000)).tolist() for _ in range(2)))
    assert effect is not None
    effect = math.expm1(math.log1p(effect) * math.sqrt(2000 / count))
    for _ in range(800):
        base, head = (np.exp(draw.normal(0, 0.01, count)) for _ in range(2))
        found += stats.ttest_ind(np.log(base), np.log(head * (1 + effect))).pvalue < 0.05
    assert 0.72 < found / 800 < 0.86
    assert minimum_detectable_effect([1.0], [1.0, 2.0]) is None


def test_groups_that_are_empty_or_not_positive() -> None:
    with pytest.raises(ValueError, match="two groups"):
        rank_test([], [1.0])
    with pytest.raises(ValueError, match="positive"):
        ratio_interval([0.0], [1.0])
