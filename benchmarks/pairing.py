"""Would an interval by blocks judge base and head in turn better than the one of all processes?

``benchbox gate --confirm`` runs processes in the order A B B A A B B A ... and compares all of one side with all of the
other. A machine that drifts puts its drift into both sides: differences within blocks (one turn A B B A each) are free
of most of it, but there are few of them. Simulated with fixed seeds: the noise of the processes in the order in which
they ran, without a change and with one of 5 %. Prints, for each noise, by how much the standard error of blocks is
smaller, and for each way to judge: how often its 95 % interval covers the truth, how wide it is beside today's, how
often noise is confirmed where that may happen with 5 %, and how often the change of 5 % is, by the rule of
``stats/again.py`` with two rounds, an effect of 3 % and a chance of 0.2 %. docs/nightly.md says what follows.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import stats

SD, EFFECT, CHANGE, SHOWN, STRICT = 0.02, 0.03, 0.05, 0.05, 0.002
ROUNDS = 2
Array = np.ndarray


class Judged(NamedTuple):
    """Of every simulated round the ends of the interval, the one-sided p-value and the estimate, on logarithms."""

    low: Array
    high: Array
    p: Array
    centre: Array


def noises(rng: np.random.Generator, rounds: int, length: int) -> Iterator[tuple[str, Array]]:
    """Noise of processes in their order, in standard deviations of a process that does not drift."""

    def white() -> Array:
        return rng.standard_normal((rounds, length))

    def markov(stay: float) -> Array:
        found, level = np.empty((rounds, length)), rng.random(rounds) < 0.5
        for place in range(length):
            found[:, place], level = level, np.where(rng.random(rounds) < stay, level, ~level)
        return found

    def carried(share: float) -> Array:
        found = white()
        for place in range(1, length):
            found[:, place] = share * found[:, place - 1] + math.sqrt(1 - share**2) * found[:, place]
        return found

    yield "independent", white()
    yield "independent, heavy tails", rng.standard_t(4, (rounds, length)) / math.sqrt(2)
    yield "two speeds, drawn for each process", 10 * (rng.random((rounds, length)) < 0.5) + white()
    yield "two speeds, kept for five processes", 10 * markov(0.8) + white()
    yield "drift of 1 SD over the round", white() + np.linspace(0, 1, length)
    yield "drift of 2 SD", white() + np.linspace(0, 2, length)
    yield "drift of 3 SD", white() + np.linspace(0, 3, length)
    yield "random walk, 0.3 SD a process", white() + np.cumsum(0.3 * white(), axis=1)
    yield "autocorrelation 0.5", carried(0.5)


def _tail(chances: Array, at: Array) -> Array:
    """The probability of as large a statistic or a larger one."""
    return np.cumsum(chances[::-1])[::-1][at]


def _exact(differences: Array, chances: Array) -> Judged:
    """By the exact distribution of how many differences are above none."""
    ordered = np.sort(differences, axis=1)
    (cuts,) = np.nonzero(np.cumsum(chances) <= 0.025)
    cut = cuts[-1]
    p = _tail(chances, (ordered > 0).sum(axis=1))
    return Judged(ordered[:, cut], ordered[:, -1 - cut], p, np.median(ordered, axis=1))


def rank_chances(size: int) -> Array:
    """How probable each value of the Mann-Whitney statistic of two groups of that size is (Gaussian binomials)."""
    ways = np.zeros(size * size + 1)
    ways[0] = 1.0
    for one in range(1, size + 1):
        for at in range(size * size, size + one - 1, -1):
            ways[at] -= ways[at - size - one]
        for at in range(one, size * size + 1):
            ways[at] += ways[at - one]
    return ways / ways.sum()


def _student(differences: Array) -> Judged:
    """Of differences that are independent of each other, by Student's t."""
    count = differences.shape[1]
    error = differences.std(axis=1, ddof=1) / math.sqrt(count)
    centre = differences.mean(axis=1)
    reach = stats.t.ppf(0.975, count - 1) * error
    return Judged(centre - reach, centre + reach, stats.t.sf(centre / error, count - 1), centre)


def ways_to_judge(base: Array, head: Array) -> Iterator[tuple[str, Judged]]:
    """Today's way first; arrays of rounds and processes, in the order in which those ran."""
    rounds, count = base.shape
    blocks = count // 2
    yield "all processes", _exact((head[:, None, :] - base[:, :, None]).reshape(rounds, -1), rank_chances(count))
    one, other = base.reshape(rounds, blocks, 2), head.reshape(rounds, blocks, 2)
    within = (other[:, :, None, :] - one[:, :, :, None]).reshape(rounds, -1)
    chances = np.array([1.0])
    for _ in range(blocks):
        chances = np.convolve(chances, rank_chances(2))
    yield "ranks in blocks", _exact(within, chances)
    yield "t of blocks", _student(other.mean(axis=2) - one.mean(axis=2))
    yield "t of pairs", _student(head - base)


def confirmed(found: Judged, chance: float) -> float:
    """The share of confirmations, of rounds taken two by two (``stats/again.py``)."""
    speaks = found.centre > math.log1p(EFFECT)
    first, second = (found.p[place::ROUNDS] for place in range(ROUNDS))
    beyond, again = (speaks[place::ROUNDS] for place in range(ROUNDS))
    limit = math.sqrt(chance / ROUNDS)
    at_once = beyond & (first <= chance / ROUNDS)
    return float(np.mean(at_once | (beyond & (first <= limit) & again & (second <= limit))))


def narrower(base: Array, head: Array) -> float:
    """By how much the standard error by blocks is smaller than that of two groups."""
    count = base.shape[1]
    groups = (base.var(axis=1, ddof=1) + head.var(axis=1, ddof=1)) / count
    blocks = (head.reshape(len(head), -1, 2).mean(axis=2) - base.reshape(len(base), -1, 2).mean(axis=2)).var(
        axis=1, ddof=1
    ) / (count // 2)
    return 1 - math.sqrt(float(blocks.mean() / groups.mean()))


def main() -> None:
    """Prints a table for 8 and for 20 processes a side; an argument is the number of rounds instead of 20,000."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print("| processes | noise | error of blocks | judged by | covers | width | noise confirmed | 5 % found |")
    print("|---|---|---|---|---|---|---|---|")
    for count in (8, 20):
        turn = np.array([False, True, True, False] * (count // 2))
        for name, noise in noises(np.random.default_rng(1), rounds, 2 * count):
            base, head = SD * noise[:, ~turn], SD * noise[:, turn]
            less, today = narrower(base, head), 0.0
            changed = dict(ways_to_judge(base, head + math.log1p(CHANGE)))
            for way, found in ways_to_judge(base, head):
                width = float(np.mean(found.high - found.low))
                today = today or width
                covers = float(np.mean((found.low <= 0) & (found.high >= 0)))
                print(
                    f"| {count} | {name} | {-100 * less:+.0f} % | {way} | {100 * covers:.1f} % | {width / today:.2f} | "
                    f"{100 * confirmed(found._replace(centre=np.full(rounds, np.inf)), SHOWN):.1f} % | "
                    f"{100 * confirmed(changed[way], STRICT):.0f} % |"
                )


if __name__ == "__main__":
    main()
