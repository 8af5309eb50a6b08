"""What does the timing loop itself take, and does it allocate or collect garbage?

The p50 of the isolated loop around a session whose inference is an empty call, against a bare pair of
``perf_counter_ns`` in the same process, in turn. Target: at most 1.5 times the bare pair. Clocks have steps of about
10 ns, so a median jumps; the mean of the times below five medians does not. An empty call of Python by itself takes
what the session takes: the loop adds nothing to it.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING

import numpy as np

from benchbox.backends.clock import HostStopwatch
from benchbox.measure.loop.timing import isolated_block

if TYPE_CHECKING:
    from numpy.typing import NDArray

COUNT, ROUNDS = 20_000, 15


class Empty:
    """A session whose inference is nothing."""

    stopwatch = HostStopwatch()

    def enqueue(self, slot: int) -> None:
        """Nothing."""

    def synchronize(self) -> None:
        """Nothing."""


def bare(work: Callable[[int], object] | None = None) -> NDArray[np.int64]:
    """Times of bare pairs of clock reads around nothing, or around a call, in ns."""
    now, times = perf_counter_ns, [0] * COUNT
    if work is None:
        for index in range(COUNT):
            begin = now()
            end = now()
            times[index] = end - begin
    else:
        for index in range(COUNT):
            begin = now()
            work(0)
            end = now()
            times[index] = end - begin
    return np.array(times)


def usual(times: NDArray[np.int64]) -> float:
    """Mean of the times below five medians."""
    return float(times[times < 5 * np.median(times)].mean())


def main() -> None:
    """Prints medians and means of the three, their ratios, and what the collector did meanwhile."""
    empty = Empty()
    collections: list[str] = []
    gc.callbacks.append(lambda phase, _: collections.append(phase))
    ways = {
        "bare pair": bare,
        "around an empty call": lambda: bare(empty.enqueue),
        "empty session": lambda: isolated_block(empty, COUNT, slots=4).times_ns,  # type: ignore[arg-type]
    }
    medians: dict[str, list[float]] = {name: [] for name in ways}
    means: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            collections.clear()
            times = way()
            medians[name].append(float(np.median(times)))
            means[name].append(usual(times))
    first = next(iter(ways))
    for name in ways:
        p50, mean = (statistics.median(found[name]) for found in (medians, means))
        ratios = [
            statistics.median(one / other for one, other in zip(found[name], found[first], strict=True))
            for found in (medians, means)
        ]
        print(f"{name:22} p50 {p50:4.0f} ns (x {ratios[0]:.2f})   mean {mean:5.1f} ns (x {ratios[1]:.2f})")
    print(f"{ROUNDS} rounds   collections in a block: {collections.count('start')} (the one before it)")


if __name__ == "__main__":
    main()
