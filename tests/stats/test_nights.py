"""A level that is watched every night: how often noise is called a change, and how soon a change is found."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats as oracle

from benchbox.stats.nights import Move, Watch, prediction_limit, processes_needed, watch_nights

FAMILY = 0.002
SERIES = 200


def noise(rng: np.random.Generator, count: int, sd: float, *, carried: float = 0.0, heavy: bool = False) -> np.ndarray:
    """Factors with that standard deviation of logarithms, each night with a part of the one before."""
    own = rng.standard_t(4, count) / math.sqrt(2) if heavy else rng.standard_normal(count)
    found = np.empty(count)
    found[0] = own[0]
    for night in range(1, count):
        found[night] = carried * found[night - 1] + math.sqrt(1 - carried**2) * own[night]
    return np.exp(sd * found)


def alarms(values: np.ndarray, watch: Watch) -> int:
    """How often a series turns red."""
    worse = [seen.move is Move.WORSE for seen in watch_nights(list(values), watch)]
    return sum(after and not before for before, after in itertools.pairwise([False, *worse]))


@pytest.mark.parametrize(
    ("sd", "carried", "heavy", "most"),
    [
        (0.005, 0.3, True, 0),
        (0.015, 0.0, False, 0),
        (0.015, 0.3, False, 0),
        (0.015, 0.3, True, 2),
    ],
)
def test_a_year_of_200_series_without_a_change(sd: float, carried: float, heavy: bool, most: int) -> None:
    """73 000 series and nights; the family's chance of 0.002 a night allows 0.7 red nights a year."""
    rng = np.random.default_rng(1)
    watch = Watch(effect=0.03, chance=FAMILY / SERIES)
    red = sum(alarms(1e-3 * noise(rng, 365, sd, carried=carried, heavy=heavy), watch) for _ in range(SERIES))
    assert red <= most


@pytest.mark.parametrize(
    ("sd", "step", "nights", "least"),
    [(0.005, 0.05, 2, 0.99), (0.015, 0.10, 2, 0.85), (0.015, 0.10, 3, 0.93), (0.015, 0.05, 14, 0.5)],
)
def test_how_soon_a_step_is_found(sd: float, step: float, nights: int, least: float) -> None:
    rng = np.random.default_rng(2)
    watch = Watch(effect=0.03, chance=FAMILY / SERIES)
    found = 0
    for _ in range(200):
        values = 1e-3 * noise(rng, 60 + nights, sd)
        values[60:] *= 1 + step
        found += any(seen.move is Move.WORSE for seen in watch_nights(list(values), watch)[60:])
    assert found / 200 >= least


def test_the_limit_of_one_night_is_a_prediction_interval() -> None:
    """Of one night beside the mean; the median's variance stands in for the mean's by its factor π/2."""
    for count, chance in ((5, 0.01), (14, 0.001), (56, 0.0001)):
        want = oracle.t.ppf(1 - chance, count - 1) * math.sqrt(1 + math.pi / (2 * count))
        assert prediction_limit(count, count, 1, chance) == pytest.approx(want, rel=2e-3)


def test_the_limit_of_several_nights_holds_in_simulation() -> None:
    rng = np.random.default_rng(3)
    k = prediction_limit(14, 14, 2, 0.01)
    good = rng.standard_normal((200_000, 14))
    bound = np.median(good, axis=1) + k * good.std(axis=1, ddof=1)
    share = (rng.standard_normal((200_000, 2)).min(axis=1) > bound).mean()
    assert 0.008 < share < 0.0105


def quiet(count: int, level: float = 1e-3, seed: int = 0) -> list[float]:
    return list(level * np.exp(0.005 * np.random.default_rng(seed).standard_normal(count)))


WATCH = Watch(effect=0.05, chance=1e-4)


def moves(values: list[float], watch: Watch = WATCH, **more: object) -> list[Move]:
    return [seen.move for seen in watch_nights(values, watch, **more)]  # type: ignore[arg-type]


def test_one_bad_night_is_none() -> None:
    values = [*quiet(20), 1.3e-3, *quiet(5, seed=1)]
    assert moves(values)[20] is Move.BEYOND
    assert Move.WORSE not in moves(values)


def test_a_worse_level_stays_worse_and_its_first_night_is_known() -> None:
    values = [*quiet(20), *quiet(60, 1.2e-3, 1)]
    seen = watch_nights(values, WATCH)
    assert [night.move for night in seen[20:]] == [Move.BEYOND] + [Move.WORSE] * 59
    assert seen[-1].since == 20
    assert seen[-1].ratio == pytest.approx(1.2, rel=0.02)
    assert seen[-1].low is not None
    assert seen[-1].low < 1.2 < (seen[-1].high or 0)


def test_a_level_that_comes_back_is_the_level() -> None:
    assert moves([*quiet(20), *quiet(5, 1.2e-3, 1), *quiet(5, seed=2)])[-5:] == [Move.LEVEL] * 5


