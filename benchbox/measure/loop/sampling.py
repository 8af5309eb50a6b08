"""When have enough inferences been timed?

At checkpoints that grow by half each time, so that looking often does not make a lucky stop likely, sampling stops when
the minimum time has passed, there are enough samples, and the 95 % interval of the median is narrow enough; or when the
maximum time has passed. With ``--like`` the minimum time and number of samples of that tool alone end it. The interval
is taken from medians of blocks: neighbouring inferences are alike, and an interval over single inferences would be too
narrow. The record says which rule ended it. Nothing is deleted; how many of the first samples still belong to the
warm-up is found afterwards (MSER-5), and the statistics leave those out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchbox.measure.loop.timing import Block, joined
from benchbox.stats.blocks import block_medians
from benchbox.stats.quantile import median_interval_ranks
from benchbox.stats.truncation import mser5_cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchbox.measure.loop.modes import Issuer
    from benchbox.schema.plan import MeasurementPlan

MIN_SAMPLES_AT_ALL = 3
CHECKPOINT_GROWTH = 1.5
# How often the watch of a device looks, between blocks: the device idles for a moment each time.
LOOK_S = 0.2
# The same where another tool's way of measuring is followed, which never pauses.
LOOK_LIKE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """The measured samples of one trial (ns), the span from first start to last end (ns), and what ended it.

    ``steady_from`` is the index of the first sample that no longer belongs to the warm-up.
    """

    times_ns: NDArray[np.int64]
    window_ns: int
    steady_from: int
    stopped_by: str


def sample(
    issuer: Issuer, plan: MeasurementPlan, *, typical_ns: float, look: Callable[[], object] | None = None
) -> Sampled:
    """Times inferences until the plan is satisfied.

    Args:
        issuer: of a warm session.
        plan: its times, its precision and its least number of samples.
        typical_ns: time between samples, from the warm-up, to choose the size of the first block.
        look: called after every ``LOOK_S`` of sampling, or after every turn, with nothing in flight.
    """
    look_s = plan.turn_s or (LOOK_LIKE_S if plan.like else LOOK_S)
    count = max(MIN_SAMPLES_AT_ALL, math.ceil(min(plan.min_time_s, plan.max_time_s) * 1e9 / max(typical_ns, 1.0)))
    count = min(count, _affordable(plan.max_time_s * 1e9, typical_ns))
    parts: list[Block] = []
    start = issuer.now_ns()
    while True:
        most = count if look is None else max(MIN_SAMPLES_AT_ALL, int(look_s * 1e9 / max(typical_ns, 1.0)))
        for first in range(0, count, most):
            parts.append(issuer.block(min(most, count - first)))
            if look is not None:
                look()
        whole = joined(parts)
        spent = issuer.now_ns() - start
        taken = len(whole.times_ns)
        enough = spent >= plan.min_time_s * 1e9 and taken >= plan.min_samples
        if enough and plan.like:
            return _sampled(whole, "min_time")
        if enough and median_half_width(whole.times_ns) <= plan.target_half_width:
            return _sampled(whole, "precision")
        left = plan.max_time_s * 1e9 - spent
        if left <= 0:
            return _sampled(whole, "max_time")
        wanted = max(1, math.ceil(taken * (CHECKPOINT_GROWTH - 1)))
        count = min(wanted, _affordable(left, spent / taken))


def _sampled(whole: Block, stopped_by: str) -> Sampled:
    return Sampled(
        times_ns=whole.times_ns,
        window_ns=whole.window_ns,
        steady_from=mser5_cut(whole.times_ns.tolist()),
        stopped_by=stopped_by,
    )


def median_half_width(times: NDArray[np.int64]) -> float:
    """Half the width of the median's 95 % interval, as a ratio of the median, from medians of consecutive blocks.

    Infinite where there are too few samples for an interval.
    """
    medians = np.sort(block_medians(times.tolist()))
    ranks = median_interval_ranks(len(medians))
    if ranks is None:
        return math.inf
    low, high = ranks
    return float(medians[high] - medians[low]) / 2 / float(np.median(times))


def _affordable(time_ns: float, each_ns: float) -> int:
    return max(MIN_SAMPLES_AT_ALL, math.ceil(time_ns / max(each_ns, 1.0)))
