"""What stands out among the cases of one machine, in sentences with numbers?"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence

from benchbox.report.material import Point, achieved_text, one_at_a_time
from benchbox.report.records.rows import known_factor
from benchbox.schema.identity import identity_of
from benchbox.schema.reading import Reading
from benchbox.schema.record import reading_of
from benchbox.units import format_count, format_half_width, format_known, format_percent

_MANY = 2
# Members of the front that are as good as certain are named, so many of them.
_LIKELY = 0.5
_SHOWN = 5


def sentences(points: Sequence[Point]) -> list[str]:
    """At most six sentences, each about a difference that its intervals leave no doubt about or about an extreme."""
    shown = one_at_a_time(points)
    if not shown:
        return []
    return [*_extremes(shown), *_precisions(shown), *_order(shown), *_memory(shown)]


def choices(points: Sequence[Point], front: Mapping[str, float]) -> list[str]:
    """What to choose: the likely members of the front of accuracy, latency and memory, most accurate first."""
    members = [
        (point, point.accuracy)
        for point in one_at_a_time(points)
        if point.accuracy is not None and front.get(point.record.id, 0.0) >= _LIKELY
    ]
    if not members:
        return []
    members.sort(key=lambda pair: (-pair[1].value, pair[0].latency.value if pair[0].latency else 0.0))
    lines = [
        f"{point.case}: top-1 {format_percent(accuracy.value, 1)} ({accuracy.source.partition(':')[0]}), {_time(point)}"
        + (f", {_known(memory)}" if (memory := _peak(point)) is not None else "")
        for point, accuracy in members[:_SHOWN]
    ]
    more = len(members) - _SHOWN
    return [*lines, f"and {more} more, which the picture below shows"] if more > 0 else lines


def _peak(point: Point) -> Reading | None:
    return reading_of(point.record, "peak_device_memory") or reading_of(point.record, "peak_host_memory")


def _extremes(points: Sequence[Point]) -> Iterator[str]:
    timed = [(point, point.latency) for point in points if point.latency is not None]
    if len(timed) < _MANY:
        point, latency = timed[0]
        yield f"{point.case} takes {_with_interval(latency)}."
        return
    fastest = min(timed, key=lambda pair: pair[1].value / pair[0].batch)
    per_sample = f" for {fastest[0].batch} samples" if fastest[0].batch > 1 else ""
    yield f"Fastest for each sample: {fastest[0].case} with {_with_interval(fastest[1])}{per_sample}."
    rated = [(2 * point.macs / latency.value, point) for point, latency in timed if point.macs]
    if len(rated) >= _MANY:
        low, high = min(rated, key=lambda pair: pair[0]), max(rated, key=lambda pair: pair[0])
        yield (
            f"Achieved FLOP/s reach from {achieved_text(low[1])} ({low[1].case}) to {achieved_text(high[1])} "
            f"({high[1].case})."
        )


def _precisions(points: Sequence[Point]) -> Iterator[str]:
    """The largest certain gain, and the largest certain loss, of a precision over fp32."""
    found = [pair for pair in _against_fp32(points) if not known_factor(*_speeds(pair)).startswith("~")]
    found.sort(key=lambda pair: _ratio(*pair))
    for place, word in ((-1, "faster"), (0, "slower")):
        if found:
            own, base = found[place]
            ratio = _ratio(own, base)
            if (ratio > 1) is (word == "faster"):
                pair = (own, base) if ratio > 1 else (base, own)
                yield (
                    f"{own.case} is {known_factor(*_speeds(pair))} {word} than fp32: "
                    f"{_time(own)} against {_time(base)}."
                )


def _against_fp32(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    def alike(point: Point) -> Hashable:
        case = identity_of(point.record)
        return case.model, case.backend, case.batch, case.threads, case.transfer, case.like

    base: dict[Hashable, Point] = {
        alike(point): point for point in points if point.record.key.precision.value == "fp32"
    }
    return [
        (point, base[alike(point)])
        for point in points
        if point.record.key.precision.value != "fp32" and alike(point) in base
    ]


def _order(points: Sequence[Point]) -> Iterator[str]:
    """A pair that multiply-adds order the wrong way, in fp32 at the same batch, with the largest factor."""
    best: tuple[float, Point, Point] | None = None
    usual = [point for point in points if point.record.key.precision.value == "fp32" and point.macs]
    for more in usual:
        for less in usual:
            same = (more.batch, more.record.key.backend) == (less.batch, less.record.key.backend)
            if not same or not more.macs or not less.macs or more.macs <= less.macs:
                continue
            ratio = _ratio(more, less)
            certain = not known_factor(*_speeds((more, less))).startswith("~")
            if ratio > 1 and certain and (best is None or ratio > best[0]):
                best = (ratio, more, less)
    if best:
        _, more, less = best
        yield (
            f"Multiply-adds do not order latency: {more.case} has {format_count(more.macs)} and takes {_time(more)}, "
            f"{less.case} has {format_count(less.macs)} and takes {_time(less)}."
        )


def _memory(points: Sequence[Point]) -> Iterator[str]:
    sizes = [(reading, point) for point in points if (reading := reading_of(point.record, "peak_host_memory"))]
    sizes = [entry for entry in sizes if math.isfinite(entry[0].value)]
    if len(sizes) >= _MANY:
        low, high = min(sizes, key=_size), max(sizes, key=_size)
        yield (f"Peak host memory reaches from {_known(low[0])} ({low[1].case}) to {_known(high[0])} ({high[1].case}).")


def _size(pair: tuple[Reading, Point]) -> float:
    return pair[0].value


def _speeds(pair: tuple[Point, Point]) -> tuple[Reading, Reading]:
    """The latencies so that their factor is the first one's speed over the second's."""
    own, base = pair
    assert own.latency is not None
    assert base.latency is not None
    return base.latency, own.latency


def _ratio(own: Point, base: Point) -> float:
    first, second = _speeds((own, base))
    return first.value / second.value


def _time(point: Point) -> str:
    assert point.latency is not None
    return _known(point.latency)


def _known(reading: Reading) -> str:
    return format_known(reading.value, reading.low, reading.high, reading.unit)


def _with_interval(reading: Reading) -> str:
    width = format_half_width(reading.value, reading.low, reading.high)
    return f"{_known(reading)} ({width})" if width.startswith("±") else _known(reading)
