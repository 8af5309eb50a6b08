"""Which measured ceilings are the limits of these cases?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchbox.report.material import Material, Point, one_at_a_time
from benchbox.schema.device import Ceilings, Pace
from benchbox.units import format_known


@dataclass(frozen=True, kw_only=True)
class Roof:
    """The limit of a precision: FLOP/s that were sustained with their least and largest process, and bytes likewise.

    ``burst`` are the FLOP/s of short work and ``sheet`` those of the data sheet, None where they are not known.
    """

    precision: str
    level: float
    low: float
    high: float
    bytes_per_s: float
    bytes_low: float
    bytes_high: float
    burst: float | None
    sheet: float | None

    @property
    def ridge(self) -> float:
        """FLOP for each byte where both limits meet."""
        return self.level / self.bytes_per_s

    @property
    def edges(self) -> tuple[float, ...]:
        """Intensities where the roof or the edges of its band bend."""
        return self.ridge, self.low / self.bytes_low, self.high / self.bytes_high

    @property
    def text(self) -> str:
        """In words: "fp32 128 GFLOP/s"."""
        return f"{self.precision} {format_known(self.level, self.low, self.high, 'FLOP/s')}"

    def limit(self, intensity: float) -> float:
        """The most FLOP/s at an intensity."""
        return min(self.level, intensity * self.bytes_per_s)

    def low_limit(self, intensity: float) -> float:
        """The same by the slowest processes."""
        return min(self.low, intensity * self.bytes_low)

    def high_limit(self, intensity: float) -> float:
        """The same by the fastest processes."""
        return min(self.high, intensity * self.bytes_high)


def ceilings_of(points: Sequence[Point], material: Material) -> Ceilings | None:
    """The newest ceilings that were measured in the environment and on the device of these cases."""
    epochs = {(point.record.environment.hash, point.record.key.device) for point in points}
    fitting = [one for one in material.ceilings if (one.epoch, one.device) in epochs]
    whole = [one for one in fitting if not one.quick]
    return (whole or fitting)[-1] if fitting else None


def usual_threads(points: Sequence[Point]) -> int:
    """How many threads most cases have; 0 without any."""
    counts = Counter(point.record.plan.threads for point in one_at_a_time(points))
    return max(counts, key=lambda threads: (counts[threads], threads), default=0)


def roofs_of(ceilings: Ceilings, precisions: Sequence[str], threads: int) -> list[Roof]:
    """The roofs of those of these precisions that have one, lowest first; none without the bandwidth of memory."""
    memory = ceilings.bandwidth_for(threads)
    found = []
    for precision in dict.fromkeys(precisions):
        level = ceilings.roof(precision, kind=Pace.SUSTAINED, threads=threads)
        burst = ceilings.roof(precision, kind=Pace.BURST, threads=threads)
        if memory is not None and level is not None:
            found.append(
                Roof(
                    precision=precision, level=level.flops_per_s, low=level.low, high=level.high,
                    bytes_per_s=memory.bytes_per_s, bytes_low=memory.low, bytes_high=memory.high,
                    burst=burst.flops_per_s if burst else None, sheet=ceilings.theoretical.get(precision),
                )
            )  # fmt: skip
    return sorted(found, key=lambda roof: roof.level)


def roof_of(points: Sequence[Point], material: Material) -> float | None:
    """Sustained FLOP/s in fp32 with the threads of these cases; None where it is not known or they differ."""
    ceilings = ceilings_of(points, material)
    threads = {point.record.plan.threads for point in points}
    if ceilings is None or len(threads) != 1:
        return None
    found = ceilings.roof("fp32", kind=Pace.SUSTAINED, threads=threads.pop())
    return found.flops_per_s if found else None
