"""Were ceilings held, have they fallen, and does anything lie above them?

A measured ceiling is a lower bound of the true peak: differences below 5 % are not significant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from benchbox.flags.seen import flag
from benchbox.schema.device import Ceilings, ComputeCeiling
from benchbox.schema.reading import Flag, Severity
from benchbox.units import format_flops_per_s, format_known, format_percent

TOLERATED = 0.05
# What a case's flags say of the machine while the ceiling's processes ran; the others speak of samples and intervals.
_OF_THE_MACHINE = frozenset(
    {
        "CGROUP_THROTTLED", "CPU_STEAL", "CPU_CONTENDED", "MACHINE_SHIFTED", "OVERSUBSCRIBED", "THREADS_NOT_GIVEN",
        "PROVIDER_FALLBACK", "THROTTLE_HW", "THROTTLE_SW_THERMAL", "POWER_CAPPED", "CLOCK_LOW", "CLOCK_UNSTABLE",
        "GPU_SHARED", "SIMULATED", "EP_FALLBACK", "OUTPUT_CHANGED",
    }
)  # fmt: skip


class _Subject(Protocol):
    @property
    def title(self) -> str: ...


class _Timed(Protocol):
    @property
    def unsteady(self) -> float | None: ...


class _Timings(Protocol):
    """What the flags look at: a ceiling's processes."""

    @property
    def subject(self) -> _Subject: ...

    @property
    def processes(self) -> Sequence[_Timed]: ...

    @property
    def flags(self) -> tuple[Flag, ...]: ...


def not_held(found: Iterable[_Timings]) -> Iterator[Flag]:
    """Ceilings whose rate was not held in half of their processes or more."""
    worst: dict[str, float] = {}
    for timings in found:
        shares = [share for timed in timings.processes if (share := timed.unsteady) is not None]
        if shares and 2 * len(shares) >= len(timings.processes):
            worst[timings.subject.title] = max(shares)
    if worst:
        title = max(worst, key=lambda name: worst[name])
        yield flag(
            "CEILING_NOT_HELD",
            Severity.WARNING,
            f"{len(worst)} rates were not held over their window (worst: {title}, by {format_percent(worst[title])}): "
            "heat, a power limit, or a machine that others use",
            size=worst[title],
        )


def flags_of_processes(found: Iterable[_Timings]) -> tuple[Flag, ...]:
    """What disturbed the machine meanwhile: of each code the worst, with what it was seen at."""
    worst: dict[str, tuple[Flag, str]] = {}
    for timings in found:
        for each in timings.flags:
            known = worst.get(each.code)
            if each.code in _OF_THE_MACHINE and (known is None or (each.size or 0) > (known[0].size or 0)):
                worst[each.code] = (each, timings.subject.title)
    return tuple(
        flag(each.code, each.severity, f"{title}: {each.message}", size=each.size) for each, title in worst.values()
    )


def dropped(now: Ceilings, before: Ceilings) -> Iterator[Flag]:
    """Ceilings that are more than 5 % below the stored ones of the same library and shape."""
    for one in now.backends:
        then = next((other for other in before.backends if _alike(one, other)), None)
        if then is None:
            continue
        fall = 1 - one.flops_per_s / then.flops_per_s
        if fall > TOLERATED:
            yield _fallen(
                f"{one.library} {one.precision} {one.kind}", fall, one.flops_per_s, then.flops_per_s, "FLOP/s"
            )
    for band in now.bandwidth:
        last = before.memory(band.level, threads=band.threads)
        if last is None or (band.library, band.kernel) != (last.library, last.kernel):
            continue
        if (fall := 1 - band.bytes_per_s / last.bytes_per_s) > TOLERATED:
            yield _fallen(f"bandwidth of {band.level}", fall, band.bytes_per_s, last.bytes_per_s, "B/s")


def above_ceiling(name: str, flops_per_s: float, ceiling: ComputeCeiling) -> Flag | None:
    """A rate above the ceiling by more than 5 %; None where it is not. Raises nothing.

    Args:
        name: of what reached the rate.
        flops_per_s: operations per second, a multiply-add being two.
        ceiling: the highest that was measured here in its precision.
    """
    over = flops_per_s / ceiling.flops_per_s - 1
    if over <= TOLERATED:
        return None
    return flag(
        "ABOVE_CEILING",
        Severity.WARNING,
        f"{name} reaches {format_flops_per_s(flops_per_s)}, {format_percent(over)} above the {ceiling.precision} "
        "ceiling of "
        f"{format_flops_per_s(ceiling.flops_per_s)} ({ceiling.library}): the ceiling is too low (measure it again with "
        "'benchbox ceilings'), or fewer operations ran than are counted (Winograd, FFT)",
        size=over,
    )


def _alike(one: ComputeCeiling, other: ComputeCeiling) -> bool:
    """Whether two were measured alike: of the same library, operator and number of threads, in the same way."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("library", "precision", "kind", "threads", "shape", "form", "method")
    )


def _fallen(name: str, fall: float, now: float, before: float, unit: str) -> Flag:
    return flag(
        "CEILING_DROPPED",
        Severity.WARNING,
        f"{name} is {format_percent(fall)} below the stored ceiling ({format_known(now, None, None, unit)} now, "
        f"{format_known(before, None, None, unit)} then): heat, a power limit, a busy machine; 'benchbox ceilings' "
        "without --quick measures it again",
        size=fall,
    )
