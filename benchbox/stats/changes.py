"""Where does a series change its level for good?

The series is cut into segments of constant level by optimal partitioning (Jackson et al. 2005, IEEE Signal Processing
Letters 12:105): least squares on logarithms, with a penalty for each cut. Single wild values are pulled to their
neighbours first, so that one bad night makes no segment. Least squares alone finds steps in noise; a cut therefore
stands only where the exact rank test of the values beside it agrees, the ratio is as large as what matters, and enough
values lie behind it. In the tests: brute force over all partitions, and how often noise alone is called a change.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchbox.stats.rank import rank_test, ratio_interval

# A level is one of at least three values: what two nights show may be the machine's.
LEAST_VALUES = 3
SIGNIFICANCE = 0.005
# The rank test is exact, and asks this many values on each side of a cut.
NEIGHBOURS = 14
# Schwarz's criterion asks 2: a segment has two free parameters, its place and its level. More is against lucky cuts.
PENALTY = 3.0
_MAD_TO_SD = 1.4826
_PULLED_BEYOND = 2.5


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of level: the first index of the new one, and how many times the old level it is, with 95 %."""

    index: int
    ratio: float
    low: float | None
    high: float | None
    p_value: float


def changes_of(values: Sequence[float], *, effect: float) -> tuple[Change, ...]:
    """Every lasting change of level, in order.

    Args:
        values: positive, in the order of time.
        effect: the least ratio minus 1 that matters.

    Raises:
        ValueError: a value is not positive.
    """
    if any(value <= 0 for value in values):
        raise ValueError("a change of level is a ratio: values must be positive")
    cuts = list(cuts_of([math.log(value) for value in values]))
    while cuts:
        found = [_change(values, cuts, place) for place in range(len(cuts))]
        doubtful = [change for change in found if not _stands(change, effect)]
        if not doubtful:
            return tuple(found)
        # One at a time, the most doubtful first: its neighbours are judged again on the longer segments.
        cuts.remove(max(doubtful, key=lambda change: (change.p_value, -abs(math.log(change.ratio)))).index)
    return ()


def cuts_of(levels: Sequence[float]) -> tuple[int, ...]:
    """First indices of all segments but the first, by optimal partitioning of a series with additive noise.

    A constant series has none; neither has one of fewer than twice ``LEAST_VALUES``.
    """
    count = len(levels)
    noise = noise_of(levels)
    if count < 2 * LEAST_VALUES or noise == 0.0:
        return _exact_cuts(levels) if count >= 2 * LEAST_VALUES else ()
    pulled = pulled_to_neighbours(levels, noise)
    penalty = PENALTY * noise**2 * math.log(count)
    return partition(pulled, penalty)


def partition(values: Sequence[float], penalty: float) -> tuple[int, ...]:
    """The cuts that minimise squared deviations from the levels plus the penalty for each cut."""
    sums = list(itertools.accumulate(values, initial=0.0))
    squares = list(itertools.accumulate((value * value for value in values), initial=0.0))

    def cost(first: int, end: int) -> float:
        total = sums[end] - sums[first]
        return squares[end] - squares[first] - total * total / (end - first)

    best = [0.0] + [math.inf] * len(values)
    begins = [0] * (len(values) + 1)
    for end in range(LEAST_VALUES, len(values) + 1):
        for first in (0, *range(LEAST_VALUES, end - LEAST_VALUES + 1)):
            tried = best[first] + cost(first, end) + (penalty if first else 0.0)
            if tried < best[end]:
                best[end], begins[end] = tried, first
    cuts, end = [], len(values)
    while begins[end]:
        end = begins[end]
        cuts.append(end)
    return tuple(reversed(cuts))


def _exact_cuts(levels: Sequence[float]) -> tuple[int, ...]:
    """Cuts of a series most of whose steps are exactly 0, as counts are: wherever a value lasts, and is another."""
    runs = [(key, len(list(run))) for key, run in itertools.groupby(levels)]
    lasting = [length >= LEAST_VALUES for _, length in runs]
    starts = list(itertools.accumulate((length for _, length in runs), initial=0))
    found, level = [], runs[0][0]
    for (value, _), start, lasts in zip(runs, starts, lasting, strict=False):
        if lasts and value != level:
            level = value
            if start >= LEAST_VALUES:
                found.append(start)
    return tuple(found)


def noise_of(levels: Sequence[float]) -> float:
    """Standard deviation of a value about its level, from steps between neighbours: few of them cross a change."""
    steps = [abs(after - before) for before, after in itertools.pairwise(levels)]
    return _MAD_TO_SD * statistics.median(steps) / math.sqrt(2) if steps else 0.0


def pulled_to_neighbours(levels: Sequence[float], noise: float) -> list[float]:
    """The series with wild values pulled to the median of their five neighbours, which keeps steps where they are."""
    pulled = []
    for place, level in enumerate(levels):
        near = statistics.median(levels[max(0, place - 2) : place + 3])
        reach = _PULLED_BEYOND * noise
        pulled.append(min(max(level, near - reach), near + reach))
    return pulled


def _change(values: Sequence[float], cuts: Sequence[int], place: int) -> Change:
    """What the values on both sides of a cut say, as far as the next cuts and ``NEIGHBOURS``."""
    index = cuts[place]
    first = cuts[place - 1] if place else 0
    end = cuts[place + 1] if place + 1 < len(cuts) else len(values)
    before, after = values[max(first, index - NEIGHBOURS) : index], values[index : min(end, index + NEIGHBOURS)]
    ratio, low, high = ratio_interval(before, after)
    return Change(index=index, ratio=ratio, low=low, high=high, p_value=rank_test(before, after))


def _stands(change: Change, effect: float) -> bool:
    return change.p_value < SIGNIFICANCE and abs(math.log(change.ratio)) >= math.log1p(effect)
