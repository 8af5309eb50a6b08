"""How does trtexec turn the times of its queries into the numbers that it prints?

Source: TensorRT, samples/common/sampleReporting.cpp (findPercentile, findMedian, getPerformanceResult) and
sampleInference.cpp, read at 10.15 to 11.1. Its estimator of percentiles is neither numpy's nor LoadGen's, and its
arithmetic is float32, which decides the rank in some cases.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def percentile_rank(count: int, percent: int) -> int:
    """The index of a percentile among ``count`` sorted times: count - 1 - floor((1 - percent / 100) count), in float32.

    1 - 0.99 is 0.00999999 in float32: of 1000 times 9 lie above p99, not 10.
    """
    above = int((np.float32(1) - np.float32(percent) / np.float32(100)) * np.float32(count))
    return max(0, count - 1 - above)


def percentile(times: Sequence[int], percent: int) -> int:
    """A percentile as trtexec prints it, in the unit of the times; these may be in any order."""
    return sorted(times)[percentile_rank(len(times), percent)]


def median(times: Sequence[int]) -> float:
    """The middle one, or the mean of the two in the middle."""
    ordered = sorted(times)
    half = len(ordered) // 2
    return float(ordered[half]) if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def latencies(h2d: Sequence[int], compute: Sequence[int], d2h: Sequence[int]) -> list[int]:
    """What trtexec calls latency: the sum of a query's three parts, whatever lay between them.

    Where transfers are off its copies take no time, and latency is compute time.
    """
    if not h2d and not d2h:
        return list(compute)
    return [before + work + after for before, work, after in zip(h2d, compute, d2h, strict=True)]


def throughput(queries: int, window_s: float) -> float:
    """Queries per second over the time from the first query's start of copying in to the last one's end of copying out.

    Queries, not samples: one of a batch of 8 counts once.
    """
    return queries / window_s
