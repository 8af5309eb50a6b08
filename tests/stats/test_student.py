"""Student's t against scipy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as oracle

from benchbox.stats.student import t_probability, t_quantile


@given(st.floats(0.001, 0.999), st.integers(1, 300))
def test_quantile_is_scipys(probability: float, degrees: int) -> None:
    assert t_quantile(probability, degrees) == pytest.approx(oracle.ppf(probability, degrees), rel=1e-9, abs=1e-12)


@given(st.floats(-50, 50), st.integers(1, 300))
def test_probability_is_scipys(value: float, degrees: int) -> None:
    assert t_probability(value, degrees) == pytest.approx(oracle.cdf(value, degrees), rel=1e-8, abs=1e-15)


@pytest.mark.parametrize(("probability", "degrees"), [(0, 3), (1, 3), (-0.1, 3), (0.5, 0)])
def test_what_has_no_quantile_is_refused(probability: float, degrees: int) -> None:
    with pytest.raises(ValueError, match="no t quantile"):
        t_quantile(probability, degrees)
