"""Two modes are found where there are two, and a coarse clock makes none."""

from __future__ import annotations

import numpy as np
import pytest

from benchbox.stats.modality import modes_of


def test_two_modes() -> None:
    draw = np.random.default_rng(1)
    samples = np.concatenate([draw.normal(1e6, 1e4, 700), draw.normal(1.2e6, 1e4, 300)]).astype(int)
    draw.shuffle(samples)
    found = modes_of(samples.tolist())
    assert found.p_value < 0.001
    assert found.lower == pytest.approx(1e6, rel=0.01)
    assert found.upper == pytest.approx(1.2e6, rel=0.01)
    assert found.upper_share == pytest.approx(0.3, abs=0.02)


def test_false_alarms_are_rare() -> None:
    draw = np.random.default_rng(2)
    p_values = [modes_of(draw.lognormal(10, 0.1, 300).astype(int).tolist()).p_value for _ in range(200)]
    assert np.mean(np.array(p_values) < 0.01) <= 0.01


def test_a_coarse_clock_makes_no_modes() -> None:
    """A 50 us kernel on a clock of 0.5 us: without dither the dip's p is 0."""
    draw = np.random.default_rng(3)
    samples = (np.round(draw.normal(50_000, 600, 2000) / 500) * 500).astype(int)
    assert modes_of(samples.tolist()).p_value > 0.05


def test_no_spread_and_too_few() -> None:
    assert modes_of([5] * 100).p_value == 1.0
    with pytest.raises(ValueError, match="four"):
        modes_of([1, 2, 3])
