"""When have enough inferences been timed?

At checkpoints that grow by half each time, so that looking often does not make a lucky stop likely, sampling stops when
the minimum time has passed, there are enough samples, and the 95 % interval of the median is narrow enough; or when the
maximum time has passed. The interval is taken from medians of blocks: neighbouring inferences are alike, and an
interval over single inferences would be too narrow. The record says which rule ended it. Nothing is deleted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchbox.measure.timing import timed_block
from benchbox.stats.quantile import median_interval_ranks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchbox.backends.base import Session
    from benchbox.schema.plan import MeasurementPlan

MIN_SAMPLES_AT_ALL = 3
CHECKPOINT_GROWTH = 1.5
BLOCKS = 20


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """The measured inferences of one trial (ns), the span from first start to last end (ns), and what ended it."""

    times_ns: NDArray[np.int64]
    window_ns: int
    stopped_by: str


def sampled(session: Session, plan: MeasurementPlan, *, typical_ns: float) -> Sampled:
    """Times inferences until the plan is satisfied.

    Args:
        session: warm.
        plan: its times, its precision and its least number of samples.
        typical_ns: time of one inference, from the warm-up, to choose the size of the first block.
    """
    now = session.stopwatch.now_ns
    count = max(MIN_SAMPLES_AT_ALL, math.ceil(min(plan.min_time_s, plan.max_time_s) * 1e9 / max(typical_ns, 1.0)))
    count = min(count, _affordable(plan.max_time_s * 1e9, typical_ns))
    parts: list[NDArray[np.int64]] = []
    window = 0
    while True:
        begin = now()
        parts.append(timed_block(session, count, slots=plan.input_slots))
        window += now() - begin
        times = np.concatenate(parts)
        spent = float(times.sum())
        enough = spent >= plan.min_time_s * 1e9 and len(times) >= plan.min_samples
        if enough and median_half_width(times) <= plan.target_half_width:
            return Sampled(times_ns=times, window_ns=window, stopped_by="precision")
        left = plan.max_time_s * 1e9 - spent
        if left <= 0:
            return Sampled(times_ns=times, window_ns=window, stopped_by="max_time")
        wanted = max(1, math.ceil(len(times) * (CHECKPOINT_GROWTH - 1)))
        count = min(wanted, _affordable(left, spent / len(times)))


def median_half_width(times: NDArray[np.int64]) -> float:
    """Half the width of the median's 95 % interval, as a ratio of the median, from medians of consecutive blocks.

    Infinite where there are too few samples to say anything.
    """
    blocks = np.array_split(times, min(BLOCKS, len(times)))
    medians = np.sort([float(np.median(block)) for block in blocks])
    ranks = median_interval_ranks(len(medians))
    if ranks is None:
        return math.inf
    low, high = ranks
    return float(medians[high] - medians[low]) / 2 / float(np.median(times))


def _affordable(time_ns: float, each_ns: float) -> int:
    return max(MIN_SAMPLES_AT_ALL, math.ceil(time_ns / max(each_ns, 1.0)))
