"""How sure is a number that a few processes gave?

The process is the unit of replication: iterations of one process are not independent, and an interval over
pooled iterations covers the truth in one case of ten where 95 % is claimed (docs/metrics.md).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from benchbox.stats.student import t_quantile


def wilson_interval(successes: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927, JASA 22:209), right near 0 and 1 where the usual one is not.

    Raises:
        ValueError: if there is no trial or more successes than trials.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} of {trials} is not a share")
    z = statistics.NormalDist().inv_cdf((1 + level) / 2)
    share = successes / trials
    centre = share + z * z / (2 * trials)
    reach = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    whole = 1 + z * z / trials
    return max(0.0, (centre - reach) / whole), min(1.0, (centre + reach) / whole)


def t_interval(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float | None, float | None]:
    """The mean of some values and its Student t interval, for what adds up, as energies do.

    Args:
        values: of any sign.
        level: probability that the interval covers the truth.

    Returns:
        Centre, low and high; low and high are None for a single value, which does not show the spread.

    Raises:
        ValueError: if there is no value.
    """
    if not values:
        raise ValueError("an interval needs values")
    centre = statistics.fmean(values)
    if len(values) < 2:
        return centre, None, None
    reach = t_quantile((1 + level) / 2, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return centre, centre - reach, centre + reach


def log_t_interval(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float | None, float | None]:
    """The geometric mean of positive values and its Student t interval, taken on logarithms.

    Times and rates vary by factors, not by sums, so the logarithm is the scale on which they are nearly
    normal; ratios of two such numbers come out right as well.

    Args:
        values: one value per process, all positive.
        level: probability that the interval covers the truth.

    Returns:
        Centre, low and high; low and high are None for a single value, which does not show the spread.

    Raises:
        ValueError: if there is no value or one is not positive.
    """
    if not values or min(values) <= 0:
        raise ValueError(f"an interval on logarithms needs positive values, got {list(values)}")
    logs = [math.log(value) for value in values]
    centre = math.exp(statistics.fmean(logs))
    if len(values) < 2:
        return centre, None, None
    error = statistics.stdev(logs) / math.sqrt(len(logs))
    reach = t_quantile((1 + level) / 2, len(logs) - 1) * error
    return centre, centre * math.exp(-reach), centre * math.exp(reach)
