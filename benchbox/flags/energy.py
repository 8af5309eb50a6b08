"""Which conditions move or void energy, and were the GPU's clocks locked?

Thresholds and advice are in docs/metrics.md; ``case.py`` and ``device.py`` have the other conditions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbox.schema.energy import MODULE, EnergyRun
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.reading import Flag, Severity
from benchbox.schema.trial import Pass, Trial
from benchbox.units import format_percent, format_quantity

ENERGY_METRICS = (
    "energy_per_sample",
    "energy_per_sample_net",
    "power_mean",
    "idle_power",
    "dram_energy_per_sample",
    "dram_energy_per_sample_net",
)
WINDOW_WANTED_S = 10.0
INCONSISTENT_SHARE = 0.05
EDGE_SHARE = 0.005
OTHERS_SHARE = 0.05


def flags_of_power(trials: Sequence[Trial], plan: MeasurementPlan) -> Iterator[Flag]:
    """Every flag of energy, and whether the clocks of the device that was timed were free.

    Args:
        trials: all of the case.
        plan: what they were asked for.
    """
    if any(trial.gpu_ns for trial in trials if trial.pass_ is Pass.TIMING) and not plan.locked_clocks:
        yield clocks_not_locked()
    for trial in trials:
        if trial.energy is not None:
            yield from _of_energy(trial.energy)


def clocks_not_locked() -> Flag:
    """The flag of a GPU whose clocks are not locked."""
    return Flag(
        code="CLOCKS_NOT_LOCKED",
        severity=Severity.INFO,
        message="the GPU changes its clocks with load, power and heat: lock them with --lock-clocks where permitted",
    )


def _of_energy(run: EnergyRun) -> Iterator[Flag]:
    if run.shared:
        yield _flag("ENERGY_SHARED", Severity.ERROR, f"no energy: {run.absent}")
        return
    if run.absent:
        yield _flag("ENERGY_UNAVAILABLE", Severity.INFO, f"no energy: {run.absent}")
        return
    if run.window_s < WINDOW_WANTED_S:
        yield _flag(
            "ENERGY_SHORT_WINDOW",
            Severity.WARNING,
            f"windows of {run.window_s:g} s: sensors that sample only part of the time may miss some energy; "
            f"use --energy-window {WINDOW_WANTED_S:g} or longer",
            size=WINDOW_WANTED_S / run.window_s,
        )
    if run.resets:
        yield _flag(
            "COUNTER_RESET",
            Severity.WARNING,
            f"the energy counter went backwards {run.resets} time{'s' * (run.resets != 1)}; the windows in "
            "which it did were discarded and repeated",
            size=run.resets,
        )
    if run.scope == MODULE:
        yield _flag(
            "ENERGY_OF_MODULE",
            Severity.WARNING,
            "the counter is that of the module, the CPU beside the GPU and its memory included: compare with records "
            "of such modules only",
        )
    if (run.others_cpu_share or 0.0) > OTHERS_SHARE:
        yield _flag(
            "ENERGY_CPU_BUSY",
            Severity.WARNING,
            f"other processes used {format_percent(run.others_cpu_share or 0.0)} of the CPUs and their energy is "
            "included: stop them",
            size=run.others_cpu_share,
        )
    yield from _inconsistent(run)
    yield from _edges(run)
    yield from _not_above_idle(run)


def _inconsistent(run: EnergyRun) -> Iterator[Flag]:
    both = [(window.energy_j[run.scope], window.power_j) for window in run.windows if window.power_j is not None]
    counted = sum(energy_j for energy_j, _ in both)
    integrated = sum(power_j for _, power_j in both)
    if counted > 0 and abs(integrated - counted) > INCONSISTENT_SHARE * counted:
        yield _flag(
            "ENERGY_INCONSISTENT",
            Severity.WARNING,
            f"the counter says {format_quantity(counted, 'J')}, the power sensor over the same time "
            f"{format_quantity(integrated, 'J')}: "
            "use a longer --energy-window; if they still differ, this GPU's sensors are unreliable",
            size=abs(integrated / counted - 1),
        )


def _edges(run: EnergyRun) -> Iterator[Flag]:
    worst = max(window.edge_s / window.duration_s for window in run.windows)
    if worst > EDGE_SHARE:
        yield _flag(
            "ENERGY_EDGES_WIDE",
            Severity.WARNING,
            f"a step of the counter was located only to {format_percent(worst, 1)} of a window, because inferences are "
            "long; use a longer --energy-window",
            size=worst,
        )


def _not_above_idle(run: EnergyRun) -> Iterator[Flag]:
    power_w = sum(window.energy_j[run.scope] / window.duration_s for window in run.windows) / len(run.windows)
    idle_w = run.idle_power_w[run.scope]
    if power_w <= idle_w:
        yield _flag(
            "ENERGY_NOT_ABOVE_IDLE",
            Severity.WARNING,
            f"{format_quantity(power_w, 'W')} under load, {format_quantity(idle_w, 'W')} idle: net energy is "
            "unknown; stop other work, or use a larger --batch",
            size=idle_w / power_w if power_w > 0 else None,
        )


def _flag(code: str, severity: Severity, message: str, *, size: float | None = None) -> Flag:
    return Flag(code=code, severity=severity, message=message, metrics=ENERGY_METRICS, size=size)
