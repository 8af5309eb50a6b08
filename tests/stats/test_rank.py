"""The rank tests of groups and of pairs, and their ratios, against scipy, and what they promise, by simulation."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from benchbox.stats.rank import (
    LEAST_PAIRS,
    minimum_detectable_effect,
    paired_detectable_effect,
    paired_ratio_interval,
    rank_test,
    ratio_interval,
    signed_rank_test,
)

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


logs = st.lists(st.floats(-1, 1, allow_nan=False), min_size=1, max_size=10)


def head_of(differences: list[float]) -> tuple[list[float], list[float]]:
    return [1.0] * len(differences), [math.exp(one) for one in differences]


@given(differences=logs)
def test_p_values_of_pairs_are_scipys_exact_ones(differences: list[float]) -> None:
    base, head = head_of(differences)
    found = [math.log(two) for two in head]
    assume(len({abs(one) for one in found}) == len(found) and all(found))
    theirs = stats.wilcoxon(found, method="exact").pvalue
    assert signed_rank_test(base, head) == pytest.approx(theirs, abs=1e-12)


@settings(max_examples=40)
@given(steps=st.lists(st.integers(-3, 3), min_size=1, max_size=7))
def test_ties_by_all_signs(steps: list[int]) -> None:
    found = [one for one in steps if one]
    ranks = stats.rankdata(np.abs(found)) if found else np.array([])
    sums = [
        sum(r for r, up in zip(ranks, signs, strict=True) if up)
        for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    middle = ranks.sum() / 2
    distance = abs(sum(r for r, one in zip(ranks, found, strict=True) if one > 0) - middle)
    expected = np.mean([abs(one - middle) >= distance - 1e-9 for one in sums])
    # Powers of two: equal steps are equal logarithms.
    assert signed_rank_test([1.0] * len(steps), [2.0**one for one in steps]) == pytest.approx(expected, abs=1e-12)


def test_pairs_without_a_difference_say_nothing() -> None:
    assert signed_rank_test([1.0, 2.0], [1.0, 2.0]) == 1
    assert signed_rank_test([1.0] * 6 + [5.0], [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 5.0]) == pytest.approx(2 / 2**6)


def test_the_ratio_is_the_median_of_walsh_averages() -> None:
    differences = [0.1, 0.3, -0.2]
    ratio, low, high = paired_ratio_interval(*head_of(differences))
    averages = [(one + two) / 2 for one, two in itertools.combinations_with_replacement(differences, 2)]
    assert ratio == pytest.approx(math.exp(statistics.median(averages)))
    assert (low, high) == (None, None)


def test_six_pairs_have_an_interval_and_five_have_none() -> None:
    differences = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]
    assert len(differences) == LEAST_PAIRS
    assert paired_ratio_interval(*head_of(differences[1:]))[1:] == (None, None)
    # 1 of 64 ways below and above: the interval is that of all averages.
    assert paired_ratio_interval(*head_of(differences))[1:] == pytest.approx((math.exp(0.01), math.exp(0.06)))


@pytest.mark.parametrize("pairs", [6, 8, 12, 20])
def test_the_interval_holds_what_the_test_does_not_refuse(pairs: int) -> None:
    """Hollander, Wolfe and Chicken: the ends are where the test of that ratio turns at 5 %."""
    differences = np.random.default_rng(pairs).normal(0.05, 0.1, pairs)
    base, head = head_of(differences.tolist())
    _, low, high = paired_ratio_interval(base, head)
    assert low is not None
    assert high is not None
    for ratio, refused in ((low * 0.999, True), (low * 1.001, False), (high * 0.999, False), (high * 1.001, True)):
        assert (signed_rank_test([ratio * one for one in base], head) <= 0.05) is refused


@pytest.mark.parametrize("pairs", [6, 8, 12])
def test_the_interval_of_pairs_covers_with_its_level(pairs: int) -> None:
    rng, rounds = np.random.default_rng(1), 2000
    inside = 0
    for differences in rng.laplace(math.log(1.1), 0.1, (rounds, pairs)):
        _, low, high = paired_ratio_interval(*head_of(differences.tolist()))
        inside += low is not None and high is not None and low <= 1.1 <= high
    assert inside / rounds >= 0.95 - 4 * math.sqrt(0.05 * 0.95 / rounds)


def test_what_both_processes_share_widens_no_interval() -> None:
    rng = np.random.default_rng(2)
    machine = rng.normal(0, 0.3, 10)
    base, head = (np.exp(machine + rng.normal(0, 0.01, 10)).tolist() for _ in range(2))
    _, low, high = paired_ratio_interval(base, head)
    _, wide_low, wide_high = ratio_interval(base, head)
    assert (high or 9) / (low or 1) < 1.05
    assert (wide_high or 0) / (wide_low or 9) > 1.3


def test_the_detectable_effect_of_pairs_is_detected_in_four_of_five() -> None:
    rng, rounds, pairs, sd = np.random.default_rng(3), 2000, 8, 0.02
    base, head = head_of(rng.normal(0, sd, 400).tolist())
    effect = math.expm1(math.log1p(paired_detectable_effect(base, head) or 0) * math.sqrt(400 / pairs))
    # By the t test of so few pairs, whose quantiles are wider than those of 400.
    reach = stats.t.ppf(0.975, pairs - 1) + stats.t.ppf(0.8, pairs - 1)
    effect *= reach / (stats.t.ppf(0.975, 399) + stats.t.ppf(0.8, 399))
    found = stats.ttest_1samp(rng.normal(math.log1p(effect), sd, (rounds, pairs)), 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.06)
    assert paired_detectable_effect([1.0], [2.0]) is None


@pytest.mark.parametrize(("base", "head"), [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0])])
def test_what_is_no_pair_is_refused(base: list[float], head: list[float]) -> None:
    for function in (signed_rank_test, paired_ratio_interval, paired_detectable_effect):
        with pytest.raises(ValueError, match="pairs need positive values"):
            function(base, head)
