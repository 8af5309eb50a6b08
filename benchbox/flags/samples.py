"""Were the samples of a process settled, level, unimodal and far above the harness's own time?

A condition is flagged where at least half of the processes show it, in the host's times or in the device's: on a shared
machine any one may have been disturbed, which widens the interval and needs no flag of its own. Thresholds and advice
are in docs/metrics.md.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence

from benchbox.flags.seen import Seen, flag, longer
from benchbox.metrics.metric import steady
from benchbox.metrics.readings import timing_trials
from benchbox.schema.plan import LOADGEN_MODES, MeasurementPlan, Mode
from benchbox.schema.reading import Flag, Severity
from benchbox.schema.trial import Trial
from benchbox.stats.blocks import block_medians
from benchbox.stats.modality import Modes, modes_of
from benchbox.stats.quantile import samples_needed
from benchbox.stats.trend import level_shift, median_slope
from benchbox.units import counted, format_percent, format_ratio, format_time

# trtexec warns of GPU times from 2.5 % on.
NOISE_LIMIT, GPU_NOISE_LIMIT = 0.10, 0.025
MAD_TO_SD = 1.4826
LEAST_PROCESSES = 3
# Between processes: their share of all variance, and their standard deviation relative to the median.
BETWEEN_SHARE, BETWEEN_SPREAD = 0.5, 0.01

SHARE = 0.5
MOVED = 0.01
SHIFT_P = DIP_P = 0.01
MODES_APART, MODE_SHARE = 0.05, 0.10
FLOOR_FACTOR = 10
_ONE_IN_FLIGHT = frozenset({Mode.ISOLATED, Mode.SINGLE_STREAM, Mode.MULTI_STREAM, Mode.SERVER})
# Fewer blocks or samples than this say nothing about a trend or a second mode.
LEAST_BLOCKS, LEAST_SAMPLES = 10, 100


def flags_of_samples(trials: Sequence[Trial], plan: MeasurementPlan, *, quick: bool = False) -> Iterator[Flag]:
    """Every flag that the samples of the timed trials raise; ``quick`` where --quick asked for few."""
    sampled = [trial for trial in trials if trial.samples_ns]
    if not sampled:
        return
    yield from _not_steady(sampled, quick=quick)
    if plan.mode is not Mode.SERVER:  # there a sample waits as long as others before it take: neighbours are alike
        yield from _moved(sampled)
        yield from _two_modes(sampled)
    yield from _near_floor(sampled, plan)


def _not_steady(trials: Sequence[Trial], *, quick: bool) -> Iterator[Flag]:
    restless = [trial for trial in trials if not trial.settled or _cut_at_its_limit(trial)]
    if _half(restless, trials):
        yield Flag(
            code="NOT_STEADY",
            severity=Severity.WARNING,
            message=f"{len(restless)} of {len(trials)} processes had not settled: {longer(quick=quick)}, or stop other "
            "work",
            size=len(restless) / len(trials),
        )


def _cut_at_its_limit(trial: Trial) -> bool:
    """Whether MSER-5 cut as much as it may, half of the samples, and the halves differ."""
    half = len(trial.samples_ns) // 2
    if trial.steady_from < half - 5 or half < LEAST_SAMPLES // 2:
        return False
    first, second = (statistics.median(part) for part in (trial.samples_ns[:half], trial.samples_ns[half:]))
    return abs(second / first - 1) > MOVED


def _moved(trials: Sequence[Trial]) -> Iterator[Flag]:
    kinds = [max(map(movement, _series(trial)), key=lambda found: abs(found[1])) for trial in trials]
    drifting = [change for kind, change in kinds if kind == "drift"]
    shifting = [change for kind, change in kinds if kind == "shift"]
    if _half(drifting, trials):
        yield Flag(
            code="DRIFT",
            severity=Severity.WARNING,
            message=f"{len(drifting)} of {len(trials)} processes drifted, by "
            f"{format_percent(statistics.median(drifting), 1, signed=True)} from "
            "start to end: clocks or temperature may be changing; use a longer warm-up or locked clocks",
            size=max(map(abs, drifting)),
        )
    if _half(shifting, trials):
        yield Flag(
            code="LEVEL_SHIFT",
            severity=Severity.WARNING,
            message=f"{len(shifting)} of {len(trials)} processes shifted to another level, by "
            f"{format_percent(statistics.median(shifting), 1, signed=True)}: look for other work that started or "
            "ended meanwhile",
            size=max(map(abs, shifting)),
        )


def movement(samples: Sequence[int]) -> tuple[str, float]:
    """How the samples move over a process: "drift", "shift" or "", and the change as a ratio minus 1.

    From block medians. A drift's slope has an interval without 0; a shift has a small p-value; where both are so, the
    one that leaves the smaller residues counts. Changes of a hundredth or less do not count.
    """
    medians = block_medians(tuple(samples))
    if len(medians) < LEAST_BLOCKS:
        return "", 0.0
    slope, shift = median_slope(medians), level_shift(medians)
    centre = statistics.median(medians)
    drifted = slope.slope * (len(medians) - 1) / centre
    shifted = shift.after / shift.before - 1
    drifts = (slope.low > 0 or slope.high < 0) and abs(drifted) > MOVED
    shifts = shift.p_value < SHIFT_P and abs(shifted) > MOVED
    if drifts and shifts:
        line = statistics.median(value - slope.slope * place for place, value in enumerate(medians))
        off_line = sum(abs(value - line - slope.slope * place) for place, value in enumerate(medians))
        off_step = sum(
            abs(value - (shift.before if place < shift.at else shift.after)) for place, value in enumerate(medians)
        )
        drifts = off_line <= off_step
    return ("drift", drifted) if drifts else ("shift", shifted) if shifts else ("", 0.0)


def _two_modes(trials: Sequence[Trial]) -> Iterator[Flag]:
    apart = [modes for trial in trials if (modes := _modes_apart(trial)) is not None]
    if _half(apart, trials):
        typical = max(apart, key=lambda modes: modes.upper / modes.lower)
        yield Flag(
            code="BIMODAL",
            severity=Severity.WARNING,
            message=f"{len(apart)} of {len(trials)} processes have two modes, {format_time(typical.lower / 1e9)} and "
            f"{format_time(typical.upper / 1e9)} ({format_percent(typical.upper_share)} of the samples): the "
            "median may fall on either",
            size=typical.upper / typical.lower,
        )


def _modes_apart(trial: Trial) -> Modes | None:
    for part in _series(trial):
        modes = modes_of(part) if len(part) >= LEAST_SAMPLES else None
        if (
            modes is not None
            and modes.p_value < DIP_P
            and modes.upper / modes.lower - 1 > MODES_APART
            and MODE_SHARE <= modes.upper_share <= 1 - MODE_SHARE
        ):
            return modes
    return None


def _series(trial: Trial) -> list[Sequence[int]]:
    """The steady times of the host, and of the device where there is one: it does not see the host's disturbances."""
    return [steady(trial, times) for times in (trial.samples_ns, trial.gpu_ns) if times]


