"""Did the network get the providers, threads and CPU time that the plan requested?"""

from __future__ import annotations

from collections.abc import Iterator

from benchbox.flags.seen import Seen, flag
from benchbox.metrics.readings import timing_trials
from benchbox.schema.reading import Flag, Severity
from benchbox.units import counted, format_percent

STEAL_WARNING, STEAL_ERROR = 0.005, 0.02
# Share of its time that a ready thread waits for a CPU. Seen with as many threads as CPUs: below 0.6 % on a quiet
# machine, above 30 % beside one other busy process. (Involuntary switches separate the two less well.)
WAITING_LIMIT = 0.02


def provider_fallback(seen: Seen) -> Iterator[Flag]:
    """Whether a trial ran on other providers than the check."""
    for trial in timing_trials(seen.trials):
        if trial.evidence.providers != seen.evidence.providers:
            yield flag(
                "PROVIDER_FALLBACK",
                Severity.ERROR,
                f"a trial ran on {', '.join(trial.evidence.providers)}, the check on "
                f"{', '.join(seen.evidence.providers)}: find out why the provider was unavailable",
            )
            return


def threads_not_given(seen: Seen) -> Iterator[Flag]:
    """Whether the runtime uses another number of threads than requested."""
    if seen.evidence.threads != seen.plan.threads:
        yield flag(
            "THREADS_NOT_GIVEN",
            Severity.ERROR,
            f"{counted(seen.plan.threads, 'thread')} requested, the runtime uses {seen.evidence.threads}: look at "
            "OMP_ and MKL_ variables",
            size=abs(seen.evidence.threads - seen.plan.threads),
        )


def oversubscribed(seen: Seen) -> Iterator[Flag]:
    """Whether there are more threads than CPUs."""
    if seen.plan.threads > seen.cpus:
        yield flag(
            "OVERSUBSCRIBED",
            Severity.ERROR,
            f"{seen.plan.threads} threads on {counted(seen.cpus, 'CPU')}: use --threads {seen.cpus} or fewer",
            size=seen.plan.threads / seen.cpus,
        )


def cpu_steal(seen: Seen) -> Iterator[Flag]:
    """Whether a hypervisor gave time to other machines."""
    grown = [trial.counters for trial in timing_trials(seen.trials) if trial.counters.get("all_ticks")]
    everything = sum(counters["all_ticks"] for counters in grown)
    stolen = sum(counters["steal_ticks"] for counters in grown) / everything if everything else 0.0
    if stolen > STEAL_WARNING:
        severity = Severity.ERROR if stolen > STEAL_ERROR else Severity.WARNING
        yield flag(
            "CPU_STEAL",
            severity,
            f"the hypervisor gave {format_percent(stolen, 1)} of the CPU time to other guests: use another host",
            size=stolen,
        )


def cpu_contended(seen: Seen) -> Iterator[Flag]:
    """Whether threads waited for a CPU."""
    waits = [
        trial.counters["run_delay_s"] / (trial.counters["window_s"] * seen.plan.threads)
        for trial in timing_trials(seen.trials)
        if trial.counters.get("window_s") and "run_delay_s" in trial.counters
    ]
    if waits and max(waits) > WAITING_LIMIT:
        remedy = "fewer --threads" if seen.plan.threads > seen.cpus else "stop other work"
        yield flag(
            "CPU_CONTENDED",
            Severity.WARNING,
            f"runnable threads waited for a CPU for up to {format_percent(max(waits), 1)} of the time: {remedy}",
            size=max(waits),
        )


def cgroup_throttled(seen: Seen) -> Iterator[Flag]:
    """Whether a CPU quota of the control groups throttled the worker."""
    periods = sum(trial.counters.get("cgroup_throttled", 0.0) for trial in timing_trials(seen.trials))
    if periods:
        yield flag(
            "CGROUP_THROTTLED",
            Severity.ERROR,
            f"the CPU quota throttled the worker in {periods:.0f} periods: use fewer --threads or a larger quota",
            size=periods,
        )
