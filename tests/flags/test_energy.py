"""Readings of energy by hand; each flag of energy and of clocks, raised and not raised."""

from __future__ import annotations

from typing import Any

import pytest
from builders import trial
from scipy import stats

from benchbox.flags.energy import ENERGY_METRICS, flags_of_power
from benchbox.metrics.metric import METRICS
from benchbox.metrics.readings import readings_from_trials
from benchbox.metrics.workload import Workload
from benchbox.schema.energy import EnergyRun, EnergyWindow
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.reading import Severity
from benchbox.schema.trial import Pass, Trial

PLAN = MeasurementPlan(locked_clocks="base")
WORKLOAD = Workload(batch=8, flops=1)


def window(counted_j: float = 3000.0, **fields: Any) -> EnergyWindow:
    values: dict[str, Any] = {
        "energy_j": {"gpu_board": counted_j},
        "duration_s": 10.0,
        "inferences": 2000,
        "power_j": counted_j * 1.01,
    }
    return EnergyWindow(**{**values, **fields})


def energy_trial(*windows: EnergyWindow, **fields: Any) -> Trial:
    values: dict[str, Any] = {
        "counter": "NVML total energy",
        "scope": "gpu_board",
        "tick_s": 0.1,
        "window_s": 10.0,
        "idle_s": 10.1,
        "idle_power_w": {"gpu_board": 60.0},
        "windows": windows,
    }
    return trial(Pass.ENERGY, energy=EnergyRun(**{**values, **fields}))


def test_readings_by_hand() -> None:
    """300 W for 5 ms an inference of 8: 187.5 mJ a sample, 150 mJ above 60 W."""
    counted = (2970.0, 3000.0, 3030.0)
    (made,) = [energy_trial(*(window(energy_j) for energy_j in counted))]
    readings = {reading.metric: reading for reading in readings_from_trials([made], WORKLOAD)}
    assert set(readings) == {"energy_per_sample", "energy_per_sample_net", "power_mean", "idle_power"}
    gross = readings["energy_per_sample"]
    low, high = stats.t.interval(0.95, 2, loc=0.1875, scale=stats.sem([energy_j / 16_000 for energy_j in counted]))
    assert (gross.value, gross.low, gross.high, gross.n, gross.unit) == pytest.approx((0.1875, low, high, 3, "J"))
    assert gross.method == "gpu_board by NVML total energy, 3 windows of 10 s from tick to tick"
    assert readings["energy_per_sample_net"].value == pytest.approx(0.15)
    assert (readings["power_mean"].value, readings["power_mean"].unit) == (pytest.approx(300.0), "W")
    idle = readings["idle_power"]
    assert (idle.value, idle.low, idle.n) == (60.0, None, 1)
    assert METRICS.get("energy_per_sample").value(made, WORKLOAD) == pytest.approx(0.1875)


def test_memory_beside_the_processor() -> None:
    both = {"cpu_package": 500.0, "dram": 40.0}
    made = energy_trial(
        window(energy_j=both),
        scope="cpu_package",
        idle_power_w={"cpu_package": 20.0, "dram": 3.0},
    )
    readings = {reading.metric: reading.value for reading in readings_from_trials([made], WORKLOAD)}
    assert readings["power_mean"] == pytest.approx(50.0)
    assert readings["dram_energy_per_sample"] == pytest.approx(40.0 / 16_000)
    assert readings["dram_energy_per_sample_net"] == pytest.approx(10.0 / 16_000)


def test_no_number_where_there_is_no_window() -> None:
    assert readings_from_trials([energy_trial(absent="no counter")], WORKLOAD) == ()


def test_what_is_not_above_idle_has_no_net_energy() -> None:
    readings = {reading.metric for reading in readings_from_trials([energy_trial(window(590.0))], WORKLOAD)}
    assert readings == {"energy_per_sample", "power_mean", "idle_power"}


def test_the_flags_know_every_metric_of_energy() -> None:
    assert {metric.name for metric in METRICS if metric.pass_ is Pass.ENERGY} == set(ENERGY_METRICS)


def codes(*trials: Trial, plan: MeasurementPlan = PLAN) -> dict[str, Severity]:
    return {flag.code: flag.severity for flag in flags_of_power(trials, plan)}


@pytest.mark.parametrize(
    ("made", "code", "severity"),
    [
        (energy_trial(absent="no counter"), "ENERGY_UNAVAILABLE", Severity.INFO),
        (energy_trial(absent="MIG", shared=True), "ENERGY_SHARED", Severity.ERROR),
        (energy_trial(window(), window_s=9.9), "ENERGY_SHORT_WINDOW", Severity.WARNING),
        (energy_trial(window(), resets=1), "COUNTER_RESET", Severity.WARNING),
        (energy_trial(window(power_j=3000 * 1.06)), "ENERGY_INCONSISTENT", Severity.WARNING),
        (energy_trial(window(power_j=3000 * 0.94)), "ENERGY_INCONSISTENT", Severity.WARNING),
        (energy_trial(window(), others_cpu_share=0.06), "ENERGY_CPU_BUSY", Severity.WARNING),
        (energy_trial(window(edge_s=0.06)), "ENERGY_EDGES_WIDE", Severity.WARNING),
        (energy_trial(window(599.0)), "ENERGY_NOT_ABOVE_IDLE", Severity.WARNING),
        (
            energy_trial(
                window(energy_j={"gpu_module": 3000.0}), scope="gpu_module", idle_power_w={"gpu_module": 60.0}
            ),
            "ENERGY_OF_MODULE",
            Severity.WARNING,
        ),
    ],
)
def test_each_is_raised(made: Trial, code: str, severity: Severity) -> None:
    assert codes(made) == {code: severity}
    (flag,) = flags_of_power([made], PLAN)
    assert flag.metrics == ENERGY_METRICS, "a flag of energy says nothing of latency"


@pytest.mark.parametrize(
    "made",
    [
        energy_trial(window(edge_s=0.04), window()),
        energy_trial(window(power_j=None), others_cpu_share=0.04),
        energy_trial(window(power_j=3000 * 1.08), window(power_j=3000 * 0.96)),
        energy_trial(window(601.0)),
    ],
)
def test_a_good_run_raises_nothing(made: Trial) -> None:
    assert codes(made) == {}


def test_free_clocks_are_told() -> None:
    on_a_gpu = trial(gpu_ns=(1000,) * 400)
    assert codes(on_a_gpu, plan=MeasurementPlan()) == {"CLOCKS_NOT_LOCKED": Severity.INFO}
    assert codes(on_a_gpu, plan=MeasurementPlan(locked_clocks="1410 MHz")) == {}
    assert codes(trial(), plan=MeasurementPlan()) == {}, "a CPU"
