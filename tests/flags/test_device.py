"""Each flag of a device, raised and not raised."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from builders import QUIET_GPU

from benchbox.flags.device import flags_of_device
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.reading import Severity
from benchbox.schema.trial import Evidence, Pass, Trial


def _evidence(*, simulated: bool = False, **options: str) -> Evidence:
    return Evidence(
        backend="tensorrt",
        device="NVIDIA L4 (sm89)",
        providers=("TensorRT",),
        threads=1,
        options=options,
        simulated=simulated,
    )


def _trial(evidence: Evidence, **fields: Any) -> Trial:
    defaults = {"gpu_ns": (100_000,) * 5, "enqueue_ns": (10_000,) * 5, "counters": QUIET_GPU}
    return Trial(
        number=0, started_at="", duration_s=1.0, evidence=evidence, **{"pass_": Pass.TIMING, **defaults, **fields}
    )


def _codes(*trials: Trial, checked: Evidence | None = None, mode: Mode = Mode.ISOLATED) -> dict[str, Severity]:
    found = flags_of_device(trials, checked or _evidence(), MeasurementPlan(mode=mode))
    return {flag.code: flag.severity for flag in found}


def test_a_quiet_device_raises_nothing() -> None:
    assert _codes(_trial(_evidence(cuda_graph="off"))) == {}


def test_a_cpu_raises_nothing() -> None:
    on_host = replace(_evidence(cuda_graph="failed: x"), device="cpu")
    assert _codes(_trial(on_host, gpu_ns=(), enqueue_ns=())) == {}


def test_a_device_without_times_of_its_own_is_still_one() -> None:
    """Streams that run at once, and LoadGen, leave none."""
    shared = _trial(
        _evidence(simulated=True), gpu_ns=(), enqueue_ns=(), counters={"gpu_looks": 1.0, "gpu_other_processes": 1.0}
    )
    assert {"SIMULATED", "GPU_SHARED"} <= set(_codes(shared))


@pytest.mark.parametrize(
    ("trial", "code", "severity"),
    [
        (_trial(_evidence(simulated=True)), "SIMULATED", Severity.ERROR),
        (_trial(_evidence(cuda_graph="failed: refused")), "GRAPH_FALLBACK", Severity.ERROR),
        (_trial(_evidence(gpu_integrated="yes")), "GPU_INTEGRATED", Severity.WARNING),
        (_trial(_evidence(), enqueue_ns=(81_000,) * 5), "ENQUEUE_BOUND", Severity.WARNING),
        (_trial(_evidence(), h2d_ns=(100_000,) * 5, d2h_ns=(10,) * 5), "TRANSFER_BOUND", Severity.WARNING),
        (_trial(_evidence(), h2d_ns=(10,) * 5, d2h_ns=(300_000,) * 5), "TRANSFER_BOUND", Severity.WARNING),
    ],
)
def test_each_is_raised(trial: Trial, code: str, severity: Severity) -> None:
    assert _codes(trial) == {code: severity}


@pytest.mark.parametrize(
    ("device_bytes", "codes"),
    [
        ({"device_delta": 1000, "process": 900}, {}),
        ({"device_delta": 1000, "process": 0}, {"PROC_MEM_UNATTRIBUTED": Severity.INFO}),
        ({"device_delta": 1000}, {"PROC_MEM_UNATTRIBUTED": Severity.INFO}),
    ],
)
def test_memory_of_an_unknown_process(device_bytes: dict[str, int], codes: dict[str, Severity]) -> None:
    weighed = _trial(_evidence(), pass_=Pass.MEMORY, device_bytes=device_bytes, gpu_ns=(), enqueue_ns=())
    assert _codes(_trial(_evidence()), weighed) == codes


def test_just_below_the_limit_the_host_keeps_up() -> None:
    assert _codes(_trial(_evidence(), enqueue_ns=(80_000,) * 5)) == {}


def test_nodes_on_the_cpu() -> None:
    mixed = _evidence(nodes=json.dumps({"CUDAExecutionProvider": 30, "CPUExecutionProvider": 2}))
    assert _codes(_trial(_evidence()), checked=mixed) == {"EP_FALLBACK": Severity.WARNING}
    (flag,) = flags_of_device([_trial(_evidence())], mixed, MeasurementPlan())
    assert "2 of 32 nodes run on the CPU, 0 copies" in flag.message
    untold = _evidence(nodes="{}", copies="2")
    (flag,) = flags_of_device([_trial(_evidence())], untold, MeasurementPlan())
    assert (flag.code, flag.message[:23]) == ("EP_FALLBACK", "2 copies between CPU an")
    whole = _evidence(nodes=json.dumps({"CUDAExecutionProvider": 32}), copies="0")
    assert _codes(_trial(_evidence()), checked=whole) == {}


def test_copies_that_are_shorter_than_the_work_are_no_limit() -> None:
    assert _codes(_trial(_evidence(), h2d_ns=(99_000,) * 5, d2h_ns=(99_000,) * 5)) == {}


def _pipelined(**fields: Any) -> Trial:
    """50 requests of 100 us, two in flight: each takes twice that from its start to its end."""
    usual: dict[str, Any] = {
        "samples_ns": (200_000,) * 50,
        "gpu_ns": (100_000,) * 50,
        "enqueue_ns": (10_000,) * 50,
        "window_ns": 5_000_000,
        "device_window_ns": 5_000_000,
    }
    return _trial(_evidence(), **{**usual, **fields})


def test_a_device_that_always_has_work_raises_nothing() -> None:
    assert _codes(_pipelined(), mode=Mode.PIPELINED) == {}


def test_a_device_that_waits_for_the_host() -> None:
    starved = _pipelined(device_window_ns=5_400_000, window_ns=5_400_000)
    assert _codes(starved, mode=Mode.PIPELINED) == {"ENQUEUE_BOUND": Severity.WARNING}
    assert _codes(starved, mode=Mode.ISOLATED) == {}, "one in flight leaves gaps by itself"
    assert _codes(_pipelined(device_window_ns=5_200_000, window_ns=5_200_000), mode=Mode.PIPELINED) == {}


def test_a_call_that_waits_for_the_device() -> None:
    """A runtime that synchronises in its call overlaps nothing; that it is slow to start is then no news."""
    waiting = _pipelined(samples_ns=(105_000,) * 50, enqueue_ns=(101_000,) * 50)
    assert _codes(waiting, mode=Mode.PIPELINED) == {"BACKEND_SYNCS": Severity.WARNING}
    assert _codes(waiting, mode=Mode.ISOLATED) == {"ENQUEUE_BOUND": Severity.WARNING}


@pytest.mark.parametrize(
    ("window_ns", "mode", "codes"),
    [
        (5_040_000, Mode.PIPELINED, {}),
        (5_100_000, Mode.PIPELINED, {"CLOCKS_DISAGREE": Severity.WARNING}),
        (4_900_000, Mode.BATCHED, {"CLOCKS_DISAGREE": Severity.WARNING}),
        (4_900_000, Mode.COLD, {}),
    ],
)
def test_two_clocks_of_one_window(window_ns: int, mode: Mode, codes: dict[str, Severity]) -> None:
    assert _codes(_pipelined(window_ns=window_ns), mode=mode) == codes
