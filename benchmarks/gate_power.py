"""How often does the judge of the nights cry wolf in a year, and how soon does it find a step?

Simulated with fixed seeds: 200 series for a year without a change, then 200 with a step after 60 nights, judged by the
stored nights alone and with what was flagged measured again (``benchbox gate --confirm``). The processes of such a
measurement are as noisy as the nights, with heavy tails. Prints the table of docs/nightly.md.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Mapping

import numpy as np

from benchbox.stats.again import MOST_ROUNDS, Round, decide
from benchbox.stats.nights import Move, Watch, watch_nights

SERIES, YEAR, BEFORE, PROCESSES = 200, 365, 60, 8
FAMILY, EFFECT = 0.002, 0.03
# Spread of the nights, what a night takes over from the one before, heavy tails.
NOISES = ((0.005, 0.3, True), (0.015, 0.0, False), (0.015, 0.3, True), (0.04, 0.0, False), (0.04, 0.3, True))
STEPS = (0.05, 0.10, 0.20)


def noise(rng: np.random.Generator, count: int, sd: float, *, carried: float = 0.0, heavy: bool = False) -> np.ndarray:
    """Factors with that standard deviation of logarithms, each night with a part of the one before."""
    own = rng.standard_t(4, count) / math.sqrt(2) if heavy else rng.standard_normal(count)
    found = np.empty(count)
    found[0] = own[0]
    for night in range(1, count):
        found[night] = carried * found[night - 1] + math.sqrt(1 - carried**2) * own[night]
    return np.exp(sd * found)


class Again(Mapping[int, bool]):
    """Measures again when it is asked about a night: only flagged nights are asked about.

    ``step`` is the true change from ``begin`` on, ``sd`` the spread of the processes, ``flagged`` how many rows of the
    night share the chance of a false alarm.
    """

    def __init__(self, rng: np.random.Generator, sd: float, *, step: float, begin: int, flagged: float) -> None:
        self.rng, self.sd, self.step, self.begin, self.flagged = rng, sd, step, begin, flagged
        self.asked = 0

    def __getitem__(self, night: int) -> bool:
        """Whether the night was confirmed."""
        self.asked += 1
        factor = 1 + (self.step if night >= self.begin else 0.0)
        rounds: list[Round] = []
        while len(rounds) < MOST_ROUNDS:
            base, head = (1e-3 * noise(self.rng, PROCESSES, self.sd, heavy=True) for _ in range(2))
            rounds.append(Round(base=tuple(base), head=tuple(factor * head)))
            found = decide(rounds, effect=EFFECT, chance=FAMILY / self.flagged)
            if found.worse is not None:
                return found.worse
        raise AssertionError("two rounds decide")

    def __iter__(self):  # type: ignore[no-untyped-def]
        """Nothing is known before it is asked for."""
        return iter(())

    def __len__(self) -> int:
        """As above."""
        return 0


def expected_flags(sd: float) -> float:
    """About how many of the series are flagged in a night without a change, by a normal distribution."""
    return max(1.0, SERIES * 0.5 * math.erfc(math.log1p(EFFECT) / sd / math.sqrt(2)))


def red_nights(worse: list[bool]) -> int:
    """How often a series turns red."""
    return sum(after and not before for before, after in itertools.pairwise([False, *worse]))


def false_alarms(sd: float, carried: float, heavy: bool, *, confirm: bool, series: int = SERIES) -> tuple[int, float]:
    """False alarms of the series in a year, and how many are measured again in a night."""
    rng, again, red = np.random.default_rng(1), np.random.default_rng(7), 0
    watch, asked = Watch(effect=EFFECT, chance=FAMILY / SERIES), 0
    for _ in range(series):
        settled = Again(again, sd, step=0.0, begin=YEAR, flagged=expected_flags(sd))
        values = 1e-3 * noise(rng, YEAR, sd, carried=carried, heavy=heavy)
        seen = watch_nights(list(values), watch, settled=settled if confirm else None)
        red += red_nights([night.move is Move.WORSE for night in seen])
        asked += settled.asked
    return red, asked / YEAR


def found_within(
    sd: float, carried: float, heavy: bool, step: float, *, confirm: bool, series: int = SERIES
) -> dict[int, float]:
    """Share of the series in which a step was found within so many nights."""
    rng, again = np.random.default_rng(2), np.random.default_rng(8)
    watch, first = Watch(effect=EFFECT, chance=FAMILY / SERIES), []
    for _ in range(series):
        settled = Again(again, sd, step=step, begin=BEFORE, flagged=expected_flags(sd))
        values = 1e-3 * noise(rng, BEFORE + 14, sd, carried=carried, heavy=heavy)
        values[BEFORE:] *= 1 + step
        seen = watch_nights(list(values), watch, settled=settled if confirm else None)[BEFORE:]
        first.append(next((night for night, one in enumerate(seen, 1) if one.move is Move.WORSE), YEAR))
    return {nights: sum(one <= nights for one in first) / series for nights in (1, 2, 3, 7)}


def main() -> None:
    """Prints the table; any argument takes a tenth of the series, to see that it runs."""
    series = SERIES // 10 if len(sys.argv) > 1 else SERIES
    print("| noise | | false alarms a year | measured again a night | step | 1 night | 2 | 3 | 7 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for sd, carried, heavy in NOISES:
        name = f"{100 * sd:g} %" + (", autocorrelated, heavy tails" if heavy else "")
        for confirm in (False, True):
            red, asked = false_alarms(sd, carried, heavy, confirm=confirm, series=series)
            for step in STEPS:
                found = found_within(sd, carried, heavy, step, confirm=confirm, series=series)
                shares = " | ".join(f"{100 * share:.0f} %" for share in found.values())
                way = "--confirm" if confirm else "nights"
                print(f"| {name} | {way} | {red} | {asked:.1f} | {100 * step:g} % | {shares} |", flush=True)


if __name__ == "__main__":
    main()