def _near_floor(trials: Sequence[Trial], plan: MeasurementPlan) -> Iterator[Flag]:
    latency = statistics.median(statistics.median(trial.samples_ns) for trial in trials)
    floor = statistics.median(trial.floor_ns for trial in trials)
    if plan.mode in _ONE_IN_FLIGHT and floor and latency < FLOOR_FACTOR * floor:
        loop = "LoadGen itself" if plan.mode in LOADGEN_MODES else "the timing loop itself"
        yield near_floor(loop, floor, latency, batched=plan.mode not in LOADGEN_MODES)
    timed = [trial for trial in trials if trial.gpu_ns and trial.gpu_floor_ns]
    if timed:
        gpu = statistics.median(statistics.median(trial.gpu_ns) for trial in timed)
        gpu_floor = statistics.median(trial.gpu_floor_ns for trial in timed)
        if gpu < FLOOR_FACTOR * gpu_floor:
            yield near_floor("a pair of GPU events", gpu_floor, gpu, batched=True)


def near_floor(loop: str, floor_ns: float, taken_ns: float, *, batched: bool) -> Flag:
    """That the harness is a large part of what was measured; ``batched`` where other modes answer the question too."""
    remedy = "use --mode batched or a larger --batch" if batched else "the network itself is faster than this"
    return Flag(
        code="NEAR_FLOOR",
        severity=Severity.WARNING,
        message=f"{loop} costs {format_time(floor_ns * 1e-9)} of the {format_time(taken_ns * 1e-9)} measured: {remedy}",
        size=floor_ns / taken_ns if taken_ns else None,
    )


