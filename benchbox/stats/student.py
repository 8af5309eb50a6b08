"""How wide is Student's t distribution?

The quantile without a statistics library: such a library is two hundred megabytes and a second of import for this
one function. Oracle of the tests: scipy.
"""

from __future__ import annotations

import functools
import math


@functools.cache
def t_quantile(probability: float, degrees: float) -> float:
    """The value below which a t-distributed variable lies with that probability.

    Args:
        probability: in (0, 1).
        degrees: degrees of freedom, at least 1.

    Raises:
        ValueError: outside these ranges.
    """
    if not 0 < probability < 1 or degrees < 1:
        raise ValueError(f"no t quantile for probability {probability} and {degrees} degrees of freedom")
    if probability < 0.5:
        return -t_quantile(1 - probability, degrees)
    low, high = 0.0, 1.0
    while t_probability(high, degrees) < probability:
        low, high = high, 2 * high
    while high - low > 1e-14 * max(1.0, high):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if t_probability(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def t_probability(value: float, degrees: float) -> float:
    """The probability that a t-distributed variable lies below ``value`` (Abramowitz & Stegun 26.7.1)."""
    square = value * value
    tail = _incomplete_beta(degrees / (degrees + square), square / (degrees + square), degrees / 2, 0.5) / 2
    return 1 - tail if value > 0 else tail


def _incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """The regularised incomplete beta function by its continued fraction (Numerical Recipes 6.4).

    ``rest`` is 1 - x, given apart because the difference would lose its digits where x is nearly 1.
    """
    if x == 0 or rest == 0:
        return float(rest == 0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(rest, x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest))
    return front * _continued_fraction(x, a, b) / a


def _continued_fraction(x: float, a: float, b: float) -> float:
    tiny = 1e-300
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1), tiny)
    result = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _away_from_zero(1 + even * d, tiny)
        c = _away_from_zero(1 + even / c, tiny)
        result *= c * d
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / _away_from_zero(1 + odd * d, tiny)
        c = _away_from_zero(1 + odd / c, tiny)
        result *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return result


def _away_from_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
