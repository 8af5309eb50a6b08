"""Base and head measured again in turn: noise confirms nothing, a change is confirmed; over years of nights too."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gate_power import false_alarms, found_within
from scipy import stats as oracle

from benchbox.stats.again import Round, decide


def pair(rng: np.random.Generator, sd: float, step: float = 0.0, count: int = 8) -> Round:
    base, head = (1e-3 * np.exp(sd * rng.standard_normal(count)) for _ in range(2))
    return Round(base=tuple(base), head=tuple((1 + step) * head))


def test_one_clear_round_is_enough_and_an_equal_one_refutes() -> None:
    rng = np.random.default_rng(0)
    found = decide([pair(rng, 0.002, 0.1)], effect=0.03, chance=0.002)
    assert found.worse is True
    assert (found.n_base, found.n_head) == (8, 8)
    assert found.low is not None
    assert found.low < found.ratio < (found.high or 0)
    assert found.ratio == pytest.approx(1.1, rel=0.005)
    assert decide([pair(rng, 0.002)], effect=0.03, chance=0.002).worse is False


def test_a_change_below_the_effect_or_the_floor_is_none() -> None:
    rounds = [pair(np.random.default_rng(1), 0.002, 0.02)]
    assert decide(rounds, effect=0.03, chance=0.002).worse is False
    rounds = [pair(np.random.default_rng(1), 0.002, 0.1)]
    assert decide(rounds, effect=0.03, chance=0.002, floor=0.2e-3).worse is False
    assert decide(rounds, effect=0.03, chance=0.002, floor=0.05e-3).worse is True


def test_better_is_not_worse_in_either_direction() -> None:
    rng = np.random.default_rng(2)
    faster = pair(rng, 0.002, -0.1)
    assert decide([faster], effect=0.03, chance=0.002).worse is False
    assert decide([faster], effect=0.03, chance=0.002, higher_is_worse=False).worse is True


def test_an_unclear_round_wants_a_second_one_which_decides() -> None:
    base = (1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07)
    head = (1.045, 1.055, 1.08, 1.09, 1.1, 1.11, 1.12, 1.13)
    first = Round(base=base, head=head)
    p = oracle.mannwhitneyu(head, base, alternative="greater", method="exact").pvalue
    chance = 2 * (2 * p) ** 2
    assert p > chance / 2
    found = decide([first], effect=0.03, chance=chance)
    assert (found.worse, found.p) == (None, pytest.approx(p))
    assert decide([first, first], effect=0.03, chance=chance).worse is True
    assert decide([first, Round(base=base, head=base)], effect=0.03, chance=chance).worse is False
    assert decide([first, first], effect=0.03, chance=chance).n_head == 16


def test_further_rounds_find_what_one_round_cannot() -> None:
    """The chance is below the least p-value of one round, so that no single one could ever confirm anything."""
    rng, chance = np.random.default_rng(4), 1e-5
    rounds = [pair(rng, 0.002, 0.1) for _ in range(3)]
    assert decide(rounds[:1], effect=0.03, chance=chance, most=1).worse is False
    assert decide(rounds[:1], effect=0.03, chance=chance, most=3).worse is None
    assert decide(rounds[:2], effect=0.03, chance=chance, most=3).worse is True
    # Rounds beyond the last do not count.
    assert decide(rounds, effect=0.03, chance=chance, most=2).n_head == 16


def test_no_round_is_no_decision() -> None:
    with pytest.raises(ValueError, match="needs a round"):
        decide([], effect=0.03, chance=0.002)


@pytest.mark.parametrize("most", [1, 2, 4])
def test_noise_alone_is_confirmed_with_less_than_the_chance(most: int) -> None:
    """Noise so large that the effect forbids nothing: the rank tests alone hold the chance, of all ways together."""
    rng, chance, count = np.random.default_rng(3), 0.05, 2000
    confirmed = 0
    for _ in range(count):
        rounds = [pair(rng, 0.5)]
        while decide(rounds, effect=1e-6, chance=chance, most=most).worse is None:
            rounds.append(pair(rng, 0.5))
        assert len(rounds) <= most
        confirmed += decide(rounds, effect=1e-6, chance=chance, most=most).worse is True
    assert confirmed / count < chance + 3 * math.sqrt(chance / count)
    assert confirmed > 0


@pytest.mark.parametrize(("sd", "carried", "heavy"), [(0.015, 0.3, True), (0.04, 0.3, True)])
def test_twenty_series_for_a_year_without_a_change(sd: float, carried: float, heavy: bool) -> None:
    assert false_alarms(sd, carried, heavy, confirm=True, series=20)[0] == 0


def test_a_step_of_five_percent_is_found_in_three_nights() -> None:
    assert found_within(0.015, 0.0, False, 0.05, confirm=True, series=60)[3] >= 0.95


@pytest.mark.nightly
@pytest.mark.parametrize(("sd", "carried", "heavy"), [(0.005, 0.3, True), (0.015, 0.3, True), (0.04, 0.3, True)])
def test_two_hundred_series_for_a_year_are_red_once_at_most(sd: float, carried: float, heavy: bool) -> None:
    assert false_alarms(sd, carried, heavy, confirm=True)[0] <= 1


@pytest.mark.nightly
@pytest.mark.parametrize(("carried", "heavy"), [(0.0, False), (0.3, True)])
def test_five_percent_within_three_nights_in_95_percent(carried: float, heavy: bool) -> None:
    assert found_within(0.015, carried, heavy, 0.05, confirm=True)[3] >= 0.95


def test_pairs_decide_what_groups_cannot() -> None:
    rng = np.random.default_rng(5)
    machine = rng.normal(0, 0.2, 12)
    base, head = (tuple(np.exp(machine + rng.normal(0, 0.01, 12))) for _ in range(2))
    slower = tuple(1.1 * value for value in head)
    assert decide([Round(base=base, head=slower)], effect=0.05, chance=0.002).worse is False
    found = decide([Round(base=base, head=slower, paired=True)], effect=0.05, chance=0.002)
    assert found.worse is True
    assert found.ratio == pytest.approx(1.1, rel=0.02)
    assert found.p == pytest.approx(oracle.wilcoxon(np.log(np.divide(slower, base)), alternative="greater").pvalue)
    assert decide([Round(base=base, head=head, paired=True)], effect=0.05, chance=0.002).worse is False


def test_pairs_of_noise_confirm_nothing_more_often_than_asked() -> None:
    rng, chance = np.random.default_rng(6), 0.02
    confirmed = 0
    for _ in range(1500):
        rounds = [Round(base=(1.0,) * 10, head=tuple(np.exp(rng.normal(0, 0.1, 10))), paired=True) for _ in range(2)]
        confirmed += (
            decide(rounds[:1], effect=0.0, chance=chance).worse or decide(rounds, effect=0.0, chance=chance).worse
        ) is True
    assert confirmed / 1500 <= chance + 3 * math.sqrt(chance / 1500)
