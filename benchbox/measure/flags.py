"""Which conditions were seen that may move or void a number?

One function a flag; thresholds and advice are in docs/metrics.md. A flag is data: gates and reports read it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchbox.backends.base import BACKENDS
from benchbox.measure.compilation import flags_of_compilation
from benchbox.measure.device_flags import flags_of_device
from benchbox.measure.leaks import PLACES, leak_name
from benchbox.measure.load_flags import flags_of_load
from benchbox.measure.metric import steady
from benchbox.measure.power_flags import flags_of_power
from benchbox.measure.precision_flags import flags_of_proof
from benchbox.measure.reading import timing_trials
from benchbox.measure.reference import flags_of_reference
from benchbox.measure.sameness import flags_of_outputs
from benchbox.measure.steadiness import flags_of_samples
from benchbox.schema.derivation import Quantization
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.proof import Proof
from benchbox.schema.reading import Evidence, Flag, Reading, Severity, Trial
from benchbox.stats.quantile import samples_needed

HALF_WIDTH_WANTED = 0.01
# trtexec warns of GPU times from 2.5 % on.
NOISE_LIMIT, GPU_NOISE_LIMIT = 0.10, 0.025
MAD_TO_SD = 1.4826
LEAST_PROCESSES = 3
STEAL_WARNING, STEAL_ERROR = 0.005, 0.02
# Between processes: their share of all variance, and their standard deviation relative to the median.
BETWEEN_SHARE, BETWEEN_SPREAD = 0.5, 0.01
# Share of its time that a ready thread waits for a CPU. Seen with as many threads as CPUs: below 0.6 % on a quiet
# machine, above 30 % beside one other busy process. (Involuntary switches do not tell the two apart as well.)
WAITING_LIMIT = 0.02


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the flags look at: one measured case."""

    backend: str
    precision: Precision
    plan: MeasurementPlan
    trials: Sequence[Trial]
    readings: Sequence[Reading]
    evidence: Evidence
    cpus: int
    quantization: Quantization | None = None
    proof: Proof | None = None
    interrupted: bool = False


def flags_of(seen: Seen) -> tuple[Flag, ...]:
    """Every flag that the case raises."""
    return tuple(flag for look in _LOOKS for flag in look(seen))


def _precision(seen: Seen) -> Iterator[Flag]:
    return flags_of_proof(seen.proof)


def _calibration_synthetic(seen: Seen) -> Iterator[Flag]:
    made = seen.quantization
    if made is not None and made.synthetic:
        yield _flag(
            "CALIBRATION_SYNTHETIC",
            Severity.WARNING,
            f"{seen.precision} was calibrated on {made.data}: speed is right, accuracy is not; use --calibration",
        )


def _provider_fallback(seen: Seen) -> Iterator[Flag]:
    for trial in timing_trials(seen.trials):
        if trial.evidence.providers != seen.evidence.providers:
            yield _flag(
                "PROVIDER_FALLBACK",
                Severity.ERROR,
                f"a trial ran on {', '.join(trial.evidence.providers)}, the check on "
                f"{', '.join(seen.evidence.providers)}: find out why the provider was not available",
            )
            return


def _threads_not_given(seen: Seen) -> Iterator[Flag]:
    if seen.evidence.threads != seen.plan.threads:
        yield _flag(
            "THREADS_NOT_GIVEN",
            Severity.ERROR,
            f"{seen.plan.threads} threads were asked for, {seen.evidence.threads} were given",
        )


def _oversubscribed(seen: Seen) -> Iterator[Flag]:
    if seen.plan.threads > seen.cpus:
        yield _flag(
            "OVERSUBSCRIBED",
            Severity.ERROR,
            f"{seen.plan.threads} threads on {seen.cpus} CPUs: use --threads {seen.cpus} or fewer",
        )


def half_width(reading: Reading) -> float:
    """The longer arm of a reading's interval as a ratio of its value; infinite for a single process."""
    if reading.low is None or reading.high is None:
        return math.inf
    return max(reading.value - reading.low, reading.high - reading.value) / reading.value


def headline_of(plan: MeasurementPlan) -> str:
    """The metric whose interval decides how many processes are timed: in mode offline there are no times of samples."""
    return "throughput" if plan.mode is Mode.OFFLINE else "latency_p50"


def _precision_miss(seen: Seen) -> Iterator[Flag]:
    for reading in seen.readings:
        if reading.metric != headline_of(seen.plan):
            continue
        width = half_width(reading)
        if width == math.inf:
            yield _flag(
                "SINGLE_PROCESS", Severity.WARNING, "one process says nothing about spread: use --trials 5 or more"
            )
        elif width > HALF_WIDTH_WANTED:
            yield _flag(
                "PRECISION_MISS",
                Severity.WARNING,
                f"the interval of {reading.metric} is ±{100 * width:.1f} %, wider than ±{100 * HALF_WIDTH_WANTED:g} %: "
                "use more --trials or a quieter machine",
            )


def _interrupted(seen: Seen) -> Iterator[Flag]:
    if seen.interrupted:
        yield _flag(
            "INTERRUPTED",
            Severity.WARNING,
            f"the run was ended after {len(timing_trials(seen.trials))} of at least {seen.plan.trials} timed "
            "processes: run it again for the rest",
        )


