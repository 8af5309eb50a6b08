"""Has a series moved to a worse level, judged every night, with few false alarms over many series and nights?

A night is one value. The level is the median of the last good nights, the spread the standard deviation of more of
them, both on logarithms. A run of r nights is called a change only where *every* one of them lies beyond the level by
more than what matters and by more than k spreads. k is the one-sided prediction limit for the least of r future values
(Hahn and Meeker, Statistical Intervals, 1991, chapter 4), so that k spreads hold for r nights of pure noise with
probability a: the errors of level and spread, which all nights of a run share, are integrated over. With a = family ÷
(series × run lengths) the chance that any series is called changed in a night is at most the family's (Bonferroni).
What a night may have from the one before (autocorrelation, as a machine that is warm for two days) is taken off first,
so that the nights of a run count as separate. One bad night is never enough, and a longer run shows a smaller change.
In the tests: simulated years, and scipy.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from benchbox.stats.student import t_quantile

# Runs longer than a week show no smaller change that anybody waits for.
LONGEST_RUN = 7
# The spread needs more nights than the level, which has to follow.
SPREAD_NIGHTS = 56
_POWER = 0.8
_MOST_CARRIED = 0.6
# Nobody measures a case in more processes a night.
MOST_PROCESSES = 100
# Numbers of nights for which limits are computed; between them the smaller one's, which is the wider.
_COUNTS = (*range(2, 15), 17, 20, 24, 28, 34, 40, 48, 56)


class Move(StrEnum):
    """What a night says of its series: too few before it, at the level, beyond it, or at a worse or better level."""

    NEW = "new"
    LEVEL = "level"
    BEYOND = "beyond"
    WORSE = "worse"
    BETTER = "better"


@dataclass(frozen=True, kw_only=True)
class Watch:
    """How a series is watched.

    ``effect`` is the least ratio minus 1 that matters and ``floor`` the least difference in the series' unit;
    ``chance`` the probability that noise alone moves this series in a night; ``nights`` those of the level, of which
    ``least`` are needed; ``persist`` the least length of a run; ``higher_is_worse`` the direction of bad.
    """

    effect: float
    chance: float
    floor: float = 0.0
    nights: int = 14
    least: int = 5
    persist: int = 2
    higher_is_worse: bool = True


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A night against its level.

    ``ratio`` is the value over the level with the 95 % interval of one night; ``mde`` the smallest change, as a ratio
    minus 1, that a week would show with 80 % probability; ``spread`` the standard deviation of the good nights on
    logarithms; ``n`` the nights behind the level. They are None, and 0, for nights at the level that are not the last:
    nobody asks. ``since`` is the index of the first night of the run, that of the night itself where there is none;
    ``worse`` says on which side it lies.
    """

    move: Move
    level: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    mde: float | None = None
    spread: float | None = None
    n: int = 0
    since: int = 0
    worse: bool = False


@dataclass(frozen=True, kw_only=True)
class _Night:
    """A night of a run: its value, by how much that lies beyond the level of its own accord, and its spread."""

    index: int
    value: float
    beyond: float
    spread: float


@dataclass(frozen=True, kw_only=True)
class _Reference:
    """The good nights: level and spread on logarithms, what a night takes over from the one before, how many nights."""

    centre: float
    spread: float
    carried: float
    count: int


@dataclass
class _State:
    good: list[float] = field(default_factory=list)
    run: list[_Night] = field(default_factory=list)
    side: int = 0
    moved: bool = False

    def end_run(self) -> None:
        """Nights of a run that was no change are nights like others; those of a worse level are not."""
        if not self.moved:
            self.good += [night.value for night in self.run]
        self.run, self.side, self.moved = [], 0, False


def watch_nights(
    values: Sequence[float],
    watch: Watch,
    *,
    errors: Sequence[float] = (),
    levels: Mapping[int, float] | None = None,
    settled: Mapping[int, bool] | None = None,
    backed: Mapping[int, int] | None = None,
) -> tuple[Seen, ...]:
    """Every night as it was seen when it was the last one.

    A worse level never becomes the reference by itself: it stays worse until a night is back, or ``levels`` says so. A
    better one does, at once, so that what was won is not lost unseen.

    Args:
        values: positive, one per night, in order.
        watch: how to look at them.
        errors: standard error of each value on logarithms, where a night is noisier than the others; 0 where unknown.
        levels: the level from a night (index) on, as somebody decided it.
        settled: of nights (indices) on the worse side that were measured again, whether that confirmed them: then one
            night is enough, and otherwise no run of nights is.
        backed: of nights (indices) for which something else was asked too, the side that this is on: 1 worse, -1
            better, 0 neither. No run becomes a change in a night that is not on its side.
    """
    looks = _looks(values, watch, errors, levels or {}, _known(settled), backed or {})
    return tuple(seen or Seen(move=Move.LEVEL, since=index) for index, seen in enumerate(looks))


