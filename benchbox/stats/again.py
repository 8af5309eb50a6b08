"""Does measuring base and head again, in turn, confirm that the head is worse?

A round is two small groups of processes. A round speaks for a change where its ratio is beyond what matters and the
exact one-sided rank test is below a limit. Of at most m rounds, the first k are enough where each of them speaks for it
with a p-value of at most (a / m) ** (1 / k), a being the chance that noise may have. All ways together are taken by
noise with at most a, whatever its distribution (Bonferroni): the test is exact, rounds are independent, and base and
head of a round share the machine and its drift (A B B A). Ranks within blocks of a turn would be as sound, but decide
less often with so few processes (``benchmarks/pairing.py``). Where processes of both sides took turns moment by moment
they are pairs, and the test is the one of signed ranks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchbox.stats.rank import paired_ratio_interval, rank_test, ratio_interval, signed_rank_test

# One that decides at once or says that another is needed, and that other.
MOST_ROUNDS = 2


@dataclass(frozen=True, kw_only=True)
class Round:
    """One value per process of either side, in the unit of the metric.

    ``paired``: those at one place were of two processes that took turns.
    """

    base: tuple[float, ...]
    head: tuple[float, ...]
    paired: bool = False


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What rounds say: ``worse`` is None where one more is needed.

    ``ratio`` is head over base of all rounds together with its 95 % interval, ``p`` the one-sided p-value of the last
    round, ``n_base`` and ``n_head`` count processes.
    """

    worse: bool | None
    ratio: float
    low: float | None
    high: float | None
    p: float
    n_base: int
    n_head: int


def decide(
    rounds: Sequence[Round],
    *,
    effect: float,
    chance: float,
    most: int = MOST_ROUNDS,
    floor: float = 0.0,
    higher_is_worse: bool = True,
) -> Decision:
    """The decision by one round, or by more where the first do not decide.

    Args:
        rounds: in the order in which they were measured.
        effect: the least ratio minus 1 that matters.
        chance: the probability that noise alone is called worse.
        most: rounds after which there is no other; further ones do not count.
        floor: the least difference that matters, in the unit of the values.
        higher_is_worse: the direction of bad.

    Raises:
        ValueError: there is no round, or a value is not positive.
    """
    if not rounds:
        raise ValueError("a decision needs a round")
    rounds = rounds[:most]
    worse: bool | None = None
    largest = p = 0.0
    for number, entry in enumerate(rounds, start=1):
        p = _one_sided(entry, higher_is_worse=higher_is_worse)
        largest = max(largest, p)
        if largest > (chance / most) ** (1 / most) or not _beyond(
            entry, effect, floor, higher_is_worse=higher_is_worse
        ):
            worse = False
            break
        if largest <= (chance / most) ** (1 / number):
            worse = True
            break
    base = [value for entry in rounds for value in entry.base]
    head = [value for entry in rounds for value in entry.head]
    ratio, low, high = _interval(Round(base=tuple(base), head=tuple(head), paired=all(one.paired for one in rounds)))
    return Decision(worse=worse, ratio=ratio, low=low, high=high, p=p, n_base=len(base), n_head=len(head))


def _one_sided(entry: Round, *, higher_is_worse: bool) -> float:
    """The p-value of the rank test in the direction of bad; 1 in the other one."""
    ratio = _interval(entry)[0]
    test = signed_rank_test if entry.paired else rank_test
    return test(entry.base, entry.head) / 2 if (ratio > 1) is higher_is_worse and ratio != 1 else 1.0


def _beyond(entry: Round, effect: float, floor: float, *, higher_is_worse: bool) -> bool:
    ratio = _interval(entry)[0]
    middle = math.exp(math.fsum(map(math.log, entry.base)) / len(entry.base))
    worse = ratio if higher_is_worse else 1 / ratio
    return worse > 1 + effect and abs(ratio - 1) * middle > floor


def _interval(entry: Round) -> tuple[float, float | None, float | None]:
    return (paired_ratio_interval if entry.paired else ratio_interval)(entry.base, entry.head)
