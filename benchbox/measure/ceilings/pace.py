"""What rate was held for a moment, what rate for the whole time, and was it held?

``burst`` is the median of the five fastest inferences, those of the warm-up included: what a short network can have.
``sustained`` counts all inferences of the timed window over the sum of their times: what a long one can have. A rate
was held where the window's second half is not below 98 % of its first and its eighths are within 3 %.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchbox.schema.device import Pace
from benchbox.schema.trial import Trial

FASTEST, PARTS = 5, 8
LEAST_SECOND_HALF, MOST_SPREAD = 0.98, 0.03


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Times of one process in order, in ns: before the window and in it."""

    before_ns: tuple[int, ...]
    window_ns: tuple[int, ...]

    def seconds(self, kind: Pace) -> float:
        """Seconds of an inference at a pace; a rate that was held for the whole window was held for a moment too."""
        held = statistics.fmean(self.window_ns) * 1e-9
        if kind is Pace.SUSTAINED:
            return held
        fastest = sorted((*self.before_ns, *self.window_ns))[:FASTEST]
        return min(held, statistics.median(fastest) * 1e-9)

    @property
    def unsteady(self) -> float | None:
        """By how much the rate was not held, as a share; None where it was, or where that cannot be seen."""
        if len(self.window_ns) < 2 * PARTS:
            return None
        rates = _rates(self.window_ns, PARTS)
        first, second = _rates(self.window_ns, 2)
        spread = (max(rates) - min(rates)) / statistics.median(rates)
        fall = 1 - second / first
        if fall <= 1 - LEAST_SECOND_HALF and spread <= MOST_SPREAD:
            return None
        return max(fall, spread)


def timed_from_trial(trial: Trial) -> Timed:
    """The times of a timing process: by the device's own clock where it has one."""
    if trial.gpu_ns:
        return Timed(before_ns=(), window_ns=trial.gpu_ns)
    return Timed(before_ns=trial.warmup_ns, window_ns=trial.samples_ns)


def _rates(times_ns: Sequence[int], parts: int) -> list[float]:
    """Inferences per ns in so many equal parts of a window."""
    size = len(times_ns) // parts
    return [size / sum(times_ns[part * size : (part + 1) * size]) for part in range(parts)]