def last_night(
    values: Sequence[float],
    watch: Watch,
    *,
    errors: Sequence[float] = (),
    levels: Mapping[int, float] | None = None,
    settled: Mapping[int, bool] | None = None,
    backed: Mapping[int, int] | None = None,
) -> Seen:
    """The last of ``watch_nights``, which takes less time alone; raises IndexError without nights."""
    seen = [*_looks(values, watch, errors, levels or {}, _known(settled), backed or {})][-1]
    assert seen is not None  # only of others nobody asks
    return seen


def _known(settled: Mapping[int, bool] | None) -> Mapping[int, bool]:
    """What was measured again; a mapping that measures when it is asked is empty before, and counts all the same."""
    return {} if settled is None else settled


def _looks(
    values: Sequence[float],
    watch: Watch,
    errors: Sequence[float],
    levels: Mapping[int, float],
    settled: Mapping[int, bool],
    backed: Mapping[int, int],
) -> Iterator[Seen | None]:
    """Every night; None for one at the level that is not the last."""
    sign = 1 if watch.higher_is_worse else -1
    state, end = _State(), len(values) - 1
    least, reach = max(watch.least, 2), math.log1p(watch.effect)
    for index, value in enumerate(values):
        if index in levels:
            _move_to(state, sign * math.log(levels[index]), watch)
        place = sign * math.log(value)
        # Most nights, as _look sees them too: the judge of many series spends its time here.
        if index < end and not state.side and len(state.good) >= least and abs(place - _level(state, watch)) <= reach:
            state.good.append(place)
            yield None
        else:
            error = errors[index] if errors else 0.0
            yield _look(state, index, place, error, watch, settled, backed, last=index == end)


def _look(
    state: _State,
    index: int,
    value: float,
    error: float,
    watch: Watch,
    settled: Mapping[int, bool],
    backed: Mapping[int, int],
    *,
    last: bool,
) -> Seen | None:
    if len(state.good) < max(watch.least, 2):
        state.good.append(value)
        return Seen(move=Move.NEW, n=len(state.good) - 1, since=index)
    if (side := _side(value, _level(state, watch), watch)) != state.side:
        state.end_run()
        side = _side(value, _level(state, watch), watch)
    if side == 0 and not last:
        state.good.append(value)
        return None
    found = _reference(state, watch)
    wide = max(found.spread, error)
    seen = _seen(value, found, wide, watch)
    if side == 0:
        state.good.append(value)
        return replace(seen, since=index)
    before = state.run[-1].value if state.run else state.good[-1]
    own = side * (value - found.centre - found.carried * (before - found.centre))
    state.side = side
    state.run.append(_Night(index=index, value=value, beyond=own, spread=wide))
    seen = replace(seen, move=Move.BEYOND, since=state.run[0].index, worse=side > 0)
    if side > 0 and (confirmed := settled.get(index)) is not None:
        state.moved = state.moved or confirmed
        return replace(seen, move=Move.WORSE) if confirmed else seen
    if backed.get(index, side) != side:
        return seen
    state.moved = state.moved or _is_change(state, found.count, watch)
    if not state.moved:
        return seen
    if side > 0:
        return replace(seen, move=Move.WORSE)
    _move_to(state, statistics.median(night.value for night in state.run), watch)
    return replace(seen, move=Move.BETTER)


def _level(state: _State, watch: Watch) -> float:
    good = sorted(state.good[-watch.nights :])  # as statistics.median, which takes twice as long
    middle = len(good) // 2
    return good[middle] if len(good) % 2 else (good[middle - 1] + good[middle]) / 2


def _reference(state: _State, watch: Watch) -> _Reference:
    wide = state.good[-max(SPREAD_NIGHTS, watch.nights) :]
    mean = math.fsum(wide) / len(wide)
    off = [value - mean for value in wide]
    squares = math.fsum(value * value for value in off)
    carried = 0.0
    if squares > 0:
        # One standard error above the estimate: few nights show little of it.
        lagged = math.fsum(one * other for one, other in itertools.pairwise(off)) / squares
        carried = min(max(lagged + 1 / math.sqrt(len(wide)), 0.0), _MOST_CARRIED)
    return _Reference(
        centre=_level(state, watch), spread=math.sqrt(squares / (len(wide) - 1)), carried=carried, count=len(wide)
    )


def _side(value: float, centre: float, watch: Watch) -> int:
    if abs(value - centre) <= math.log1p(watch.effect):
        return 0
    sign = 1 if watch.higher_is_worse else -1
    if abs(math.exp(sign * value) - math.exp(sign * centre)) <= watch.floor:
        return 0
    return 1 if value > centre else -1


