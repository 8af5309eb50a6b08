"""trtexec's arithmetic, by hand and against float32 done step by step in C."""

from __future__ import annotations

import ctypes
import statistics

import numpy as np
import pytest

from benchbox.stats.trtexec import latencies, median, percentile, percentile_rank, throughput


@pytest.mark.parametrize(
    ("count", "percent", "rank"),
    [
        (1, 99, 0),
        (10, 90, 8),
        (100, 90, 89),
        (100, 95, 94),
        (100, 99, 99),  # 1 - 0.99 in float32 is less than a hundredth: none lies above
        (1000, 90, 899),
        (1000, 95, 949),
        (1000, 99, 990),
        (2000, 99, 1980),
    ],
)
def test_ranks_by_hand(count: int, percent: int, rank: int) -> None:
    assert percentile_rank(count, percent) == rank


def test_ranks_are_those_of_float32() -> None:
    """Every intermediate result stored as a C float, as the compiler of trtexec does for these operations."""

    def single(value: float) -> float:
        return ctypes.c_float(value).value

    for percent in (90, 95, 99):
        share = single(1.0 - single(percent / 100))
        for count in range(1, 5000):
            assert percentile_rank(count, percent) == max(0, count - 1 - int(single(share * count))), (count, percent)


def test_it_is_neither_numpys_nor_loadgens() -> None:
    times = list(range(1000))
    assert percentile(times, 99) == 990
    assert np.percentile(times, 99) == pytest.approx(989.01)
    assert sorted(times)[int(0.95 * 1000)] == 950 != percentile(times, 95)


def test_the_order_of_times_does_not_matter() -> None:
    times = np.random.default_rng(1).permutation(1000).tolist()
    assert percentile(times, 90) == 899
    assert median(times) == statistics.median(times)
    assert median([3, 1, 2]) == 2


def test_latency_is_a_sum_and_without_copies_compute_time() -> None:
    assert latencies([1, 2], [10, 20], [3, 4]) == [14, 26]
    assert latencies([], [10, 20], []) == [10, 20]
    with pytest.raises(ValueError, match="longer"):
        latencies([1], [10, 20], [3, 4])


def test_queries_not_samples() -> None:
    assert throughput(300, 3.0) == 100.0
