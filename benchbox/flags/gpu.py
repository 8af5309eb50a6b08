"""Which of the things that happened to the GPU while it was timed may move or void a number?

From the counters that ``machine/gpu/watch.py`` took. What a GPU or its driver does not report raises nothing and is
named once. Thresholds and advice are in docs/metrics.md.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchbox.schema.plan import BASE_CLOCKS, MeasurementPlan
from benchbox.schema.reading import Flag, Severity
from benchbox.schema.trial import Pass, Trial
from benchbox.units import counted, format_percent

SW_THERMAL_SHARE, POWER_SHARE = 0.005, 0.01
CLOCK_SPREAD = 0.02
# Clocks come in steps of 15 MHz (7.5 on some); one or two of them are no instability.
CLOCK_STEP_HZ, CLOCK_STEPS = 15e6, 2
# nvbench throws samples away below this share of the default clock.
CLOCK_SHARE = 0.75
# The bit "slowed down by hardware" once is a change of clocks or state.
SLOWDOWN_LOOKS = 2
# Of all looks, how many must see the process elsewhere before it counts as living there.
REMOTE_SHARE = 0.5
HZ_PER_MHZ = 1e6
# The message where a counter is missing, by the counter that every GPU which reports such things has.
_WATCHED = {
    "gpu_throttle_sw_thermal_s": "throttling by heat",
    "gpu_power_capped_s": "the power limit",
    "gpu_clock_median_hz": "clocks",
    "gpu_ecc_uncorrected": "memory errors",
    "gpu_xid_events": "driver errors (XID)",
    "gpu_pcie_lanes": "the PCIe link",
    "gpu_other_processes": "other processes",
}


def flags_of_gpu(trials: Sequence[Trial], plan: MeasurementPlan) -> Iterator[Flag]:
    """Every flag that the GPU's own counters raise.

    Args:
        trials: every one of the case.
        plan: at what clocks were held is read from it.
    """
    timed = [trial for trial in trials if trial.pass_ is Pass.TIMING and (trial.gpu_ns or _watched(trial))]
    if not timed:
        return
    watched = [trial for trial in timed if _watched(trial)]
    yield from _unwatched(timed)
    for look in _LOOKS:
        yield from look(watched)
    yield from _clock_low(watched, plan)


def _watched(trial: Trial) -> bool:
    return "gpu_looks" in trial.counters


def _unwatched(trials: Sequence[Trial]) -> Iterator[Flag]:
    missing = [title for name, title in _WATCHED.items() if not any(name in trial.counters for trial in trials)]
    if missing:
        nobody = not any(_watched(trial) for trial in trials)
        why = "NVML is not there (nvidia-ml-py, a driver)" if nobody else "this GPU or its driver does not report it"
        yield _flag("GPU_UNWATCHED", Severity.INFO, f"not watched: {', '.join(missing)}; {why}, so none is flagged")


def _throttle_hw(trials: Sequence[Trial]) -> Iterator[Flag]:
    """By the driver's counters; where it has none by the bit, which is also set while clocks or states change."""
    slowed_s = _sum(trials, "gpu_throttle_hw_s")
    counted = any("gpu_throttle_hw_s" in trial.counters for trial in trials)
    looks = 0.0 if counted else _sum(trials, "gpu_slowdown_looks")
    if slowed_s > 0 or looks >= SLOWDOWN_LOOKS:
        how = f"for {slowed_s:.3g} s" if slowed_s > 0 else f"in {looks:.0f} of {_sum(trials, 'gpu_looks'):.0f} looks"
        yield _flag(
            "THROTTLE_HW",
            Severity.ERROR,
            f"the GPU's hardware slowed it down {how} (heat or the power brake): look at cooling and power supply",
            size=slowed_s or looks,
        )


def _throttle_sw(trials: Sequence[Trial]) -> Iterator[Flag]:
    share = _share(trials, "gpu_throttle_sw_thermal_s")
    if share > SW_THERMAL_SHARE:
        yield _flag(
            "THROTTLE_SW_THERMAL",
            Severity.ERROR,
            f"the driver slowed the GPU down because of heat for {format_percent(share, 1)} of the time: cool it, or "
            "lock a lower clock (--lock-clocks)",
            size=share,
        )


def _power_capped(trials: Sequence[Trial]) -> Iterator[Flag]:
    share = _share(trials, "gpu_power_capped_s")
    if share > POWER_SHARE:
        yield _flag(
            "POWER_CAPPED",
            Severity.WARNING,
            f"the power limit held clocks down for {format_percent(share)} of the time: usual for heavy work; for "
            "numbers that "
            "repeat lock a clock that it can hold (--lock-clocks)",
            size=share,
        )


