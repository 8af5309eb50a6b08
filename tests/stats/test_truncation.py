"""MSER-5 cuts where a plain reading of its definition cuts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchbox.stats.truncation import mser5_cut


@given(st.lists(st.integers(-50, 50).map(float), min_size=20, max_size=80))
def test_cut_minimises_the_standard_error(values: list[float]) -> None:
    means = np.array(values[: len(values) // 5 * 5]).reshape(-1, 5).mean(axis=1)
    errors = [means[cut:].var() / (len(means) - cut) for cut in range(len(means) // 2 + 1)]
    assert errors[mser5_cut(values) // 5] <= min(errors) + 1e-9


def test_decay_spike_and_drift() -> None:
    noise = np.random.default_rng(1).normal(0, 0.01, 1000)
    decay = noise + 1
    decay[:60] += 1.0
    assert mser5_cut(decay.tolist()) == 60
    spike = noise + 1
    spike[0] += 10
    assert mser5_cut(spike.tolist()) == 5
    assert mser5_cut((noise / 100 + np.linspace(1, 1.05, 1000)).tolist()) == 500
    assert mser5_cut([1.0] * 19) == 0
