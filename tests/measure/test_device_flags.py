"""Each flag of a device, raised and not raised."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from benchbox.measure.device_flags import flags_of_device
from benchbox.schema.reading import Evidence, Pass, Severity, Trial


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
    defaults = {"gpu_ns": (100_000,) * 5, "enqueue_ns": (10_000,) * 5}
    return Trial(
        number=0, started_at="", duration_s=1.0, evidence=evidence, **{"purpose": Pass.TIMING, **defaults, **fields}
    )


def _codes(*trials: Trial, checked: Evidence | None = None) -> dict[str, Severity]:
    return {flag.code: flag.severity for flag in flags_of_device(trials, checked or _evidence())}


def test_a_quiet_device_raises_nothing() -> None:
    assert _codes(_trial(_evidence(cuda_graph="off"), counters={"gpu_other_processes": 0.0})) == {}


def test_a_cpu_raises_nothing() -> None:
    on_host = replace(_evidence(cuda_graph="failed: x"), device="cpu")
    assert _codes(_trial(on_host, gpu_ns=(), enqueue_ns=())) == {}


def test_a_device_without_times_of_its_own_is_still_one() -> None:
    """Streams that run at once, and LoadGen, leave none."""
    shared = _trial(_evidence(simulated=True), gpu_ns=(), enqueue_ns=(), counters={"gpu_other_processes": 1.0})
    assert set(_codes(shared)) == {"SIMULATED", "GPU_SHARED"}


@pytest.mark.parametrize(
    ("trial", "code", "severity"),
    [
        (_trial(_evidence(simulated=True)), "SIMULATED", Severity.ERROR),
        (_trial(_evidence(cuda_graph="failed: refused")), "GRAPH_FALLBACK", Severity.ERROR),
        (_trial(_evidence(), enqueue_ns=(81_000,) * 5), "ENQUEUE_BOUND", Severity.WARNING),
        (_trial(_evidence(), counters={"gpu_other_processes": 2.0}), "GPU_SHARED", Severity.ERROR),
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
    weighed = _trial(_evidence(), purpose=Pass.MEMORY, device_bytes=device_bytes, gpu_ns=(), enqueue_ns=())
    assert _codes(_trial(_evidence()), weighed) == codes


def test_just_below_the_limit_the_host_keeps_up() -> None:
    assert _codes(_trial(_evidence(), enqueue_ns=(80_000,) * 5)) == {}


def test_nodes_on_the_cpu() -> None:
    mixed = _evidence(nodes=json.dumps({"CUDAExecutionProvider": 30, "CPUExecutionProvider": 2}))
    assert _codes(_trial(_evidence()), checked=mixed) == {"EP_FALLBACK": Severity.WARNING}
    (flag,) = flags_of_device([_trial(_evidence())], mixed)
    assert "2 of 32 nodes run on the CPU" in flag.message
    whole = _evidence(nodes=json.dumps({"CUDAExecutionProvider": 32}))
    assert _codes(_trial(_evidence()), checked=whole) == {}
