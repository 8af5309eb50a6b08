"""Paired accuracies, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchbox.stats.paired import paired_difference

pairs = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200)


@given(pairs)
def test_mcnemar_is_the_exact_binomial_test(answers: list[tuple[bool, bool]]) -> None:
    first, second = zip(*answers, strict=True)
    found = paired_difference(first, second)
    gained = sum(two and not one for one, two in answers)
    lost = sum(one and not two for one, two in answers)
    assert found.difference == pytest.approx(np.mean(second) - np.mean(first))
    assert found.differing == gained + lost
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    assert found.low <= found.difference <= found.high


@pytest.mark.parametrize(("base", "change"), [(0.75, 0.02), (0.9, 0.1), (0.5, 0.005)])
def test_the_interval_covers_as_often_as_it_says(base: float, change: float) -> None:
    generator = np.random.default_rng(0)
    covered, rounds, count = 0, 1000, 500
    for _ in range(rounds):
        first = generator.random(count) < base
        flips = generator.random(count) < change
        found = paired_difference(first.tolist(), (first ^ flips).tolist())
        truth = change * (1 - base) - change * base
        covered += found.low <= truth <= found.high
    assert covered / rounds > 0.94


def test_the_samples_must_be_the_same() -> None:
    with pytest.raises(ValueError, match="same samples"):
        paired_difference([True], [])
    with pytest.raises(ValueError, match="same samples"):
        paired_difference([], [])
