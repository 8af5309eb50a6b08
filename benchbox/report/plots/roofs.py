"""Which measured ceilings are the limits of these cases?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from benchbox.flags.ceilings import TOLERATED
from benchbox.report.material import Material, Point, one_at_a_time
from benchbox.schema.device import BandwidthCeiling, Ceilings, ComputeCeiling, Level, Pace
from benchbox.units import format_known


@dataclass(frozen=True, kw_only=True)
class Roof:
    """The limit of a precision: FLOP/s that were sustained with their least and largest process, and bytes likewise.

    ``burst`` are the FLOP/s of short work and ``sheet`` those of the data sheet, None where they are not known.
    ``fastest`` is the highest of all, a burst of the fastest process included.
    """

    precision: str
    level: float
    low: float
    high: float
    bytes_per_s: float
    bytes_low: float
    bytes_high: float
    burst: float | None
    fastest: float
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


@dataclass(frozen=True, kw_only=True)
class Above:
    """A network or a layer that is faster than every measured process and memory allow; both rates in FLOP/s."""

    name: str
    precision: str
    rate: float
    limit: float

    @property
    def over(self) -> float:
        """By which share of the limit."""
        return self.rate / self.limit - 1


def ceilings_of(points: Sequence[Point], material: Material) -> Ceilings | None:
    """The newest ceilings of the environment and device of these cases, with the ends of all that are of that one."""
    epochs = {(point.record.environment.hash, point.record.key.device) for point in points}
    fitting = [one for one in material.ceilings if (one.epoch, one.device) in epochs]
    fitting = [one for one in fitting if not one.quick] or fitting
    of_one = [one for one in fitting if (one.epoch, one.device) == (fitting[-1].epoch, fitting[-1].device)]
    return _widened(of_one) if fitting else None


def _widened(measurements: Sequence[Ceilings]) -> Ceilings:
    """The newest of these, whose least and largest processes are those of all."""
    newest = measurements[-1]
    compute = [
        _with_ends(one, [other for each in measurements for other in each.compute if _kind(other) == _kind(one)])
        for one in newest.compute
    ]
    bandwidth = [
        _with_ends(one, [other for each in measurements for other in each.bandwidth if _kind(other) == _kind(one)])
        for one in newest.bandwidth
    ]
    return replace(newest, compute=tuple(compute), bandwidth=tuple(bandwidth))


def _kind(one: ComputeCeiling | BandwidthCeiling) -> tuple[object, ...]:
    if isinstance(one, BandwidthCeiling):
        return one.level, one.threads
    return one.precision, one.kind, one.threads


_Any = TypeVar("_Any", ComputeCeiling, BandwidthCeiling)


def _with_ends(one: _Any, alike: Sequence[_Any]) -> _Any:
    ends = min(other.low for other in alike), max(other.high for other in alike)
    return replace(one, low=ends[0], high=ends[1], n=sum(other.n for other in alike))


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
                    burst=burst.flops_per_s if burst else None,
                    fastest=max(one.high for one in (level, burst) if one), sheet=ceilings.theoretical.get(precision),
                )
            )  # fmt: skip
    return sorted(found, key=lambda roof: roof.level)


def caches_of(ceilings: Ceilings, threads: int) -> list[tuple[str, float]]:
    """Bytes per second of the larger caches, where they were measured."""
    found = [(level, ceilings.memory(level, threads=threads)) for level in (Level.LLC, Level.L2)]
    return [
        (level.value.upper() if level is Level.L2 else "last cache", one.bytes_per_s) for level, one in found if one
    ]


def share_of_roof(roofs: Sequence[Roof], precision: str, intensity: float, rate: float) -> float | None:
    """The share of the roof that was reached; None where the precision has no ceiling."""
    limit = next((roof.limit(intensity) for roof in roofs if roof.precision == precision), None)
    return None if limit is None else rate / limit


def highest_limit(
    roofs: Sequence[Roof], caches: Sequence[tuple[str, float]], precision: str, intensity: float
) -> float | None:
    """The most that any measured process and memory, data in caches included, allow; None without a ceiling."""
    roof = next((one for one in roofs if one.precision == precision), None)
    if roof is None:
        return None
    fastest = max([roof.bytes_high, *(slope for _, slope in caches)])
    return min(roof.fastest, intensity * fastest)


def is_above(
    roofs: Sequence[Roof], caches: Sequence[tuple[str, float]], precision: str, intensity: float, rate: float
) -> bool:
    """Whether a rate is above that by more than measured ceilings tell apart."""
    limit = highest_limit(roofs, caches, precision, intensity)
    return limit is not None and rate > (1 + TOLERATED) * limit


def levels_of(points: Sequence[Point], material: Material) -> list[Roof]:
    """The roofs of the precisions of these cases; none where their numbers of threads differ or ceilings lack."""
    ceilings = ceilings_of(points, material)
    threads = {point.record.plan.threads for point in points}
    if ceilings is None or len(threads) != 1:
        return []
    return roofs_of(ceilings, [point.record.key.precision.value for point in points], threads.pop())


def shares_by_record(points: Sequence[Point], material: Material) -> dict[str, float]:
    """The share of its roof that each case reached, by record; cases whose roof is not known have none."""
    ceilings = ceilings_of(points, material)
    if ceilings is None:
        return {}
    found: dict[str, float] = {}
    for point in one_at_a_time(points):
        precision = point.record.key.precision.value
        roofs = roofs_of(ceilings, [precision], point.record.plan.threads)
        here = point.record.environment.hash == ceilings.epoch
        if here and point.latency is not None and point.macs and point.least_bytes:
            operations = 2 * point.macs
            share = share_of_roof(roofs, precision, operations / point.least_bytes, operations / point.latency.value)
            found |= {} if share is None else {point.record.id: share}
    return found
