"""What the golden files hold: one record with every part that a record can have, and a trial of every kind.

``record_v1_late.parquet`` is the same as written by the last benchbox of version 1; ``record_v1_run.parquet`` is what
its ``benchbox run lenet5 --quick --trials 2 --max-time 0.05 --threads 2`` stored.
"""

from __future__ import annotations

import dataclasses

from sample_records import HOP, record, trials

from benchbox.schema.energy import EnergyRun, EnergyWindow
from benchbox.schema.loadgen import LoadgenRun
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.proof import OtherLayer, Proof
from benchbox.schema.reading import Better, Flag, Reading, Severity
from benchbox.schema.record import BuildCost, Sampling
from benchbox.schema.trial import OutputsSeen, Pass


def _reading(metric: str, value: float, method: str = "") -> Reading:
    return Reading(
        metric=metric,
        unit="s",
        value=value,
        low=0.9 * value,
        high=1.1 * value,
        n=5,
        better=Better.LOWER,
        method=method,
        mde=0.05,
    )


FULL = record(
    4,
    key=dataclasses.replace(record().key, mode=Mode.SERVER, variant="exclude=fc*", precision=Precision.INT8),
    plan=MeasurementPlan(
        mode=Mode.SERVER,
        streams=1,
        rate_per_s=200.0,
        latency_bound_s=0.1,
        like="trtexec-11",
        threads=4,
        memory_trials=3,
    ),
    readings=(
        _reading("latency_p50", 1e-3),
        _reading("probe_arithmetic", 8e-6, "matrix product by numpy, one thread"),
        _reading("probe_handover", 140e-9),
    ),
    flags=(
        Flag(
            code="MACHINE_SHIFTED",
            severity=Severity.WARNING,
            message="the machine was not the same all the time",
            metrics=("probe_arithmetic", "latency_p50"),
        ),
    ),
    sampling=Sampling(
        processes=5,
        samples=15,
        warmup=10,
        not_steady=1,
        stopped_by={"loadgen": 5},
        mild_outliers=1,
        severe_outliers=0,
        floor_s=1.5e-7,
    ),
    proof=Proof(
        asked=Precision.INT8,
        required=0.9,
        share=0.5,
        macs={"int8": 0.5, "unreported": 0.5},
        bytes={"int8": 0.25, "unreported": 0.25, "uncovered": 0.5},
        passed=None,
        layers=(OtherLayer(name="fc", type="unreported", macs=5),),
        tf32="forbidden",
    ),
    builds=(
        BuildCost(what="onnx", duration_s=2.5, peak_host_bytes=400_000_000),
        BuildCost(what="engine", duration_s=9.5, peak_host_bytes=None),
    ),
    engine_sha256="cd" * 32,
    weights_sha256="ef" * 32,
    weights="of the file",
)
_TIMED, _MEMORY = trials()
_WINDOW = EnergyWindow(
    energy_j={"cpu_package": 300.25},
    duration_s=10.001,
    inferences=2000.25,
    edge_s=0.0007,
    power_j=None,
    temperature_before_c=40.0,
)
FULL_TRIALS = (
    dataclasses.replace(
        _TIMED,
        settled=False,
        steady_from=1,
        floor_ns=150,
        gpu_floor_ns=12,
        device_window_ns=2900,
        like="trtexec-11",
        load_s=0.25,
        gpu_ns=(900, 901, 899),
        enqueue_ns=(90, 91, 89),
        h2d_ns=(10, 11),
        d2h_ns=(12, 13),
        counters={
            "window_s": 1.0,
            "probe_arithmetic_before_s": 8e-6,
            "probe_arithmetic_after_s": 8e-6,
            "probe_handover_before_s": 140e-9,
            "probe_handover_after_s": 140e-9,
        },
        outputs=OutputsSeen(sha256="ab" * 32, change=None, reference=HOP),
        loadgen=LoadgenRun(
            version="6.0.17",
            samples=3,
            completed_per_s=199.5,
            valid=False,
            reasons=("Min queries not satisfied",),
            early_stopping_s=0.02,
            early_stopping_percentile=0.99,
            offered_per_s=200.5,
            over_bound=1,
            clock_off_s=1e-6,
        ),
    ),
    dataclasses.replace(_MEMORY, host_bytes={"runtime": 100, "load": 200}, device_bytes={"pool": 300}),
    dataclasses.replace(
        _MEMORY,
        pass_=Pass.ENERGY,
        peak_host_bytes=None,
        energy=EnergyRun(
            counter="RAPL",
            scope="cpu_package",
            tick_s=0.001,
            window_s=10.0,
            idle_s=3.0,
            idle_power_w={"cpu_package": 12.5},
            windows=(_WINDOW, _WINDOW),
            resets=1,
        ),
    ),
)
