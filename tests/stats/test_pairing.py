"""Why base and head in turn are judged by all processes and not by blocks: the simulation behind docs/nightly.md."""

from __future__ import annotations

import numpy as np
import pytest
from pairing import SD, confirmed, narrower, noises, rank_chances, ways_to_judge
from scipy import stats as oracle

from benchbox.stats.again import Round, decide
from benchbox.stats.rank import rank_test, ratio_interval

ROUNDS, COUNT = 2000, 8
TURN = np.array([False, True, True, False] * (COUNT // 2))
# Three standard errors of a share of 95 or 5 %, of as many rounds or pairs of rounds.
REACH = 3 * (0.05 * 0.95 / ROUNDS) ** 0.5


def test_the_simulation_judges_as_the_product_does() -> None:
    """Its rank test and interval of all processes, and its rule of two rounds."""
    rng = np.random.default_rng(5)
    base, head = 0.02 * rng.standard_normal((40, COUNT)), 0.02 * rng.standard_normal((40, COUNT)) + 0.05
    found = dict(ways_to_judge(base, head))["all processes"]
    rounds = [Round(base=tuple(np.exp(one)), head=tuple(np.exp(other))) for one, other in zip(base, head, strict=True)]
    for place, entry in enumerate(rounds):
        ratio, low, high = ratio_interval(entry.base, entry.head)
        assert np.exp([found.centre[place], found.low[place], found.high[place]]) == pytest.approx([ratio, low, high])
        assert found.p[place] == pytest.approx(rank_test(entry.base, entry.head) / 2)
        expected = oracle.mannwhitneyu(entry.head, entry.base, alternative="greater", method="exact").pvalue
        assert found.p[place] == pytest.approx(expected)
    decided = [decide(rounds[place : place + 2], effect=0.03, chance=0.002).worse for place in range(0, 40, 2)]
    assert confirmed(found, 0.002) == sum(worse is True for worse in decided) / 20
    assert rank_chances(2) == pytest.approx(np.array([1, 1, 2, 1, 1]) / 6)


def test_all_processes_hold_what_they_promise_whatever_the_machine_does() -> None:
    """And an interval by ranks in blocks is wider, unless drift makes up more than a fifth of the standard error."""
    for name, noise in noises(np.random.default_rng(1), ROUNDS, 2 * COUNT):
        base, head = SD * noise[:, ~TURN], SD * noise[:, TURN]
        found = dict(ways_to_judge(base, head))
        for way in ("all processes", "ranks in blocks"):
            covers = float(np.mean((found[way].low <= 0) & (found[way].high >= 0)))
            assert covers > 0.95 - REACH, (name, way)
            red = confirmed(found[way]._replace(centre=np.full(ROUNDS, np.inf)), 0.05)
            assert red < 0.05 + REACH * 2**0.5, (name, way)
        widths = [float(np.mean(found[way].high - found[way].low)) for way in ("ranks in blocks", "all processes")]
        if narrower(base, head) < 0.2:
            assert widths[0] > widths[1], name
