"""What is a percentile of a list of samples, and how many samples does it need?"""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(ordered: Sequence[float], probability: float) -> float:
    """The sample at index floor(n·p) of a sorted list, the last one at most: MLPerf LoadGen's definition.

    Args:
        ordered: samples in growing order, at least one.
        probability: in [0, 1].
    """
    return ordered[min(math.floor(len(ordered) * probability), len(ordered) - 1)]


def samples_needed(probability: float, *, confidence: float = 0.95) -> int:
    """The least n for which the largest of n samples lies above the percentile with that confidence.

    The chance that all n lie below is p^n, so n >= log(1 - confidence) / log(p): 299 for p99 and 95 %.
    """
    return math.ceil(math.log(1 - confidence) / math.log(probability))


def median_interval_ranks(count: int, *, level: float = 0.95) -> tuple[int, int] | None:
    """Indices (from 0) of the two order statistics that enclose the median with at least that probability.

    From the binomial distribution, free of any assumption about the samples' distribution; None if even the
    smallest and largest of ``count`` samples do not reach the level (fewer than six for 95 %).
    """
    tail, below = (1 - level) / 2, 0.0
    rank = -1
    for number in range(count // 2):
        below += math.comb(count, number) * 0.5**count
        if below > tail:
            break
        rank = number
    return (rank, count - 1 - rank) if rank >= 0 else None
