"""Outliers are counted where Tukey's fences put them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchbox.stats.outliers import Outliers, outliers_in


def test_by_hand() -> None:
    samples = [*range(100, 200), 330, 340, 500, 10_000, -10, -500]
    # quartiles of these 106 values: 124.25 and 177.75 or near; range 52.5; inner fences 46 and 257, outer -33 and 336
    assert outliers_in(samples) == Outliers(severe_low=1, mild_low=1, mild_high=1, severe_high=3)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=60))
def test_they_never_outnumber_the_samples(samples: list[int]) -> None:
    found = outliers_in(samples)
    counts = (found.severe_low, found.mild_low, found.mild_high, found.severe_high)
    assert min(counts) >= 0
    assert sum(counts) <= len(samples) // 2, "quartiles hold half of the samples between them"
    assert outliers_in([-sample for sample in samples]) == Outliers(
        severe_low=found.severe_high,
        mild_low=found.mild_high,
        mild_high=found.mild_low,
        severe_high=found.severe_low,
    )
