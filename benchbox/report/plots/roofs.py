"""Which measured ceiling is the limit of these cases?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.material import Material, Point
from benchbox.schema.device import Ceilings, ComputeCeiling, Pace


def ceilings_of(points: Sequence[Point], material: Material) -> Ceilings | None:
    """The newest ceilings that were measured in the environment and on the device of these cases."""
    epochs = {(point.record.environment.hash, point.record.key.device) for point in points}
    fitting = [one for one in material.ceilings if (one.epoch, one.device) in epochs]
    whole = [one for one in fitting if not one.quick]
    return (whole or fitting)[-1] if fitting else None


def ceiling_of(ceilings: Ceilings, precision: str, threads: int, pace: Pace) -> ComputeCeiling | None:
    """The ceiling of a precision at this number of threads."""
    return next(
        (
            entry
            for entry in ceilings.compute
            if (entry.precision.value, entry.threads, entry.kind) == (precision, threads, pace)
        ),
        None,
    )


def roof_of(points: Sequence[Point], material: Material) -> float | None:
    """Sustained FLOP/s in fp32 with the threads of these cases; None where it is not known or they differ."""
    ceilings = ceilings_of(points, material)
    threads = {point.record.plan.threads for point in points}
    if ceilings is None or len(threads) != 1:
        return None
    found = ceiling_of(ceilings, "fp32", threads.pop(), Pace.SUSTAINED)
    return found.flops_per_s if found else None
