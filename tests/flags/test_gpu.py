"""Each flag of the GPU's own counters, raised and not raised: by hand, and from the simulated NVML to the flag."""

from __future__ import annotations

import time
from typing import Any

import pytest
from builders import QUIET_GPU, evidence, trial
from simulation import simulated

from benchbox.flags.gpu import flags_of_gpu
from benchbox.machine.gpu.nvml import users_now
from benchbox.machine.gpu.watch import gpu_watch
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.reading import Flag, Severity
from benchbox.schema.trial import Trial


def _timed(**counters: float | None) -> Trial:
    known = {name: value for name, value in {**QUIET_GPU, **counters}.items() if value is not None}
    return trial(gpu_ns=(100_000,) * 400, counters=known)


def _flags(*trials: Trial, locked: str = "") -> dict[str, Severity]:
    return {flag.code: flag.severity for flag in flags_of_gpu(trials, MeasurementPlan(locked_clocks=locked))}


def test_a_gpu_on_which_nothing_happens_raises_nothing() -> None:
    assert _flags(_timed(), _timed()) == {}


def test_a_processor_raises_nothing() -> None:
    assert _flags(trial()) == {}


@pytest.mark.parametrize(
    ("counters", "code", "severity"),
    [
        ({"gpu_throttle_hw_s": 0.001}, "THROTTLE_HW", Severity.ERROR),
        ({"gpu_slowdown_looks": 2.0, "gpu_throttle_hw_s": None}, "THROTTLE_HW", Severity.ERROR),
        ({"gpu_throttle_sw_thermal_s": 0.006}, "THROTTLE_SW_THERMAL", Severity.ERROR),
        ({"gpu_power_capped_s": 0.02}, "POWER_CAPPED", Severity.WARNING),
        ({"gpu_clock_min_hz": 1.93e9}, "CLOCK_UNSTABLE", Severity.WARNING),
        ({"gpu_clock_p10_hz": 1.93e9}, "CLOCK_UNSTABLE", Severity.WARNING),
        ({"gpu_memory_clock_min_hz": 2.4e9}, "MEMORY_CLOCK_UNSTABLE", Severity.WARNING),
        ({"gpu_clock_default_hz": 2.7e9}, "CLOCK_LOW", Severity.ERROR),
        ({"gpu_clock_default_hz": None, "gpu_clock_limit_hz": 2.7e9}, "CLOCK_LOW", Severity.ERROR),
        ({"gpu_other_processes": 1.0}, "GPU_SHARED", Severity.ERROR),
        ({"gpu_mps_processes": 1.0}, "GPU_SHARED", Severity.ERROR),
        ({"gpu_mig": 1.0}, "GPU_SHARED", Severity.WARNING),
        ({"gpu_graphics_processes": 1.0}, "GPU_SHARED", Severity.WARNING),
        ({"gpu_ecc_uncorrected": 1.0}, "ECC_ERRORS", Severity.ERROR),
        ({"gpu_ecc_corrected": 1.0}, "ECC_ERRORS", Severity.WARNING),
        ({"gpu_remapped_rows": 1.0}, "REMAPPED_ROWS", Severity.ERROR),
        ({"gpu_xid_events": 1.0, "gpu_xid_last": 79.0}, "XID", Severity.ERROR),
        ({"gpu_pcie_generation": 3.0}, "PCIE_DEGRADED", Severity.WARNING),
        ({"gpu_pcie_lanes": 8.0}, "PCIE_DEGRADED", Severity.WARNING),
        ({"gpu_numa_remote_looks": 6.0}, "NUMA_REMOTE", Severity.WARNING),
        ({"gpu_confidential_compute": 1.0}, "CONF_COMPUTE", Severity.ERROR),
        ({"gpu_xid_events": None}, "GPU_UNWATCHED", Severity.INFO),
    ],
)
def test_each_is_raised_by_its_own_counter_alone(
    counters: dict[str, float | None], code: str, severity: Severity
) -> None:
    assert _flags(_timed(**counters)) == {code: severity}


