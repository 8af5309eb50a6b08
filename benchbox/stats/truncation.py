"""How many of the first samples still belong to the warm-up?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

BATCH = 5


def mser5_cut(values: Sequence[float]) -> int:
    """The number of leading values to leave out by MSER-5 (White, Cobb & Spratt 2000).

    The cut after whole groups of five that makes the standard error of the mean of what remains smallest, at most half
    of the values: a cut at that limit says that the series drifts rather than warms up. 0 for fewer than twenty values.
    """
    means = [statistics.fmean(values[at : at + BATCH]) for at in range(0, len(values) - BATCH + 1, BATCH)]
    if len(means) < 4:
        return 0
    best, smallest = 0, float("inf")
    total = square = 0.0
    shift = statistics.fmean(means)  # sums of squares around a near value keep their digits
    for first in range(len(means) - 1, -1, -1):
        total += means[first] - shift
        square += (means[first] - shift) ** 2
        count = len(means) - first
        error = max(0.0, square - total * total / count) / count**2
        if first <= len(means) // 2 and error <= smallest:
            best, smallest = first, error
    return best * BATCH
