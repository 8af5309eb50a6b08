"""What does the timing loop itself take, and does it allocate or collect garbage?

The p50 of the isolated loop around a session whose inference is an empty call, against a bare pair of
``perf_counter_ns`` in the same process, in turn. Target: at most 1.5 times the bare pair.
"""

from __future__ import annotations

import gc
import statistics
from time import perf_counter_ns

import numpy as np

from benchbox.backends.clock import HostStopwatch
from benchbox.measure.timing import isolated_block

COUNT, ROUNDS = 20_000, 15


class Empty:
    """A session whose inference is nothing."""

    stopwatch = HostStopwatch()

    def enqueue(self, slot: int) -> None:
        """Nothing."""

    def synchronize(self) -> None:
        """Nothing."""


def bare() -> float:
    """Median of a bare pair of clock reads, in ns."""
    times = [0] * COUNT
    for index in range(COUNT):
        begin = perf_counter_ns()
        times[index] = perf_counter_ns() - begin
    return statistics.median(times)


def main() -> None:
    """Prints the two medians, their ratio, and what the collector did meanwhile."""
    pairs, loops, collections = [], [], []
    gc.callbacks.append(lambda phase, _: collections.append(phase))
    for _ in range(ROUNDS):
        pairs.append(bare())
        collections.clear()
        loops.append(float(np.median(isolated_block(Empty(), COUNT, slots=4).times_ns)))  # type: ignore[arg-type]
    ratio = statistics.median(loop / pair for loop, pair in zip(loops, pairs, strict=True))
    print(
        f"bare pair {statistics.median(pairs):.0f} ns   empty session {statistics.median(loops):.0f} ns   "
        f"ratio {ratio:.2f} ({ROUNDS} rounds)   "
        f"collections in a block: {collections.count('start')} (the one before it)"
    )


if __name__ == "__main__":
    main()
