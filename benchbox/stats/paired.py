"""Do two networks differ in accuracy on the same samples?

On the same pictures most answers agree; only those where one is right and the other wrong carry information. That
makes a difference of half a point visible where two separate intervals would overlap.
"""

from __future__ import annotations

import fractions
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Accuracy of the second minus that of the first, its 95 % interval, and McNemar's exact p-value."""

    difference: float
    low: float
    high: float
    p_value: float
    differing: int


def paired_difference(first: Sequence[bool], second: Sequence[bool], *, level: float = 0.95) -> PairedDifference:
    """How much more often the second is right (McNemar 1947, Psychometrika 12:153, the exact form).

    The interval is that of the difference of two paired shares with the half-sample correction of Bonett & Price
    (2012, J. Educ. Behav. Stat. 37:479).

    Raises:
        ValueError: no samples, or not as many on both sides.
    """
    count = len(first)
    if count == 0 or count != len(second):
        raise ValueError(f"a paired difference needs the same samples, got {count} and {len(second)}")
    gained = sum(1 for one, two in zip(first, second, strict=True) if two and not one)
    lost = sum(1 for one, two in zip(first, second, strict=True) if one and not two)
    z = statistics.NormalDist().inv_cdf((1 + level) / 2)
    up, down = (gained + 1) / (count + 2), (lost + 1) / (count + 2)
    reach = z * math.sqrt((up + down - (up - down) ** 2) / (count + 2))
    return PairedDifference(
        difference=(gained - lost) / count,
        low=max(-1.0, up - down - reach),
        high=min(1.0, up - down + reach),
        p_value=_two_sided(min(gained, lost), gained + lost),
        differing=gained + lost,
    )


def _two_sided(fewer: int, total: int) -> float:
    """Twice the probability of at most so many heads of a fair coin, at most 1."""
    if total == 0:
        return 1.0
    tail = sum(math.comb(total, number) for number in range(fewer + 1))
    return min(1.0, float(fractions.Fraction(2 * tail, 1 << total)))
