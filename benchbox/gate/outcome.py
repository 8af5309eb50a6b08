"""What does an interval of a ratio say: slower, faster, same, or nothing?"""

from __future__ import annotations

from benchbox.metrics.metric import Metric
from benchbox.schema.reading import Better
from benchbox.schema.trial import Pass
from benchbox.schema.verdict import Outcome
from benchbox.units import format_percent

SIGNIFICANCE = 0.05
# So many values a side have a 95 % interval.
LEAST_VALUES = 4
# Less than this prints as 0.0 %.
_NOTHING = 0.0005
# Words for a larger and a smaller value, and for one that is several times as large, by the metric's unit.
_WORDS = {
    "s": ("faster", "slower", "fast"),
    "1/s": ("more", "less", "much"),
    "bytes": ("more", "less", "much"),
    "J": ("more", "less", "much"),
    "1": ("more", "less", "much"),
}


def judge_ratio(
    metric: Metric,
    low: float | None,
    high: float | None,
    p_value: float,
    effect: float,
    *,
    quick: bool = False,
    least: int = LEAST_VALUES,
) -> tuple[Outcome, str]:
    """The outcome by the 95 % interval of head over base and a rank test, and why.

    Args:
        metric: says which direction is better.
        low: of the interval; None where there are too few processes.
        high: of the interval.
        p_value: of the rank test, which must confirm a difference.
        effect: the smallest ratio minus 1 that matters.
        quick: the values were taken with --quick just now: advice says so.
        least: values a side that an interval needs.
    """
    units = "energy windows (--energy-windows)" if metric.pass_ is Pass.ENERGY else "processes (--trials)"
    advice = "run without --quick" if quick and metric.pass_ is Pass.TIMING else f"more {units} are needed"
    if low is None or high is None:
        return Outcome.INCONCLUSIVE, f"too few values for a 95 % interval: at least {least} {units} a side"
    ceiling, floor = 1 + effect, 1 / (1 + effect)
    words, limit = effect_in_words(metric, low, high), f"the {format_percent(effect)} that count"
    if low > ceiling or high < floor:
        if p_value >= SIGNIFICANCE:
            return Outcome.INCONCLUSIVE, f"{words}, but not by the rank test (p = {p_value:.2g})"
        worse = (low > ceiling) is (metric.better is Better.LOWER)
        return (Outcome.SLOWER if worse else Outcome.FASTER), f"{words}, beyond {limit} (rank test p = {p_value:.2g})"
    if low >= floor and high <= ceiling:
        return Outcome.SAME, f"{words}, within {limit}"
    return Outcome.INCONCLUSIVE, f"{words}, not surely {_beside(low, high)} {limit}: {advice}"


def effect_in_words(metric: Metric, low: float, high: float) -> str:
    """What an interval of head over base means: "4 to 16 % faster", "2.1 to 3.4 times as fast", "1 % less to 3 % more".

    Times are turned into speeds, so that 16 % faster is 1/1.16 of the time, as the limits of a verdict are.
    """
    if metric.unit == "s":
        low, high = 1 / high, 1 / low
    up, down, times = _WORDS.get(metric.unit, _WORDS["1"])
    if low >= 2:
        return f"{_apart(_two_digits(low), _two_digits(high))} times as {times}"
    if metric.unit == "s" and high <= 0.5:
        return f"{_apart(_two_digits(1 / high), _two_digits(1 / low))} times as long"
    if low > 1:
        return f"{_span(low - 1, high - 1)} {up}"
    slower_by = [1 / ratio - 1 if metric.unit == "s" else 1 - ratio for ratio in (high, low)]
    if high < 1:
        return f"{_span(*slower_by)} {down}"
    if max(slower_by[1], high - 1) < _NOTHING:
        return "equal"
    return f"{format_percent(slower_by[1])} {down} to {format_percent(high - 1)} {up}"


def _two_digits(factor: float) -> str:
    """A factor as "2.1" or "120", without an exponent."""
    return f"{float(f'{factor:.2g}'):g}"


def _span(low: float, high: float) -> str:
    first, second = format_percent(low), format_percent(high)
    return first if first == second else f"{first.removesuffix(' %')} to {second}"


def _apart(first: str, second: str) -> str:
    return first if first == second else f"{first} to {second}"


def _beside(low: float, high: float) -> str:
    return "within" if low <= 1 <= high else "beyond"