def _clock_unstable(trials: Sequence[Trial]) -> Iterator[Flag]:
    """Within a process its middle eight tenths count, between processes their medians: single readings are odd."""
    clocked = [trial.counters for trial in trials if trial.counters.get("gpu_clock_median_hz")]
    if not clocked:
        return
    middles = [counters["gpu_clock_median_hz"] for counters in clocked]
    low = statistics.median(_bound(counters, "p10", "min") for counters in clocked)
    high = statistics.median(_bound(counters, "p90", "max") for counters in clocked)
    widest = max((low, high), (min(middles), max(middles)), key=lambda ends: ends[1] - ends[0])
    spread_hz = widest[1] - widest[0]
    if spread_hz > max(CLOCK_SPREAD * statistics.median(middles), CLOCK_STEPS * CLOCK_STEP_HZ):
        yield _flag(
            "CLOCK_UNSTABLE",
            Severity.WARNING,
            f"the SM clock went from {widest[0] / HZ_PER_MHZ:.0f} to {widest[1] / HZ_PER_MHZ:.0f} MHz: a longer "
            "--warmup, or --lock-clocks where permitted",
            size=spread_hz / statistics.median(middles),
        )


def _bound(counters: Mapping[str, float], tenth: str, end: str) -> float:
    """A tenth of the clocks of a process, where it was looked at often enough for one, else the end."""
    return counters.get(f"gpu_clock_{tenth}_hz", counters[f"gpu_clock_{end}_hz"])


def _clock_low(trials: Sequence[Trial], plan: MeasurementPlan) -> Iterator[Flag]:
    """Against the clock that the GPU is sold with, or the one that was asked for; what "base" is no GPU reports.

    The highest clock, where no other is known, is one that many boards never reach.
    """
    clocked = [trial.counters for trial in trials if trial.counters.get("gpu_clock_median_hz")]
    known = ("gpu_clock_default_hz", "gpu_clock_limit_hz")
    limits = [next((counters[name] for name in known if name in counters), 0.0) for counters in clocked]
    if not any(limits) or plan.locked_clocks == BASE_CLOCKS:
        return
    limit = float(plan.locked_clocks.split()[0]) * HZ_PER_MHZ if plan.locked_clocks else max(limits)
    middle = statistics.median(counters["gpu_clock_median_hz"] for counters in clocked)
    if middle < CLOCK_SHARE * limit:
        # A small board that runs at its power limit is as fast as it gets; anything else keeps it from that.
        capped = _share(trials, "gpu_power_capped_s") > POWER_SHARE
        yield _flag(
            "CLOCK_LOW",
            Severity.WARNING if capped else Severity.ERROR,
            f"the SM clock was {middle / HZ_PER_MHZ:.0f} MHz, {format_percent(middle / limit)} of "
            f"{limit / HZ_PER_MHZ:.0f} MHz: {'the power limit allows no more' if capped else 'find what limits it'}"
            " (nvidia-smi -q -d PERFORMANCE,CLOCK)",
            size=1 - middle / limit,
        )


def _memory_clock(trials: Sequence[Trial]) -> Iterator[Flag]:
    """A memory clock that changed: GeForce boards compute in a state with a lower one, and go in and out of it."""
    seen = [trial.counters for trial in trials if "gpu_memory_clock_min_hz" in trial.counters]
    if not seen:
        return
    low = min(counters["gpu_memory_clock_min_hz"] for counters in seen)
    high = max(counters["gpu_memory_clock_max_hz"] for counters in seen)
    if high - low > CLOCK_SPREAD * high:
        yield _flag(
            "MEMORY_CLOCK_UNSTABLE",
            Severity.WARNING,
            f"the memory clock went from {low / HZ_PER_MHZ:.0f} to {high / HZ_PER_MHZ:.0f} MHz (P-state "
            f"{_most(trials, 'gpu_performance_state'):.0f}): networks that wait for memory moved with it",
        )


def _shared(trials: Sequence[Trial]) -> Iterator[Flag]:
    others = _most(trials, "gpu_other_processes")
    reasons = [f"{others:.0f} other processes computed on the GPU"] if others else []
    reasons += ["other processes compute on it through MPS"] if _most(trials, "gpu_mps_processes") else []
    displays = _most(trials, "gpu_graphics_processes")
    if reasons:
        yield _flag(
            "GPU_SHARED",
            Severity.ERROR,
            f"{', '.join(reasons)}: stop them: they take time, memory and power",
            size=others,
        )
    elif _most(trials, "gpu_mig"):
        # CUDA then works on an instance, which nobody else may use: memory and SMs are its own, clock and power not.
        yield _flag(
            "GPU_SHARED",
            Severity.WARNING,
            "the GPU is divided (MIG): the instance has its own memory and SMs, but clock, power and the link are "
            "those of the whole GPU; other instances may move the numbers",
        )
    elif displays:
        yield _flag(
            "GPU_SHARED",
            Severity.WARNING,
            f"processes that use the GPU for graphics: {displays:.0f}; measure on a GPU without a display",
            size=displays,
        )