def _half(some: Sequence[object], everything: Sequence[object]) -> bool:
    return len(some) >= max(1, SHARE * len(everything))


def tail_undersampled(seen: Seen) -> Iterator[Flag]:
    """Whether a process has too few samples to bound its 99th percentile."""
    counts = [len(trial.samples_ns) for trial in timing_trials(seen.trials) if trial.samples_ns]
    needed = samples_needed(0.99)
    if counts and min(counts) < needed:
        yield flag(
            "TAIL_UNDERSAMPLED",
            Severity.INFO,
            f"p99 is of {counted(min(counts), 'sample')} per process; a bound with 95 % confidence needs {needed}: "
            f"{longer(quick=seen.quick)}",
            size=needed / min(counts),
        )


def noisy(seen: Seen) -> Iterator[Flag]:
    """By the device's own times where there are some: the host's disturbances are not in them, so less is noise."""
    if seen.plan.mode is Mode.SERVER:
        return  # arrivals are random: waiting varies, whatever the machine does
    timed = timing_trials(seen.trials)
    for what, limit, series in (
        ("inferences on the device", GPU_NOISE_LIMIT, [trial.gpu_ns for trial in timed]),
        ("inferences", NOISE_LIMIT, [trial.samples_ns for trial in timed]),
    ):
        spreads = [statistics.pstdev(times) / statistics.fmean(times) for times in series if times]
        if spreads and statistics.median(spreads) > limit:
            yield flag(
                "NOISY",
                Severity.WARNING,
                f"{what} in a process vary by {format_ratio(statistics.median(spreads))} (standard deviation over "
                "mean): look at p90 and p99 as well as p50",
                size=statistics.median(spreads),
            )
            return


def between_processes(seen: Seen) -> Iterator[Flag]:
    """Medians against the robust spread inside processes; what of it their own sampling explains is taken off."""
    timed = [steady(trial, trial.samples_ns) for trial in timing_trials(seen.trials)]
    if len(timed) < LEAST_PROCESSES or min(map(len, timed)) < LEAST_PROCESSES:
        return
    medians = [statistics.median(samples) for samples in timed]
    inside = statistics.median(
        (MAD_TO_SD * statistics.median(abs(sample - middle) for sample in samples) / middle) ** 2
        for samples, middle in zip(timed, medians, strict=True)
    )
    # The variance of a median of n is about pi / 2 / n of that of one sample.
    explained = statistics.fmean(math.pi / 2 * inside / len(samples) for samples in timed)
    between = max(0.0, statistics.variance(math.log(middle) for middle in medians) - explained)
    if between > BETWEEN_SHARE * (between + inside) and math.sqrt(between) > BETWEEN_SPREAD:
        more = "run without --quick, or with more processes" if seen.quick else "use more processes"
        yield flag(
            "PROCESSES_DIFFER",
            Severity.INFO,
            f"results vary by {format_percent(math.sqrt(between), 1)} from process to process and by "
            f"{format_percent(math.sqrt(inside), 1)} within one: {more} (--trials), a longer --max-time does not help",
            size=between,
        )