@pytest.mark.parametrize(
    "counters",
    [
        {"gpu_throttle_sw_thermal_s": 0.004},
        {"gpu_power_capped_s": 0.009},
        {"gpu_clock_min_hz": 1.95e9},
        # A healthy board: the highest clock is 1.2 times what it is sold with, and more than it ever reaches.
        {"gpu_clock_default_hz": 2.6e9, "gpu_clock_limit_hz": 3.1e9},
        # One look that saw a change of state, whether or not the driver counts; one odd reading of twenty.
        {"gpu_slowdown_looks": 1.0, "gpu_throttle_hw_s": None},
        {"gpu_slowdown_looks": 9.0},
        {"gpu_clock_min_hz": 1.2e9, "gpu_clock_p10_hz": 1.97e9},
        {"gpu_memory_clock_min_hz": 2.59e9},
        {"gpu_numa_remote_looks": 5.0},
    ],
)
def test_below_its_threshold_none_is(counters: dict[str, float]) -> None:
    assert _flags(_timed(**counters)) == {}


def test_shares_are_over_all_processes() -> None:
    assert _flags(_timed(gpu_power_capped_s=0.03), _timed(), _timed(), _timed()) == {}


def test_a_small_board_at_its_power_limit_is_as_fast_as_it_gets() -> None:
    capped = _timed(gpu_power_capped_s=0.9, gpu_clock_default_hz=2.7e9)
    assert _flags(capped) == {"POWER_CAPPED": Severity.WARNING, "CLOCK_LOW": Severity.WARNING}


@pytest.mark.parametrize(
    ("locked", "codes"),
    [("base", {}), ("1980 MHz", {}), ("2700 MHz", {"CLOCK_LOW": Severity.ERROR})],
)
def test_held_clocks_are_measured_by_what_was_asked_for(locked: str, codes: dict[str, Severity]) -> None:
    assert _flags(_timed(gpu_clock_limit_hz=3.0e9), locked=locked) == codes


def test_without_nvml_that_is_said_once_and_nothing_else() -> None:
    blind = trial(gpu_ns=(100_000,) * 400, counters={})
    (flag,) = flags_of_gpu([blind, blind], MeasurementPlan())
    assert (flag.code, flag.severity) == ("GPU_UNWATCHED", Severity.INFO)
    assert "NVML is not there" in flag.message
    assert "clocks" in flag.message


def test_what_one_gpu_does_not_report_is_named() -> None:
    (flag,) = flags_of_gpu([_timed(gpu_ecc_uncorrected=None, gpu_ecc_corrected=None)], MeasurementPlan())
    assert "not watched: memory errors; this GPU or its driver does not report it" in flag.message


def _watched(**knobs: Any) -> tuple[Flag, ...]:
    """What a moment of the simulated NVML raises, in a process that makes its context after it looked who is there."""
    with simulated(**knobs) as simulation, gpu_watch(users_before=users_now()) as watch:
        assert watch is not None
        simulation.DEVICE.require_context()
        watch.begin()
        for _ in range(4):
            time.sleep(0.005)
            watch.look()
        seen = trial(gpu_ns=(1,) * 400, counters=watch.seen(), evidence=evidence())
    return tuple(flags_of_gpu([seen], MeasurementPlan()))


def test_a_quiet_simulated_gpu_is_watched_in_full() -> None:
    assert _watched() == ()


