"""Which conditions were seen that may move or void a number?

One function a flag; thresholds and advice are in docs/metrics.md. A flag is data: gates and reports read it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchbox.backends.base import BACKENDS
from benchbox.measure.device_flags import flags_of_device
from benchbox.measure.environment import effective_cpus
from benchbox.measure.load_flags import flags_of_load
from benchbox.measure.power_flags import clocks_not_locked, flags_of_power
from benchbox.measure.reading import timing_trials
from benchbox.measure.steadiness import flags_of_samples
from benchbox.schema.derivation import Quantization
from benchbox.schema.environment import Environment
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.reading import Evidence, Flag, Reading, Severity, Trial
from benchbox.stats.quantile import samples_needed

HALF_WIDTH_WANTED = 0.01
NOISE_LIMIT = 0.10
STEAL_WARNING, STEAL_ERROR = 0.005, 0.02
# Share of its time that a ready thread waits for a CPU. Seen with as many threads as CPUs: below 0.6 % on a quiet
# machine, above 30 % beside one other busy process. (Involuntary switches do not tell the two apart as well.)
WAITING_LIMIT = 0.02
LOAD_PER_CPU = 0.5


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
    interrupted: bool = False


def flags_of(seen: Seen) -> tuple[Flag, ...]:
    """Every flag that the case raises."""
    return tuple(flag for look in _LOOKS for flag in look(seen))


def standing_flags(environment: Environment) -> tuple[Flag, ...]:
    """What can be said before a run: conditions of the machine that will disturb any measurement on it."""
    return tuple(_standing(environment))


def _standing(environment: Environment) -> Iterator[Flag]:
    hardware, observed = environment.hardware, environment.observed
    if hardware.get("hypervisor") == "yes":
        yield _flag("VIRTUALIZED", Severity.INFO, "a virtual machine: neighbours may take time; watch CPU_STEAL")
    governor = hardware.get("governor", "unknown")
    if governor != "performance":
        yield _flag(
            "GOVERNOR", Severity.INFO, f"the CPU frequency governor is {governor}: clocks may change during a run"
        )
    if "gpu" in hardware and "gpu_clocks" not in hardware:
        yield clocks_not_locked()
    load = observed.get("load_1min", "")
    if load.replace(".", "", 1).isdigit() and float(load) > LOAD_PER_CPU * effective_cpus():
        yield _flag("LOADED", Severity.WARNING, f"the load average is {load}: stop other work before measuring")


def _precision_not_executed(seen: Seen) -> Iterator[Flag]:
    executed = seen.evidence.executed
    wanted = Precision.FP32 if seen.precision is Precision.TF32 else seen.precision
    if not executed or set(executed) == {wanted.value}:
        return
    total = sum(executed.values())
    given = ", ".join(f"{count} in {precision}" for precision, count in sorted(executed.items()))
    yield _flag(
        "PRECISION_NOT_EXECUTED",
        Severity.WARNING,
        f"{seen.precision} was asked for, but of {total} matrix operations {given} ran: {seen.backend} casts around "
        f"them, so this is not the speed of {seen.precision}",
    )


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
    if seen.plan.mode is Mode.SERVER:
        return  # arrivals are random: waiting varies, whatever the machine does
    spreads = [
        statistics.pstdev(trial.samples_ns) / statistics.fmean(trial.samples_ns)
        for trial in timing_trials(seen.trials)
        if trial.samples_ns
    ]
    if spreads and statistics.median(spreads) > NOISE_LIMIT:
        yield _flag(
            "NOISY",
            Severity.WARNING,
            f"inferences of a process vary by {100 * statistics.median(spreads):.0f} % (standard deviation over mean)",
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


def _device(seen: Seen) -> Iterator[Flag]:
    return flags_of_device(seen.trials, seen.evidence)


def _load(seen: Seen) -> Iterator[Flag]:
    return flags_of_load(timing_trials(seen.trials), seen.plan)


def _power(seen: Seen) -> Iterator[Flag]:
    return flags_of_power(seen.trials, seen.plan)


def _flag(code: str, severity: Severity, message: str) -> Flag:
    return Flag(code=code, severity=severity, message=message)


_LOOKS: tuple[Callable[[Seen], Iterator[Flag]], ...] = (
    _virtual_clock,
    _precision_not_executed,
    _calibration_synthetic,
    _provider_fallback,
    _threads_not_given,
    _oversubscribed,
    _cgroup_throttled,
    _cpu_steal,
    _cpu_contended,
    _noisy,
    _precision_miss,
    _tail_undersampled,
    _interrupted,
    _samples,
    _device,
    _load,
    _power,
)