def _mismatch(trials: Sequence[Trial]) -> Iterator[Flag]:
    if _most(trials, "gpu_not_cudas"):
        yield _flag(
            "GPU_MISMATCH",
            Severity.ERROR,
            "NVML watched another GPU than the one CUDA computed on: clocks, throttling, power and users do not belong "
            "to this measurement; set CUDA_DEVICE_ORDER=PCI_BUS_ID and report it",
        )


def _ecc(trials: Sequence[Trial]) -> Iterator[Flag]:
    lost, corrected = _sum(trials, "gpu_ecc_uncorrected"), _sum(trials, "gpu_ecc_corrected")
    if lost or corrected:
        yield _flag(
            "ECC_ERRORS",
            Severity.ERROR if lost else Severity.WARNING,
            f"{lost:.0f} uncorrectable and {corrected:.0f} corrected ECC errors in the GPU's memory: replace the GPU "
            "if they continue",
            size=lost or corrected,
        )


def _remapped(trials: Sequence[Trial]) -> Iterator[Flag]:
    rows = _sum(trials, "gpu_remapped_rows")
    if rows:
        yield _flag(
            "REMAPPED_ROWS",
            Severity.ERROR,
            f"the GPU replaced {counted(rows, 'row')} of its memory during the run: reset it and measure again",
            size=rows,
        )


def _xid(trials: Sequence[Trial]) -> Iterator[Flag]:
    events = _sum(trials, "gpu_xid_events")
    if events:
        last = next(trial.counters["gpu_xid_last"] for trial in reversed(trials) if "gpu_xid_last" in trial.counters)
        yield _flag(
            "XID",
            Severity.ERROR,
            f"the driver reported {counted(events, 'error')} of the GPU, the last one XID {last:.0f}: see dmesg",
            size=events,
        )


def _pcie(trials: Sequence[Trial]) -> Iterator[Flag]:
    for name, what in (("gpu_pcie_generation", "generation"), ("gpu_pcie_lanes", "lanes")):
        seen, limit = _most(trials, name), _most(trials, f"{name}_limit")
        if 0 < seen < limit:
            yield _flag(
                "PCIE_DEGRADED",
                Severity.WARNING,
                f"under load the PCIe link ran at {what} {seen:.0f} of {limit:.0f}: copies are slower; look at the "
                "slot, risers and power management",
                size=limit / seen,
            )
            return


def _numa(trials: Sequence[Trial]) -> Iterator[Flag]:
    looks = sum(trial.counters["gpu_looks"] for trial in trials if "gpu_numa_remote_looks" in trial.counters)
    if looks and _sum(trials, "gpu_numa_remote_looks") > REMOTE_SHARE * looks:
        yield _flag(
            "NUMA_REMOTE",
            Severity.WARNING,
            "the process ran on CPUs of another NUMA node than the GPU's: starting inferences and copies take longer; "
            "pin it (numactl --cpunodebind=NODE, see doctor for the node)",
        )


def _confidential(trials: Sequence[Trial]) -> Iterator[Flag]:
    if _most(trials, "gpu_confidential_compute"):
        yield _flag(
            "CONF_COMPUTE",
            Severity.ERROR,
            "confidential computing is on: event times are unreliable there (trtexec does not use them), and "
            "copies are encrypted",
        )


def _sum(trials: Sequence[Trial], name: str) -> float:
    return sum(trial.counters.get(name, 0.0) for trial in trials)


def _most(trials: Sequence[Trial], name: str) -> float:
    return max((trial.counters.get(name, 0.0) for trial in trials), default=0.0)


def _share(trials: Sequence[Trial], name: str) -> float:
    """Of the time in which the counter was watched, how much it grew."""
    watched = [trial.counters for trial in trials if name in trial.counters]
    window_s = sum(counters["gpu_window_s"] for counters in watched)
    return sum(counters[name] for counters in watched) / window_s if window_s else 0.0


def _flag(code: str, severity: Severity, message: str, *, size: float | None = None) -> Flag:
    return Flag(code=code, severity=severity, message=message, size=size)


_LOOKS: tuple[Callable[[Sequence[Trial]], Iterator[Flag]], ...] = (
    _throttle_hw,
    _throttle_sw,
    _power_capped,
    _clock_unstable,
    _memory_clock,
    _mismatch,
    _shared,
    _ecc,
    _remapped,
    _xid,
    _pcie,
    _numa,
    _confidential,
)
