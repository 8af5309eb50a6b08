"""How do two small groups of numbers, or pairs of numbers, differ, whatever their distribution?

The exact Mann-Whitney rank test, and the Hodges-Lehmann ratio with the interval that belongs to it (Hodges and Lehmann
1963; Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd ed., sections 4.1 to 4.3). The numbers are
one per process: a single slow process moves a mean, but hardly a rank. For pairs, processes that shared the machine
turn by turn, the Wilcoxon signed rank test and the same of Walsh averages (sections 3.1 to 3.3): what slows both of a
pair cancels in their ratio. Oracle of the tests: scipy.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence

from benchbox.stats.student import t_quantile

POWER = 0.8
# Fewer pairs have no 95 % interval: the most extreme of 2 ** 5 signs has more than 2.5 %.
LEAST_PAIRS = 6


def rank_test(base: Sequence[float], head: Sequence[float]) -> float:
    """Two-sided p-value that both groups come from one distribution, exact also where values are equal.

    Equal values share their mean rank; the distribution is that of the rank sum over all ways to choose which of the
    values are the head's.

    Raises:
        ValueError: one of the groups is empty.
    """
    if not base or not head:
        raise ValueError("a rank test needs two groups")
    ranks = _doubled_ranks([*base, *head])
    observed = sum(ranks[len(base) :])
    counts = _sums_of_choices(tuple(ranks), len(head))
    total = math.comb(len(ranks), len(head))
    middle = len(head) * (len(ranks) + 1)  # twice the expected rank sum
    distance = abs(observed - middle)
    return sum(count for rank_sum, count in counts.items() if abs(rank_sum - middle) >= distance) / total


def ratio_interval(
    base: Sequence[float], head: Sequence[float], *, level: float = 0.95
) -> tuple[float, float | None, float | None]:
    """How many times the base the head is: the Hodges-Lehmann estimate and its exact interval, on logarithms.

    Args:
        base: positive values, one per process.
        head: likewise.
        level: least probability that the interval covers the true ratio, whatever the distribution.

    Returns:
        Ratio, low and high; low and high are None where the groups are too small for the level (fewer than 4 in each
        for 95 %).

    Raises:
        ValueError: a group is empty or a value is not positive.
    """
    if not base or not head or min(*base, *head) <= 0:
        raise ValueError("a ratio needs positive values in both groups")
    differences = sorted(math.log(b) - math.log(a) for a in base for b in head)
    centre = math.exp(statistics.median(differences))
    cut = _cut(len(base), len(head), level)
    if cut is None:
        return centre, None, None
    return centre, math.exp(differences[cut]), math.exp(differences[-1 - cut])


def minimum_detectable_effect(base: Sequence[float], head: Sequence[float], *, level: float = 0.95) -> float | None:
    """The least true change, as a ratio minus 1, that such groups would show with 80 % probability.

    From the spread between processes: (t(level) + t(power)) · s · sqrt(1/n + 1/m) on logarithms, s pooled (Cohen 1988,
    section 2.3, with t for the normal). None where a group has a single value.
    """
    if len(base) < 2 or len(head) < 2:
        return None
    logs = [[math.log(value) for value in group] for group in (base, head)]
    degrees = len(base) + len(head) - 2
    pooled = sum((len(group) - 1) * statistics.variance(group) for group in logs) / degrees
    reach = t_quantile((1 + level) / 2, degrees) + t_quantile(POWER, degrees)
    return math.expm1(reach * math.sqrt(pooled * (1 / len(base) + 1 / len(head))))


def signed_rank_test(base: Sequence[float], head: Sequence[float]) -> float:
    """Two-sided p-value that ratios within pairs are symmetric around 1, exact also where differences are equal.

    Pairs without a difference are left out; 1 where there is no other.

    Raises:
        ValueError: no pairs, or a value is not positive.
    """
    differences = [one for one in _logs(base, head) if one != 0]
    ranks = _doubled_ranks([abs(one) for one in differences])
    observed = sum(rank for rank, one in zip(ranks, differences, strict=True) if one > 0)
    counts, whole = _sums_of_signs(tuple(ranks)), sum(ranks)
    # Twice the distance from the expected sum, which is half of all ranks.
    distance = abs(2 * observed - whole)
    extreme = sum(count for total, count in counts.items() if abs(2 * total - whole) >= distance)
    return extreme / int(2 ** len(ranks))


def paired_ratio_interval(
    base: Sequence[float], head: Sequence[float], *, level: float = 0.95
) -> tuple[float, float | None, float | None]:
    """How many times the base the head is within pairs: the Hodges-Lehmann estimate and its exact interval, on logs.

    Args:
        base: positive values, one per process.
        head: those of the processes that were paired with them, in the same order.
        level: least probability that the interval covers the true ratio where differences are symmetric.

    Returns:
        Ratio, low and high; low and high are None where there are too few pairs for the level (fewer than 6 for 95 %).

    Raises:
        ValueError: no pairs, or a value is not positive.
    """
    differences = _logs(base, head)
    count = len(differences)
    averages = sorted((differences[i] + differences[j]) / 2 for i in range(count) for j in range(i, count))
    centre = math.exp(statistics.median(averages))
    cut = _pairs_cut(count, level)
    if cut is None:
        return centre, None, None
    return centre, math.exp(averages[cut]), math.exp(averages[-1 - cut])


def paired_detectable_effect(base: Sequence[float], head: Sequence[float], *, level: float = 0.95) -> float | None:
    """The least true change, as a ratio minus 1, that such pairs would show with 80 % probability.

    From the spread of their ratios: (t(level) + t(power)) · s / sqrt(n) on logarithms (Cohen 1988, section 2.3, with t
    for the normal). None for a single pair.
    """
    differences = _logs(base, head)
    if len(differences) < 2:
        return None
    degrees = len(differences) - 1
    reach = t_quantile((1 + level) / 2, degrees) + t_quantile(POWER, degrees)
    return math.expm1(reach * statistics.stdev(differences) / math.sqrt(len(differences)))


def _doubled_ranks(values: Sequence[float]) -> list[int]:
    """Twice the mean rank of each value, which is whole also for ties."""
    ordered = sorted(values)
    first = {value: place for place, value in reversed(list(enumerate(ordered)))}
    count = {value: ordered.count(value) for value in first}
    return [2 * first[value] + count[value] + 1 for value in values]


@functools.lru_cache(maxsize=256)
def _sums_of_choices(ranks: tuple[int, ...], size: int) -> dict[int, int]:
    """How many ways there are to choose ``size`` of the ranks, by their sum."""
    ways: list[dict[int, int]] = [{0: 1}, *({} for _ in range(size))]
    for rank in ranks:
        for chosen in range(size, 0, -1):
            for rank_sum, count in ways[chosen - 1].items():
                ways[chosen][rank_sum + rank] = ways[chosen].get(rank_sum + rank, 0) + count
    return ways[size]


@functools.lru_cache(maxsize=256)
def _cut(first: int, second: int, level: float) -> int | None:
    """How many differences to leave out at each end so that the rest covers with the level."""
    counts = _sums_of_choices(tuple(range(2, 2 * (first + second) + 1, 2)), second)
    least = second * (second + 1)  # twice the smallest rank sum
    total, below = math.comb(first + second, second), 0
    cut = None
    for number in range(first * second // 2):
        below += counts.get(least + 2 * number, 0)
        if below / total > (1 - level) / 2:
            break
        cut = number
    return cut


def _logs(base: Sequence[float], head: Sequence[float]) -> list[float]:
    if not base or len(base) != len(head) or min(*base, *head) <= 0:
        raise ValueError(f"pairs need positive values, got {len(base)} and {len(head)}")
    return [math.log(second) - math.log(first) for first, second in zip(base, head, strict=True)]


@functools.lru_cache(maxsize=256)
def _sums_of_signs(ranks: tuple[int, ...]) -> dict[int, int]:
    """How many ways there are to choose any of the ranks, by their sum."""
    ways = {0: 1}
    for rank in ranks:
        found = dict(ways)
        for total, count in ways.items():
            found[total + rank] = found.get(total + rank, 0) + count
        ways = found
    return ways


@functools.lru_cache(maxsize=256)
def _pairs_cut(pairs: int, level: float) -> int | None:
    """How many averages to leave out at each end so that the rest covers with the level."""
    counts = _sums_of_signs(tuple(range(1, pairs + 1)))
    below, cut = 0, None
    for number in range(pairs * (pairs + 1) // 4):
        below += counts.get(number, 0)
        if below / 2**pairs > (1 - level) / 2:
            break
        cut = number
    return cut