def _samples(seen: Seen) -> Iterator[Flag]:
    return flags_of_samples(timing_trials(seen.trials), seen.plan)


def _tail_undersampled(seen: Seen) -> Iterator[Flag]:
    counts = [len(trial.samples_ns) for trial in timing_trials(seen.trials) if trial.samples_ns]
    needed = samples_needed(0.99)
    if counts and min(counts) < needed:
        yield _flag(
            "TAIL_UNDERSAMPLED",
            Severity.INFO,
            f"p99 rests on {min(counts)} samples a process, {needed} are needed to bound it with 95 % confidence: "
            "use a longer --max-time",
        )


def _noisy(seen: Seen) -> Iterator[Flag]:
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
            yield _flag(
                "NOISY",
                Severity.WARNING,
                f"{what} of a process vary by {100 * statistics.median(spreads):.3g} % (standard deviation over mean): "
                "look at p90 and p99 as well as p50",
            )
            return


def _between_processes(seen: Seen) -> Iterator[Flag]:
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
        yield _flag(
            "BETWEEN_PROC",
            Severity.INFO,
            f"processes differ by {math.sqrt(between):.1%}, which is {between / (between + inside):.0%} of all "
            "variance: more --trials help, longer ones do not",
        )


def _cpu_steal(seen: Seen) -> Iterator[Flag]:
    grown = [trial.counters for trial in timing_trials(seen.trials) if trial.counters.get("all_ticks")]
    everything = sum(counters["all_ticks"] for counters in grown)
    stolen = sum(counters["steal_ticks"] for counters in grown) / everything if everything else 0.0
    if stolen > STEAL_WARNING:
        severity = Severity.ERROR if stolen > STEAL_ERROR else Severity.WARNING
        yield _flag("CPU_STEAL", severity, f"the hypervisor gave {100 * stolen:.1f} % of the time to others")


def _cpu_contended(seen: Seen) -> Iterator[Flag]:
    waits = [
        trial.counters["run_delay_s"] / (trial.counters["window_s"] * seen.plan.threads)
        for trial in timing_trials(seen.trials)
        if trial.counters.get("window_s") and "run_delay_s" in trial.counters
    ]
    if waits and max(waits) > WAITING_LIMIT:
        yield _flag(
            "CPU_CONTENDED",
            Severity.WARNING,
            f"threads were ready and waited for a CPU for up to {100 * max(waits):.1f} % of the time: stop other work",
        )


def _cgroup_throttled(seen: Seen) -> Iterator[Flag]:
    periods = sum(trial.counters.get("cgroup_throttled", 0.0) for trial in timing_trials(seen.trials))
    if periods:
        yield _flag(
            "CGROUP_THROTTLED",
            Severity.ERROR,
            f"the container's CPU quota stopped the worker in {periods:.0f} periods: "
            "use fewer --threads or a larger quota",
        )


def _virtual_clock(seen: Seen) -> Iterator[Flag]:
    if BACKENDS.get(seen.backend).virtual:
        yield _flag("VIRTUAL_CLOCK", Severity.ERROR, "nothing was computed: these numbers test the harness only")


def _outputs(seen: Seen) -> Iterator[Flag]:
    return flags_of_outputs(timing_trials(seen.trials))


def _machine_shifted(seen: Seen) -> Iterator[Flag]:
    return flags_of_reference(timing_trials(seen.trials))


def _recompiled(seen: Seen) -> Iterator[Flag]:
    return flags_of_compilation(timing_trials(seen.trials))


def _leak(seen: Seen) -> Iterator[Flag]:
    for place in PLACES:
        found = [trial.counters.get(leak_name(place), 0.0) for trial in timing_trials(seen.trials)]
        if any(found):
            yield _flag(
                "LEAK",
                Severity.WARNING,
                f"memory of the {place} kept growing in {sum(each > 0 for each in found)} of {len(found)} processes, "
                f"by up to {max(found):.0f} bytes an inference: it runs out in the end, and times drift",
            )


def _device(seen: Seen) -> Iterator[Flag]:
    return flags_of_device(seen.trials, seen.evidence, seen.plan)


def _load(seen: Seen) -> Iterator[Flag]:
    return flags_of_load(timing_trials(seen.trials), seen.plan)


def _power(seen: Seen) -> Iterator[Flag]:
    return flags_of_power(seen.trials, seen.plan)


def _flag(code: str, severity: Severity, message: str) -> Flag:
    return Flag(code=code, severity=severity, message=message)


_LOOKS: tuple[Callable[[Seen], Iterator[Flag]], ...] = (
    _virtual_clock,
    _precision,
    _calibration_synthetic,
    _provider_fallback,
    _threads_not_given,
    _oversubscribed,
    _cgroup_throttled,
    _cpu_steal,
    _cpu_contended,
    _machine_shifted,
    _noisy,
    _between_processes,
    _precision_miss,
    _tail_undersampled,
    _interrupted,
    _outputs,
    _recompiled,
    _leak,
    _samples,
    _device,
    _load,
    _power,
)