def test_a_better_level_is_the_level_from_then_on() -> None:
    found = moves([*quiet(20), *quiet(4, 0.8e-3, 1), *quiet(3, seed=2)])
    assert found[20:] == [Move.BEYOND, Move.BETTER, Move.LEVEL, Move.LEVEL, Move.BEYOND, Move.WORSE, Move.WORSE]


def test_a_decided_level_ends_the_worse_one() -> None:
    values = [*quiet(20), *quiet(10, 1.2e-3, 1)]
    assert moves(values, levels={25: 1.2e-3})[20:] == [Move.BEYOND] + [Move.WORSE] * 4 + [Move.LEVEL] * 5


def test_where_higher_is_better_lower_is_worse() -> None:
    watch = Watch(effect=0.05, chance=1e-4, higher_is_worse=False)
    values = [*quiet(20, 900.0), *quiet(3, 800.0, 1)]
    seen = watch_nights(values, watch)
    assert seen[-1].move is Move.WORSE
    assert seen[-1].ratio == pytest.approx(8 / 9, rel=0.02)
    assert watch_nights(values[:20], watch)[-1].level == pytest.approx(900, rel=0.01)


def test_below_the_floor_a_ratio_means_nothing() -> None:
    watch = Watch(effect=0.05, chance=1e-4, floor=1e-6)
    assert set(moves([*quiet(20, 5e-6), *quiet(5, 5.9e-6, 1)], watch)) == {Move.NEW, Move.LEVEL}


def test_what_something_else_does_not_say_too_is_no_change() -> None:
    """Such nights are beyond the level and no more, and once they are over they were nights like others."""
    values = [*noise(np.random.default_rng(5), 30, 0.003), 1.1, 1.1, 1.1, 1.0, 1.1, 1.1]
    watch = Watch(effect=0.03, chance=1e-5)
    moves = [seen.move for seen in watch_nights(values, watch)]
    assert moves[31] is Move.WORSE
    moves = [seen.move for seen in watch_nights(values, watch, backed=dict.fromkeys(range(36), 0))]
    assert moves[30:] == [Move.BEYOND] * 3 + [Move.LEVEL] + [Move.BEYOND] * 2
    assert watch_nights(values[:33], watch, backed={30: 0, 31: 0, 32: 1})[-1].move is Move.WORSE
    # A better level is not taken over either.
    better = [*values[:30], 0.9, 0.9, 0.9]
    assert watch_nights(better, watch)[-1].move is not Move.BEYOND
    assert watch_nights(better, watch, backed=dict.fromkeys(range(33), 1))[-1].move is Move.BEYOND


def test_a_night_that_is_noisier_than_its_level_claims_less() -> None:
    values = [*quiet(20), *quiet(3, 1.2e-3, 1)]
    errors = [0.002] * 20 + [0.1] * 3
    assert Move.WORSE not in moves(values, errors=errors)


def test_too_few_nights_say_so() -> None:
    assert moves(quiet(5)) == [Move.NEW] * 5
    assert moves(quiet(6))[-1] is Move.LEVEL


def test_the_smallest_detectable_change_is_of_the_size_of_the_noise() -> None:
    mde = [watch_nights(list(1e-3 * noise(np.random.default_rng(4), 60, sd)), WATCH)[-1].mde for sd in (0.005, 0.02)]
    assert 0.01 < mde[0] < 0.03 < mde[1] < 0.1


def test_values_that_never_move_have_no_spread() -> None:
    seen = watch_nights([1e-3] * 20 + [1.2e-3] * 2, WATCH)
    assert (seen[-1].move, seen[-1].mde) == (Move.WORSE, 0.0)


def test_so_many_processes_make_the_effect_show() -> None:
    """Nights of 8 processes are blind for 5 %; with as many as are asked for they are just not."""
    between, process, few = 0.006, 0.07, 8
    watch = Watch(effect=0.05, chance=1e-5)

    def last(processes: int, seed: int) -> tuple[float, float]:
        rng = np.random.default_rng(seed)
        noise = between * rng.standard_normal(60) + process / math.sqrt(processes) * rng.standard_normal(60)
        seen = watch_nights(list(np.exp(noise)), watch)[-1]
        assert seen.mde is not None
        assert seen.spread is not None
        return seen.mde, seen.spread

    blind = [last(few, seed) for seed in range(30)]
    mde, spread = (float(np.median([one[place] for one in blind])) for place in (0, 1))
    assert mde > 0.08
    wanted = spread * math.log1p(watch.effect) / math.log1p(mde)
    needed = processes_needed(spread, process / math.sqrt(few), few, wanted)
    assert needed is not None
    assert needed > few
    assert np.median([last(needed, seed)[0] for seed in range(30, 60)]) == pytest.approx(watch.effect, rel=0.15)


def test_no_number_of_processes_makes_nights_alike() -> None:
    assert processes_needed(0.03, 0.005, 8, 0.01) is None
    # Without anything between nights it goes with the square, and nobody runs hundreds.
    assert processes_needed(0.02, 0.02, 8, 0.01) == 32
    assert processes_needed(0.02, 0.02, 8, 0.002) is None
    assert processes_needed(0.02, 0.02, 8, 0.0199999) == 9
