"""What does one timed sample stand for?"""

from __future__ import annotations

from dataclasses import dataclass

from benchbox.schema.plan import MeasurementPlan, Mode


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What an inference of the case is: samples in a batch, and analytical operations of that batch.

    ``flops`` are 0 where there are none, and where the analytical cost is not wholly known.

    ``inferences_per_sample`` is how many inferences one timed sample stands for.
    """

    batch: int
    flops: int
    inferences_per_sample: int = 1


def inferences_per_sample(plan: MeasurementPlan) -> int:
    """How many inferences one sample stands for."""
    if plan.mode is Mode.MULTI_STREAM:
        return plan.streams // plan.batch
    return plan.group if plan.mode is Mode.BATCHED else 1


def workload_of(plan: MeasurementPlan, *, flops: int) -> Workload:
    """What a sample of this plan stands for; ``flops`` are those of one inference by analysis."""
    return Workload(batch=plan.batch, flops=flops, inferences_per_sample=inferences_per_sample(plan))
