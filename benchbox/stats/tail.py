"""Below which value does a tail percentile lie, with how much confidence, and how many samples does that take?

``samples_needed`` in ``stats/quantile.py`` says the least n for which a bound exists at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile_upper_bound(ordered: Sequence[float], probability: float, *, confidence: float = 0.99) -> float | None:
    """An upper confidence bound of a percentile, free of any assumption about the distribution.

    The least order statistic X(k) with P(Binomial(n, p) <= k - 1) >= confidence, the rule behind MLPerf LoadGen's early
    stopping; None if even the largest sample does not reach it.

    Args:
        ordered: independent samples in growing order.
        probability: of the percentile, in (0, 1).
        confidence: in (0, 1).
    """
    rank = upper_bound_rank(len(ordered), probability, confidence=confidence)
    return None if rank is None else ordered[rank - 1]


def upper_bound_rank(count: int, probability: float, *, confidence: float = 0.99) -> int | None:
    """The rank k (from 1) of the order statistic that bounds the percentile from above; None if none does."""
    # Summed from the top: P(Binomial >= k) must fall to 1 - confidence, and small numbers add up exactly there.
    above, rank = 0.0, None
    for successes in range(count, -1, -1):
        above += _binomial(count, successes, probability)
        if above > 1 - confidence:
            break
        rank = successes
    return rank if rank is not None and rank >= 1 else None


def _binomial(count: int, successes: int, probability: float) -> float:
    ways = math.lgamma(count + 1) - math.lgamma(successes + 1) - math.lgamma(count - successes + 1)
    return math.exp(ways + successes * math.log(probability) + (count - successes) * math.log1p(-probability))
