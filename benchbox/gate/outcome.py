"""What does an interval of a ratio say: slower, faster, same, or nothing?"""

from __future__ import annotations

from benchbox.metrics.metric import Metric
from benchbox.schema.reading import Better
from benchbox.schema.trial import Pass
from benchbox.schema.verdict import Outcome

SIGNIFICANCE = 0.05


def judge_ratio(
    metric: Metric, low: float | None, high: float | None, p_value: float, effect: float
) -> tuple[Outcome, str]:
    """The outcome by the 95 % interval of head over base and a rank test, and why.

    Args:
        metric: says which direction is better.
        low: of the interval; None where there are too few processes.
        high: of the interval.
        p_value: of the rank test, which must confirm a difference.
        effect: the smallest ratio minus 1 that matters.
    """
    units = "energy windows (--energy-windows)" if metric.pass_ is Pass.ENERGY else "processes (--trials)"
    if low is None or high is None:
        return Outcome.INCONCLUSIVE, f"too few values for a 95 % interval: at least 4 {units} a side"
    ceiling, floor = 1 + effect, 1 / (1 + effect)
    if low > ceiling or high < floor:
        if p_value >= SIGNIFICANCE:
            return Outcome.INCONCLUSIVE, f"beyond {effect:.0%}, but not by the rank test (p = {p_value:.2g})"
        worse = (low > ceiling) is (metric.better is Better.LOWER)
        return (Outcome.SLOWER if worse else Outcome.FASTER), f"beyond {effect:.0%}, rank test p = {p_value:.2g}"
    if low >= floor and high <= ceiling:
        return Outcome.SAME, f"the whole interval lies within {effect:.0%}"
    return Outcome.INCONCLUSIVE, f"the interval crosses the limit of {effect:.0%}: more {units} are needed"
