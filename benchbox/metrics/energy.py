"""How much energy does a sample take, and how much power the device?

``energy_per_sample``: joules of a window over its inferences and the batch: gross, idle power included.
``energy_per_sample_net``: the same with the idle power, for as long, taken off. ``power_mean``: joules of a window over
its duration. ``idle_power``: power with the network loaded and nothing running. What the counter counts stands in the
reading's method: the GPU's board, or the processor's packages; ``dram_*`` is the memory beside these, where it is
counted. One value a window; the mean and Student's t interval are over windows.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

from benchbox.metrics.metric import METRICS, Metric
from benchbox.metrics.workload import Workload
from benchbox.schema.energy import EnergyRun, EnergyWindow
from benchbox.schema.reading import Better
from benchbox.schema.trial import Pass, Trial

DRAM = "dram"
_Share = Callable[[EnergyRun, EnergyWindow, str], float]


def gross_j(run: EnergyRun, window: EnergyWindow, scope: str) -> float:
    """Joules of one inference."""
    return window.energy_j[scope] / window.inferences


def net_j(run: EnergyRun, window: EnergyWindow, scope: str) -> float:
    """Joules of one inference above what idling takes in its time."""
    return (window.energy_j[scope] - run.idle_power_w[scope] * window.duration_s) / window.inferences


def power_w(run: EnergyRun, window: EnergyWindow, scope: str) -> float:
    """Mean power of a window."""
    return window.energy_j[scope] / window.duration_s


def _register(name: str, unit: str, share: _Share, *, scope: str | None, positive: bool = False) -> None:
    per_sample = unit == "J"

    def replicates(trial: Trial, workload: Workload) -> list[float]:
        run = _run(trial)
        samples = workload.batch if per_sample else 1
        return [share(run, window, scope or run.scope) / samples for window in run.windows]

    def applies(trial: Trial) -> bool:
        run = trial.energy
        if run is None or not run.windows or (scope or run.scope) not in run.idle_power_w:
            return False
        # What does not exceed idling is unknown, neither zero nor negative.
        return not positive or statistics.fmean(replicates(trial, Workload(batch=1, flops=0))) > 0

    METRICS.register(
        name,
        Metric(
            name=name,
            unit=unit,
            better=Better.LOWER,
            pass_=Pass.ENERGY,
            value=lambda trial, workload: statistics.fmean(replicates(trial, workload)),
            applies=applies,
            replicates=replicates,
            method=lambda trial: _method(_run(trial), scope),
        ),
    )


def _idle_w(trial: Trial, _: Workload) -> float:
    run = _run(trial)
    return run.idle_power_w[run.scope]


def _run(trial: Trial) -> EnergyRun:
    assert trial.energy is not None, "an energy pass brings back a run"
    return trial.energy


def _method(run: EnergyRun, scope: str | None) -> str:
    load = f", {run.load}" if run.load else ""
    windows = f"{len(run.windows)} windows of {run.window_s:g} s from tick to tick"
    return f"{scope or run.scope} by {run.counter}{load}, {windows}"


_register("energy_per_sample", "J", gross_j, scope=None)
_register("energy_per_sample_net", "J", net_j, scope=None, positive=True)
_register("power_mean", "W", power_w, scope=None)
METRICS.register(
    "idle_power",
    Metric(
        name="idle_power",
        unit="W",
        better=Better.LOWER,
        pass_=Pass.ENERGY,
        value=_idle_w,
        applies=lambda trial: trial.energy is not None and bool(trial.energy.windows),
        replicates=lambda trial, workload: [_idle_w(trial, workload)],
        method=lambda trial: (
            f"{_run(trial).scope} by {_run(trial).counter}, {_run(trial).idle_s:.1f} s from tick to tick"
        ),
    ),
)
_register("dram_energy_per_sample", "J", gross_j, scope=DRAM)
_register("dram_energy_per_sample_net", "J", net_j, scope=DRAM, positive=True)