def _is_change(state: _State, count: int, watch: Watch) -> bool:
    """Whether the last nights, as many as persist up to a week, all lie beyond their limit."""
    for length in run_lengths(watch.persist):
        if length > len(state.run):
            return False
        k = prediction_limit(_counted(count), min(count, watch.nights), length, _chance_of_run(watch))
        if all(night.beyond > k * night.spread for night in state.run[-length:]):
            return True
    return False


def run_lengths(persist: int) -> range:
    """The lengths of runs that are looked at."""
    return range(persist, max(persist, LONGEST_RUN) + 1)


def _chance_of_run(watch: Watch) -> float:
    return watch.chance / len(run_lengths(watch.persist))


def _move_to(state: _State, level: float, watch: Watch) -> None:
    """The good nights as they would have been at a new level: the spread is kept."""
    state.moved = True
    state.end_run()
    if state.good:
        shift = level - _level(state, watch)
        state.good = [value + shift for value in state.good]


def _seen(value: float, found: _Reference, wide: float, watch: Watch) -> Seen:
    sign = 1 if watch.higher_is_worse else -1
    nights = min(found.count, watch.nights)
    reach = t_quantile(0.975, found.count - 1) * wide * math.sqrt(1 + 1 / nights)
    ends = sorted(math.exp(sign * (value - found.centre) + way * reach) for way in (-1, 1))
    steps = (
        prediction_limit(_counted(found.count), nights, length, _chance_of_run(watch))
        + statistics.NormalDist().inv_cdf(_POWER ** (1 / length))
        for length in run_lengths(watch.persist)
    )
    return Seen(
        move=Move.LEVEL,
        level=math.exp(sign * found.centre),
        ratio=math.exp(sign * (value - found.centre)),
        low=ends[0],
        high=ends[1],
        mde=math.expm1(min(min(steps) * wide / (1 - found.carried), 50.0)),
        spread=found.spread,
        n=nights,
    )


def processes_needed(spread: float, error: float, processes: int, wanted: float) -> int | None:
    """How many processes a night would bring the spread of nights down to another; None where more than 100, or none.

    The variance of a night is that between nights, which no number of processes changes, and that between processes
    over their number.

    Args:
        spread: standard deviation of the nights, on logarithms.
        error: standard error of a night by its processes, likewise; positive.
        processes: of a night.
        wanted: the standard deviation of nights to come down to, likewise.
    """
    left = wanted**2 - max(0.0, spread**2 - error**2)
    if left <= 0:
        return None
    # Behind it, since rounding alone may ask for as many as there are.
    needed = max(processes + 1, math.ceil(processes * error**2 / left - 1e-9))
    return needed if needed <= MOST_PROCESSES else None


def _counted(count: int) -> int:
    return max((known for known in _COUNTS if known <= count), default=2)


@functools.lru_cache(maxsize=4096)
def prediction_limit(spread_nights: int, level_nights: int, run: int, chance: float) -> float:
    """How many spreads beyond the level all of ``run`` nights of noise lie with just this probability.

    Args:
        spread_nights: values behind the standard deviation, at least 2.
        level_nights: values behind the median, whose variance is taken as π/2 that of their mean.
        run: nights in a row.
        chance: in (0, 0.5).
    """
    grid = _grid(spread_nights - 1, math.pi / (2 * level_nights))
    low, high = 0.0, 1.0
    while _chance_of_all(high, run, grid) > chance:
        low, high = high, 2 * high
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _chance_of_all(middle, run, grid) > chance else (low, middle)
    return high


_Grid = tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]


def _chance_of_all(k: float, run: int, grid: _Grid) -> float:
    ratios, errors = grid
    return sum(
        weight * sum(part * (0.5 * math.erfc((k * ratio + error) / math.sqrt(2))) ** run for error, part in errors)
        for ratio, weight in ratios
    )


@functools.cache
def _grid(degrees: int, variance: float) -> _Grid:
    """Points and weights of the spread's ratio to the truth (chi) and of the level's error (normal)."""
    steps = [-9 + 11 * place / 72 for place in range(73)]
    chi = [(math.exp(at), math.exp(degrees * at - degrees / 2 * math.exp(2 * at))) for at in steps]
    normal = [(-4 + place / 2, math.exp(-((-4 + place / 2) ** 2) / 2)) for place in range(17)]
    totals = [sum(weight for _, weight in points) for points in (chi, normal)]
    return (
        tuple((ratio, weight / totals[0]) for ratio, weight in chi if weight > 1e-30 * totals[0]),
        tuple((at * math.sqrt(variance), weight / totals[1]) for at, weight in normal),
    )
