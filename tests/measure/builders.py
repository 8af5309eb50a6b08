"""Trials and cases made by hand, for tests of what is computed from them."""

from __future__ import annotations

from typing import Any

from benchbox.flags.seen import Seen
from benchbox.metrics.readings import readings_from_trials
from benchbox.metrics.workload import Workload
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.trial import Evidence, Pass, Trial

QUIET = {
    "run_delay_s": 0.001,
    "window_s": 1.0,
    "all_ticks": 200.0,
    "steal_ticks": 0.0,
    "cgroup_throttled": 0.0,
}

# What is watched of a GPU on which nothing happens.
QUIET_GPU = {
    "gpu_window_s": 1.0,
    "gpu_looks": 10.0,
    "gpu_throttle_hw_s": 0.0,
    "gpu_throttle_sw_thermal_s": 0.0,
    "gpu_power_capped_s": 0.0,
    "gpu_clock_min_hz": 1.98e9,
    "gpu_clock_median_hz": 1.98e9,
    "gpu_clock_max_hz": 1.98e9,
    "gpu_clock_limit_hz": 1.98e9,
    "gpu_clock_default_hz": 1.755e9,
    "gpu_memory_clock_min_hz": 2.6e9,
    "gpu_memory_clock_max_hz": 2.6e9,
    "gpu_slowdown_looks": 0.0,
    "gpu_ecc_uncorrected": 0.0,
    "gpu_ecc_corrected": 0.0,
    "gpu_remapped_rows": 0.0,
    "gpu_xid_events": 0.0,
    "gpu_pcie_generation": 5.0,
    "gpu_pcie_lanes": 16.0,
    "gpu_pcie_generation_limit": 5.0,
    "gpu_pcie_lanes_limit": 16.0,
    "gpu_other_processes": 0.0,
    "gpu_graphics_processes": 0.0,
    "gpu_mps_processes": 0.0,
    "gpu_mig": 0.0,
    "gpu_confidential_compute": 0.0,
    "gpu_numa_remote_looks": 0.0,
}


def evidence(**fields: Any) -> Evidence:
    values: dict[str, Any] = {
        "backend": "onnxruntime",
        "device": "cpu",
        "providers": ("CPUExecutionProvider",),
        "threads": 2,
        "executed": {"fp32": 4},
    }
    return Evidence(**{**values, **fields})


def trial(pass_: Pass = Pass.TIMING, **fields: Any) -> Trial:
    values: dict[str, Any] = {
        "number": 0,
        "pass_": pass_,
        "started_at": "2026-01-01T00:00:00+00:00",
        "duration_s": 1.0,
        "evidence": evidence(executed=None),
        "clock": "perf_counter_ns",
        "samples_ns": (1_000_000,) * 400 if pass_ is Pass.TIMING else (),
        "window_ns": 400_000_000 if pass_ is Pass.TIMING else 0,
        "stopped_by": "precision",
        "counters": QUIET,
        "peak_host_bytes": 100_000_000 if pass_ is Pass.MEMORY else None,
    }
    return Trial(**{**values, **fields})


def seen(trials: list[Trial] | None = None, **fields: Any) -> Seen:
    made = trials if trials is not None else [trial(number=number) for number in range(3)]
    values: dict[str, Any] = {
        "precision": Precision.FP32,
        "plan": MeasurementPlan(threads=2),
        "trials": made,
        "readings": readings_from_trials(made, Workload(batch=1, flops=1000)),
        "evidence": evidence(),
        "cpus": 2,
    }
    return Seen(**{**values, **fields})