@pytest.mark.parametrize(
    ("knobs", "code", "words"),
    [
        ({"throttle_hw": 0.3}, "THROTTLE_HW", "slowed it down for"),
        ({"slowdown_bit": True, "throttle_fields": False}, "THROTTLE_HW", "in 4 of 4 looks"),
        ({"throttle_sw_thermal": 0.5}, "THROTTLE_SW_THERMAL", "of the time"),
        ({"throttle_sw_thermal": 0.5, "throttle_fields": False}, "THROTTLE_SW_THERMAL", "of the time"),
        ({"power_capped": 0.5}, "POWER_CAPPED", "% of the time"),
        ({"power_capped": 0.5, "throttle_fields": False}, "POWER_CAPPED", "% of the time"),
        ({"sm_clocks_mhz": [1980, 1900]}, "CLOCK_UNSTABLE", "1900 to 1980 MHz"),
        ({"sm_clocks_mhz": [1200]}, "CLOCK_LOW", "1200 MHz, 68 % of 1755 MHz"),
        ({"memory_clocks_mhz": [2600, 2400]}, "MEMORY_CLOCK_UNSTABLE", "2400 to 2600 MHz"),
        ({"foreign": 2}, "GPU_SHARED", "2 other processes"),
        ({"foreign": 2, "hide_pids": True}, "GPU_SHARED", "2 other processes"),
        ({"graphics": 1}, "GPU_SHARED", "use the GPU for graphics"),
        ({"mig": 1}, "GPU_SHARED", "divided (MIG)"),
        ({"mps": True}, "GPU_SHARED", "MPS"),
        ({"ecc_uncorrected": 2}, "ECC_ERRORS", "2 uncorrectable"),
        ({"ecc_corrected": 3}, "ECC_ERRORS", "3 corrected ECC"),
        ({"remapped_rows": 1}, "REMAPPED_ROWS", "1 row of"),
        ({"xid": 79}, "XID", "XID 79"),
        ({"pcie": [5, 4]}, "PCIE_DEGRADED", "lanes 4 of 16"),
        ({"pcie": [1, 16]}, "PCIE_DEGRADED", "generation 1 of 5"),
        ({"confidential": 1}, "CONF_COMPUTE", "confidential"),
        ({"throttle_fields": False, "violations": False}, "GPU_UNWATCHED", "throttling by heat, the power limit"),
    ],
)
def test_from_the_knob_to_the_flag(knobs: dict[str, Any], code: str, words: str) -> None:
    (flag,) = _watched(**knobs)
    assert flag.code == code
    assert words in flag.message


def test_a_hidden_process_id_alone_is_nobody_else() -> None:
    """In a container a process sees itself under another number."""
    assert _watched(hide_pids=True) == ()


def test_another_gpu_than_cudas_voids_what_was_watched() -> None:
    seen = trial(gpu_ns=(1,) * 400, counters={"gpu_looks": 1.0, "gpu_not_cudas": 1.0}, evidence=evidence())
    codes = {flag.code: flag.severity for flag in flags_of_gpu([seen], MeasurementPlan())}
    assert codes["GPU_MISMATCH"] is Severity.ERROR


def test_without_nvml_nothing_is_watched() -> None:
    with simulated(nvml=False), gpu_watch() as watch:
        assert watch is None


def test_the_clock_steps_of_a_power_limited_board_are_no_instability() -> None:
    """Two steps of 15 MHz of an H100 at 1100 MHz are 2.7 %."""
    steps = {"gpu_clock_min_hz": 1.095e9, "gpu_clock_median_hz": 1.11e9, "gpu_clock_max_hz": 1.125e9}
    assert _flags(_timed(**steps, gpu_clock_default_hz=1.2e9)) == {}


def test_processes_at_different_clocks_are_an_instability() -> None:
    slow = _timed(gpu_clock_min_hz=1.8e9, gpu_clock_median_hz=1.8e9, gpu_clock_max_hz=1.8e9)
    assert _flags(slow, _timed(), _timed()) == {"CLOCK_UNSTABLE": Severity.WARNING}


MIG = "MIG-11111111-2222-3333-4444-555555555555"


def test_of_a_divided_gpu_the_instances_own_users_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours compute in instances of their own: the whole GPU lists them, ours does not."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", MIG)
    gpus = [{"pci": "0000:3B:00.0", "uuid": "GPU-00000000-0000-0000-0000-000000000000", "mig": [MIG]}]
    (flag,) = _watched(mig=1, foreign=2, gpus=gpus)
    assert (flag.code, flag.severity) == ("GPU_SHARED", Severity.WARNING)
    assert "divided" in flag.message
