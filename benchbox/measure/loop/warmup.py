"""When is a session warm enough to be measured?

After a fixed part, a number of inferences and a time, whichever takes longer: the first calls pay for lazy loading,
memory arenas and caches. Then until it has settled: of the last three blocks' medians the newest is neither the fastest
nor the slowest by more than a hundredth. Whatever still trends is always the extreme; noise seldom is three times
running. On a GPU its clock must have settled too: the same within a hundredth, or two steps, after each of three blocks
running. A clock that still rises behind a memory-bound network would move no median. And its power: a board at its
limit of power or heat is faster in the first second than ever after. Where the fixed part is a second or longer, the
newest reading must be that of a second before within 3 %. Warm-up inferences are kept in the record but are no samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchbox.metrics.workload import inferences_per_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from benchbox.measure.loop.modes import Issuer
    from benchbox.schema.plan import MeasurementPlan

SETTLED_WITHIN = 0.01
SETTLING_BLOCKS = 3
BLOCK_S = 0.03
# NVML's clocks come in steps of 15 MHz.
CLOCK_STEPS_HZ = 30e6
# The driver's power is a mean over a second: nearer readings are alike whatever happens.
POWER_WITHIN, POWER_APART_S = 0.03, 1.0
# On a device, the longest block of the fixed part: power is read between them.
FIXED_BLOCK_S = 0.25


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """The times of the warm-up (ns), the time between samples at its end (ns), and whether it settled."""

    times_ns: NDArray[np.int64]
    typical_ns: float
    settled: bool


def warm_up(
    issuer: Issuer,
    plan: MeasurementPlan,
    *,
    clock_hz: Callable[[], float | None] | None = None,
    power_w: Callable[[], float | None] | None = None,
) -> WarmUp:
    """Runs the warm-up: at least ``warmup_iterations`` and ``warmup_s``, then ``warmup_max_s`` more at most.

    Args:
        issuer: of a session that was just opened.
        plan: its times and numbers.
        clock_hz: reads the device's clock; None where the device does not report it.
        power_w: reads the device's power, likewise.

    An inference that takes longer than the longest measurement ends it early: such a network is warm enough when it has
    run twice, and is not asked whether it has settled. Neither is one that is measured as another tool does it, whose
    warm-up is the fixed part alone.
    """
    now, start = issuer.now_ns, issuer.now_ns()
    times = issuer.block(1).times_ns
    each_ns = _pace(now() - start, times)
    together = inferences_per_sample(plan)
    powers = _Powers(power_w if plan.warmup_s >= POWER_APART_S else None)
    while len(times) < plan.warmup_iterations or now() - start < plan.warmup_s * 1e9:
        if times.sum() * together > max(plan.max_time_s, plan.warmup_s) * 1e9 and len(times) >= 2:
            return WarmUp(times_ns=times, typical_ns=_pace(now() - start, times), settled=True)
        longest_s = plan.warmup_s if power_w is None else min(plan.warmup_s, FIXED_BLOCK_S)
        count = max(1, min(len(times), int(longest_s * 1e9 / max(1.0, each_ns)) + 1))
        begin = now()
        block = issuer.block(count).times_ns
        each_ns = _pace(now() - begin, block)
        times = np.concatenate([times, block])
        powers.look(now())
    if plan.like:
        return WarmUp(times_ns=times, typical_ns=_pace(now() - start, times), settled=True)
    # By the clock on the wall: a sample of mode batched is a whole group, in mode cold caches are filled before each.
    size = max(1, int(BLOCK_S * 1e9 / max(1.0, each_ns)))
    fixed = now()
    medians: list[float] = []
    clocks_hz: list[float] = []
    while True:
        begin = now()
        block = issuer.block(size).times_ns
        took = now() - begin
        times = np.concatenate([times, block])
        medians.append(float(np.median(block)))
        if clock_hz is not None and (now_hz := clock_hz()) is not None:
            clocks_hz.append(now_hz)
        powers.look(now())
        if has_settled(medians) and clock_has_settled(clocks_hz) and powers.are_level():
            return WarmUp(times_ns=times, typical_ns=_pace(took, block), settled=True)
        if len(medians) >= SETTLING_BLOCKS and now() - fixed > plan.warmup_max_s * 1e9:
            return WarmUp(times_ns=times, typical_ns=_pace(took, block), settled=False)


def has_settled(medians: Sequence[float]) -> bool:
    """Whether the newest of the last three is not the extreme by more than ``SETTLED_WITHIN``."""
    if len(medians) < SETTLING_BLOCKS:
        return False
    *before, newest = medians[-SETTLING_BLOCKS:]
    return min(before) * (1 - SETTLED_WITHIN) <= newest <= max(before) * (1 + SETTLED_WITHIN)


def clock_has_settled(clocks_hz: Sequence[float]) -> bool:
    """Whether the last three are within ``SETTLED_WITHIN`` of their middle; true where no clock is reported."""
    last = sorted(clocks_hz[-SETTLING_BLOCKS:])
    if not last:
        return True
    return len(last) == SETTLING_BLOCKS and last[-1] - last[0] <= max(SETTLED_WITHIN * last[1], CLOCK_STEPS_HZ)


class _Powers:
    """Readings of a device's power, and when they were taken (ns)."""

    def __init__(self, read_w: Callable[[], float | None] | None) -> None:
        self._read_w = read_w
        self._seen: list[tuple[int, float]] = []

    def look(self, now_ns: int) -> None:
        """Takes a reading, where there is one."""
        power_w = self._read_w() if self._read_w is not None else None
        if power_w is not None:
            self._seen.append((now_ns, power_w))

    def are_level(self) -> bool:
        """Whether the newest is that of ``POWER_APART_S`` before; true where no power is reported."""
        if not self._seen:
            return True
        at_ns, newest_w = self._seen[-1]
        earlier = [power_w for seen_ns, power_w in self._seen if at_ns - seen_ns >= POWER_APART_S * 1e9]
        return bool(earlier) and abs(newest_w - earlier[-1]) <= POWER_WITHIN * max(newest_w, earlier[-1])


def _pace(took_ns: float, times: NDArray[np.int64]) -> float:
    """Time from one sample to the next, pauses and flushing included."""
    return max(float(took_ns), float(times.sum()) / max(1, len(times))) / max(1, len(times))
