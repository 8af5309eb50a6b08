"""Where ranges end: against numpy's quantiles, scipy's entropy and what clipping does to the error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import entropy

from benchbox.stats import clipping
from benchbox.stats.clipping import BINS, LEVELS, entropy_threshold, histogram_of, percentile_threshold


def drawn(kind: str, size: int = 200_000) -> np.ndarray:
    values = np.random.default_rng(0)
    return {
        "normal": values.standard_normal(size),
        "relu": np.maximum(values.standard_normal(size), 0),
        "laplace": values.laplace(size=size),
        "uniform": values.uniform(-1, 1, size),
    }[kind].astype(np.float32)


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=50))
@example([1.1754943508222875e-38, 0.0])
def test_every_value_is_in_one_bin(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    top = float(np.abs(array).max())
    counts = histogram_of(array, top)
    assert counts.shape == (BINS,)
    assert counts.sum() == len(values)
    if top > 1e-30:
        expected, _ = np.histogram(np.abs(array).astype(np.float64), bins=BINS, range=(0, top))
        assert np.abs(np.cumsum(counts) - np.cumsum(expected)).max() <= len(values) * 0.1 + 1  # values on an edge


def test_the_array_is_left_alone() -> None:
    array = np.array([-1.0, 2.0], dtype=np.float32)
    histogram_of(array, 2.0)
    assert array.tolist() == [-1.0, 2.0]


@pytest.mark.parametrize("share", [0.5, 0.99, 0.9999])
@pytest.mark.parametrize("kind", ["normal", "laplace", "uniform"])
def test_percentile_is_numpys_to_a_bin(kind: str, share: float) -> None:
    array = drawn(kind)
    top = float(np.abs(array).max())
    found = percentile_threshold(histogram_of(array, top), top, share=share)
    assert found == pytest.approx(np.quantile(np.abs(array), share), abs=1.5 * top / BINS)


def straightforward_divergence(counts: np.ndarray, end: int) -> float:
    """Bin by bin, as the slides of Migacz describe it; scipy's entropy."""
    inside = counts[:end].astype(float)
    p = inside.copy()
    p[-1] += counts[end:].sum()
    q = np.zeros(end)
    for level in range(LEVELS):
        members = [index for index in range(end) if index * LEVELS // end == level]
        filled = [index for index in members if inside[index] > 0]
        for index in filled:
            q[index] = sum(inside[member] for member in members) / len(filled)
    q = np.maximum(q / q.sum(), clipping.EMPTY)
    p /= p.sum()
    return float(np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p / q, 1)), 0)))


@pytest.mark.parametrize("kind", ["normal", "relu", "laplace"])
def test_divergence_is_the_definition(kind: str) -> None:
    array = drawn(kind, 5000)
    counts = histogram_of(array, float(np.abs(array).max()))
    for end in (128, 640, 1999, 2048):
        assert clipping._divergence(counts.astype(float), end) == pytest.approx(
            straightforward_divergence(counts, end), rel=1e-9
        )


def test_divergence_is_scipys_where_nothing_is_empty() -> None:
    counts = np.random.default_rng(1).integers(1, 100, BINS)
    end = 1024
    p = counts[:end].astype(float)
    p[-1] += counts[end:].sum()
    q = np.repeat(counts[:end].reshape(LEVELS, -1).mean(axis=1), end // LEVELS)
    assert clipping._divergence(counts.astype(float), end) == pytest.approx(entropy(p, q))


@pytest.mark.parametrize("kind", ["normal", "relu", "laplace", "uniform"])
def test_entropy_loses_no_more_than_the_whole_range(kind: str) -> None:
    """The error of eight bits with the range it picks; zeros of a ReLU must not pull the range down."""
    array = drawn(kind)
    top = float(np.abs(array).max())
    picked = entropy_threshold(histogram_of(array, top), top)

    def error(limit: float) -> float:
        step = limit / 127
        return float(np.linalg.norm(np.clip(np.rint(array / step), -127, 127) * step - array))

    assert 0.5 * top < picked <= top
    assert error(picked) <= error(top) * 1.001


def test_one_outlier_is_cut_off() -> None:
    array = np.append(drawn("normal"), np.float32(100))
    picked = entropy_threshold(histogram_of(array, 100.0), 100.0)
    assert picked < 20


def test_nothing_but_zeros_has_no_range() -> None:
    counts = histogram_of(np.zeros(10, dtype=np.float32), 0.0)
    assert counts[0] == 10
    assert entropy_threshold(counts, 0.0) == 0.0
