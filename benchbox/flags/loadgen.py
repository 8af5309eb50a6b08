"""Which flags does a run get whose requests LoadGen issued?

Advice is in docs/metrics.md. LoadGen's own verdict is quoted; it is about whether its rules were kept, not about the
machine.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from benchbox.flags.samples import FLOOR_FACTOR, near_floor
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.reading import Flag, Severity
from benchbox.schema.trial import Trial
from benchbox.units import format_percent

# How far LoadGen's clock and a monotonic one may be apart over a run: a thread that waits for a CPU between reading the
# two can be this late; slewing is a two-thousandth at most (adjtimex).
CLOCK_APART_S, CLOCK_APART_SHARE = 0.02, 0.001
# A system has fallen behind when less than this share of what arrived was answered in the time that it took to arrive,
# and the last quarter of the samples took so many times longer than the first.
KEPT_UP, GREW = 0.95, 2.0


def flags_of_loadgen(trials: Sequence[Trial], plan: MeasurementPlan) -> Iterator[Flag]:
    """Every flag that LoadGen's runs raise; none for trials of other modes."""
    loaded = [trial for trial in trials if trial.loadgen is not None]
    if not loaded:
        return
    yield Flag(
        code="NOT_MLPERF",
        severity=Severity.INFO,
        message="issued by MLPerf LoadGen, but not an MLPerf result: network, data and rules are benchbox's own",
    )
    yield from _invalid(loaded)
    yield from _clock_stepped(loaded)
    yield from _overloaded(loaded)
    if plan.mode is Mode.OFFLINE:
        yield from _near_floor(loaded, plan)


def _invalid(trials: Sequence[Trial]) -> Iterator[Flag]:
    against = [trial for trial in trials if trial.loadgen is not None and not trial.loadgen.valid]
    if against and (run := against[0].loadgen):
        advice = "; use a longer --max-time" if against[0].stopped_by == "max_time" else ""
        yield Flag(
            code="LOADGEN_INVALID",
            severity=Severity.WARNING,
            message=f"LoadGen reports {len(against)} of {len(trials)} runs as invalid: "
            f"{' '.join(run.reasons).removesuffix('.')}{advice}",
            size=len(against) / len(trials),
        )


def _clock_stepped(trials: Sequence[Trial]) -> Iterator[Flag]:
    worst = max((trial.loadgen.clock_off_s for trial in trials if trial.loadgen is not None), key=abs)
    if any(_apart(trial) for trial in trials):
        yield Flag(
            code="CLOCK_STEPPED",
            severity=Severity.ERROR,
            message=f"the system clock, which LoadGen reads, was set while it ran: it gained {worst:+.3f} s on a "
            "monotonic one; run it again, or stop what sets the clock",
            size=abs(worst),
        )


def _apart(trial: Trial) -> bool:
    allowed = CLOCK_APART_S + CLOCK_APART_SHARE * trial.window_ns * 1e-9
    return trial.loadgen is not None and abs(trial.loadgen.clock_off_s) > allowed


def _overloaded(trials: Sequence[Trial]) -> Iterator[Flag]:
    behind = [share for trial in trials if (share := _kept_up(trial)) < KEPT_UP and _grew(trial.samples_ns)]
    if 2 * len(behind) >= max(1, len(trials)):
        yield Flag(
            code="OVERLOADED",
            severity=Severity.WARNING,
            message=f"only {format_percent(statistics.median(behind))} of the requests that arrived were answered "
            "meanwhile: "
            "the queue grows, and latencies depend on the length of the run; use a lower --rate",
            size=1 - statistics.median(behind),
        )


def _kept_up(trial: Trial) -> float:
    run = trial.loadgen
    return run.completed_per_s / run.offered_per_s if run is not None and run.offered_per_s else 1.0


def _grew(samples: Sequence[int]) -> bool:
    quarter = max(1, len(samples) // 4)
    return statistics.median(samples[-quarter:]) > GREW * statistics.median(samples[:quarter])


def _near_floor(trials: Sequence[Trial], plan: MeasurementPlan) -> Iterator[Flag]:
    each = statistics.median(
        plan.batch * 1e9 / trial.loadgen.completed_per_s for trial in trials if trial.loadgen is not None
    )
    floor = statistics.median(trial.floor_ns for trial in trials)
    if each < FLOOR_FACTOR * floor:
        yield near_floor("LoadGen itself", floor, each, batched=False)
