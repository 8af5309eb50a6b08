"""The front: who is on it, and with which probability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sample_configurations import candidates, measured, reading

from benchbox.choose.front import dominated, front_of


@given(arrays.arrays(np.float64, (2, 6, 3), elements=st.integers(0, 3).map(float)))
def test_dominated_is_the_definition(values: np.ndarray) -> None:
    expected = [
        [
            any(all(b <= a for a, b in zip(own, other, strict=True)) and tuple(other) != tuple(own) for other in draw)
            for own in draw
        ]
        for draw in values
    ]
    assert dominated(values).tolist() == expected


@pytest.mark.parametrize("qualities", [1, 2, 3])
@pytest.mark.parametrize("most", [3, 10, 1000])
def test_many_points_with_a_small_front_and_a_large_one(qualities: int, most: int) -> None:
    """Rounds settle most of random points, pairs those of which all are on the front; few values make many ties."""
    generator = np.random.default_rng(most + qualities)
    values = generator.integers(0, most, (5, 120, qualities)).astype(float)
    values[3:, :, 0] = np.arange(120)
    values[3:, :, -1] -= 10 * np.arange(120)
    no_worse = np.all(values[:, :, None] <= values[:, None], axis=3)
    better = np.any(values[:, :, None] < values[:, None], axis=3)
    assert dominated(values).tolist() == np.any(no_worse & better, axis=1).tolist()


def test_infinite_draws_have_a_front() -> None:
    far = np.array([[[np.inf, -np.inf], [np.inf, -1.0], [2.0, -np.inf], [3.0, -5.0]]])
    assert dominated(far).tolist() == [[True, True, False, True]]


def test_certain_members_and_a_sure_loser() -> None:
    fast = measured("fast", reading("latency_p50", 1e-3), reading("peak_host_memory", 9e8))
    small = measured("small", reading("latency_p50", 9e-3), reading("peak_host_memory", 1e8))
    worse = measured("worse", reading("latency_p50", 10e-3), reading("peak_host_memory", 10e8))
    found = front_of(candidates(fast, small, worse), ("latency", "memory"))
    assert {member.candidate.record.key.model: member.probability for member in found} == {"fast": 1.0, "small": 1.0}


def test_equal_configurations_share_the_place() -> None:
    one = measured("one", reading("latency_p50", 1e-3, spread=0.05), reading("peak_host_memory", 1e8, spread=0))
    two = measured("two", reading("latency_p50", 1e-3, spread=0.05), reading("peak_host_memory", 1e8, spread=0))
    found = front_of(candidates(one, two), ("latency", "memory"))
    assert sum(member.probability for member in found) == 1.0
    assert all(0.4 < member.probability < 0.6 for member in found)


def test_higher_is_better_where_it_is() -> None:
    slow = measured("slow", reading("throughput", 10), reading("peak_host_memory", 2e8))
    quick = measured("quick", reading("throughput", 100), reading("peak_host_memory", 1e8))
    (only,) = front_of(candidates(slow, quick), ("throughput", "memory"))
    assert only.candidate.record.key.model == "quick"


def test_what_lacks_a_quality_takes_no_part() -> None:
    assert front_of(candidates(measured("a", reading("latency_p50", 1e-3))), ("latency", "energy")) == ()
