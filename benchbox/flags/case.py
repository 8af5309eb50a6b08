"""Which conditions may move or void the numbers of a case?

One function a flag; thresholds and advice are in docs/metrics.md. A flag is data: gates and reports read it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

from benchbox.flags.compilations import flags_of_compilation
from benchbox.flags.device import flags_of_device
from benchbox.flags.energy import flags_of_power
from benchbox.flags.host import (
    cgroup_throttled,
    cpu_contended,
    cpu_steal,
    oversubscribed,
    provider_fallback,
    threads_not_given,
)
from benchbox.flags.inputs import flags_of_inputs
from benchbox.flags.leaks import leak
from benchbox.flags.loadgen import flags_of_loadgen
from benchbox.flags.outputs import flags_of_empty, flags_of_lists, flags_of_outputs, flags_of_unchecked
from benchbox.flags.precision import flags_of_proof, flags_of_saturation
from benchbox.flags.probes import flags_of_probes
from benchbox.flags.profiling import flags_of_profiling
from benchbox.flags.samples import (
    between_processes,
    flags_of_samples,
    noisy,
    tail_undersampled,
)
from benchbox.flags.seen import HALF_WIDTH_WANTED, Seen, flag, half_width, headline_of
from benchbox.metrics.readings import timing_trials
from benchbox.schema.reading import Flag, Severity
from benchbox.units import format_percent


def flags_of(seen: Seen) -> tuple[Flag, ...]:
    """Every flag that the case raises."""
    return tuple(flag for look in _LOOKS for flag in look(seen))


def _precision(seen: Seen) -> Iterator[Flag]:
    return flags_of_proof(seen.proof)


def _saturation(seen: Seen) -> Iterator[Flag]:
    return flags_of_saturation(seen.evidence)


def _injected_delay(seen: Seen) -> Iterator[Flag]:
    if seen.plan.injected_delay:
        yield flag(
            "INJECTED_DELAY",
            Severity.ERROR,
            f"slowed down by {format_percent(seen.plan.injected_delay)} on purpose, to test the gate: no measurement",
            size=seen.plan.injected_delay,
        )


def _calibration_synthetic(seen: Seen) -> Iterator[Flag]:
    made = seen.quantization
    if made is not None and made.synthetic:
        yield flag(
            "CALIBRATION_SYNTHETIC",
            Severity.WARNING,
            f"{seen.precision} was calibrated on {made.data}: latency is valid; accuracy is not, because ranges "
            "come from random inputs: use --calibration DIR, and measure accuracy with 'benchbox accuracy'",
        )


def _wide_interval(seen: Seen) -> Iterator[Flag]:
    for reading in seen.readings:
        if reading.metric != headline_of(seen.plan):
            continue
        width = half_width(reading)
        if width == math.inf:
            yield flag(
                "SINGLE_PROCESS", Severity.WARNING, "one process does not show the spread: use --trials 5 or more"
            )
        elif width > HALF_WIDTH_WANTED:
            yield flag(
                "WIDE_INTERVAL",
                Severity.WARNING,
                f"{reading.metric} is known to ±{format_percent(width, 1)} ({reading.n} processes"
                f"{', --quick' if seen.quick else ''}), wanted are ±{format_percent(HALF_WIDTH_WANTED)}: "
                f"{'run without --quick' if seen.quick else 'use more --trials'}, or on a quieter machine",
                size=width,
            )


def _interrupted(seen: Seen) -> Iterator[Flag]:
    if seen.interrupted:
        timed = len(timing_trials(seen.trials))
        where = f"after {timed} of at least {seen.plan.trials} timed processes"
        if timed >= seen.plan.trials:
            where = "when the timed processes had run, before those for memory"
        yield flag("INTERRUPTED", Severity.WARNING, f"the run was ended {where}: run it again for the rest")


def _cut_short(seen: Seen) -> Iterator[Flag]:
    timed = timing_trials(seen.trials)
    if seen.quick and not seen.interrupted and 0 < len(timed) < seen.plan.trials:
        yield flag(
            "CUT_SHORT",
            Severity.WARNING,
            f"{len(timed)} of {seen.plan.trials} processes were timed: they took "
            f"{sum(trial.duration_s for trial in timed):.0f} s, and --quick ends a case that takes long: run without "
            f"--quick, or with --trials {seen.plan.trials}",
            size=seen.plan.trials / len(timed),
        )


def _samples(seen: Seen) -> Iterator[Flag]:
    return flags_of_samples(timing_trials(seen.trials), seen.plan, quick=seen.quick)


def _virtual_clock(seen: Seen) -> Iterator[Flag]:
    if seen.virtual:
        yield flag("VIRTUAL_CLOCK", Severity.ERROR, "nothing was computed: these numbers test the harness only")


def _outputs(seen: Seen) -> Iterator[Flag]:
    if seen.unchecked:
        return flags_of_unchecked(seen.unchecked)
    return itertools.chain(
        flags_of_empty(seen.empty), flags_of_lists(seen.hops), flags_of_outputs(timing_trials(seen.trials))
    )


def _machine_shifted(seen: Seen) -> Iterator[Flag]:
    return flags_of_probes(timing_trials(seen.trials), paired=seen.paired)


def _inputs(seen: Seen) -> Iterator[Flag]:
    return flags_of_inputs(seen.inputs)


def _recompiled(seen: Seen) -> Iterator[Flag]:
    return flags_of_compilation(timing_trials(seen.trials))


def _device(seen: Seen) -> Iterator[Flag]:
    return flags_of_device(seen.trials, seen.evidence, seen.plan)


def _profiling(seen: Seen) -> Iterator[Flag]:
    return flags_of_profiling(timing_trials(seen.trials))


def _load(seen: Seen) -> Iterator[Flag]:
    return flags_of_loadgen(timing_trials(seen.trials), seen.plan)


def _power(seen: Seen) -> Iterator[Flag]:
    return flags_of_power(seen.trials, seen.plan)


_LOOKS: tuple[Callable[[Seen], Iterator[Flag]], ...] = (
    _virtual_clock,
    _injected_delay,
    _precision,
    _saturation,
    _calibration_synthetic,
    _inputs,
    provider_fallback,
    threads_not_given,
    oversubscribed,
    cgroup_throttled,
    cpu_steal,
    cpu_contended,
    _machine_shifted,
    noisy,
    between_processes,
    _wide_interval,
    tail_undersampled,
    _interrupted,
    _cut_short,
    _outputs,
    _recompiled,
    leak,
    _samples,
    _device,
    _profiling,
    _load,
    _power,
)
