"""Does a series move: does it drift along a line, or jump from one level to another?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Slope:
    """The median slope per step of a series and its interval."""

    slope: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Where a series most likely changes its level: values from ``at`` on differ; medians before and after."""

    at: int
    before: float
    after: float
    p_value: float


def median_slope(values: Sequence[float], *, level: float = 0.95) -> Slope:
    """The Theil-Sen slope over the index, with the interval of Sen (1968, JASA 63:1379).

    One wild value, or a fifth of them, moves it little. The interval is that of independent values.

    Raises:
        ValueError: for fewer than three values.
    """
    count = len(values)
    if count < 3:
        raise ValueError(f"a slope needs three values, got {count}")
    slopes = sorted(
        (values[later] - values[earlier]) / (later - earlier)
        for earlier in range(count)
        for later in range(earlier + 1, count)
    )
    sigma = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    reach = statistics.NormalDist().inv_cdf((1 + level) / 2) * sigma
    low = max(0, round((len(slopes) - reach) / 2) - 1)
    high = min(len(slopes) - 1, round((len(slopes) + reach) / 2))
    return Slope(slope=statistics.median(slopes), low=slopes[low], high=slopes[high])


def level_shift(values: Sequence[float]) -> Shift:
    """The most likely single change of level, by ranks (Pettitt 1979, Applied Statistics 28:126).

    The p-value is Pettitt's approximation 2·exp(-6 K² / (n³ + n²)), at most 1. A drift has a small one too: compare the
    two before calling it a shift.

    Raises:
        ValueError: for fewer than four values.
    """
    count = len(values)
    if count < 4:
        raise ValueError(f"a change of level needs four values, got {count}")
    # U(t) = sum over i < t <= j of sign(x_j - x_i): how far what follows lies above what came before
    statistic = {
        at: sum((after > before) - (after < before) for before in values[:at] for after in values[at:])
        for at in range(1, count)
    }
    at = max(statistic, key=lambda place: abs(statistic[place]))
    p_value = min(1.0, 2 * math.exp(-6 * statistic[at] ** 2 / (count**3 + count**2)))
    return Shift(at=at, before=statistics.median(values[:at]), after=statistics.median(values[at:]), p_value=p_value)
