"""When is a session warm enough to be measured?

After a fixed part: a number of inferences and a time, whichever takes longer. The first calls pay for lazy loading,
memory arenas and caches; they are kept in the record but are no samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchbox.measure.timing import timed_block

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchbox.backends.base import Session
    from benchbox.schema.plan import MeasurementPlan


def warmed_up(session: Session, plan: MeasurementPlan) -> NDArray[np.int64]:
    """Runs the warm-up and returns its times (ns): at least ``warmup_iterations`` and ``warmup_s`` of inference.

    A single inference that takes longer than the longest measurement ends it early: such a network is warm enough when
    it has run twice.
    """
    times = timed_block(session, 1, slots=plan.input_slots)
    while len(times) < plan.warmup_iterations or times.sum() < plan.warmup_s * 1e9:
        if times.sum() > plan.max_time_s * 1e9 and len(times) >= 2:
            break
        count = max(1, min(len(times), int(plan.warmup_s * 1e9 / max(1.0, float(np.median(times)))) + 1))
        times = np.concatenate([times, timed_block(session, count, slots=plan.input_slots)])
    return times
