"""Streams that are held back until all work lies on them, on the simulated device, whose host takes time to launch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from simulation import simulated

from benchbox.backends.base import BACKENDS, Compiler, DeviceSession, OpenRequest
from benchbox.export.engines import engine_from_artifact
from benchbox.measure.loop.gated import gated_times
from benchbox.metrics.device_times import GATE_FORCED, GATED, GATED_SAMPLES
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.model import Precision
from benchbox.schema.plan import TRANSFER_INSIDE, MeasurementPlan, Mode
from benchbox.stats.inputs import seeded_arrays

PLAN = MeasurementPlan(input_slots=2)
INFERENCE_NS, LAUNCH_NS = 20_000, 15_000


def _opened(artifact: OnnxArtifact, root: Path, name: str) -> Any:
    compiler = BACKENDS.get("tensorrt")
    assert isinstance(compiler, Compiler)
    one = BatchRange(minimum=1, optimum=1, maximum=1)
    built = engine_from_artifact(artifact, compiler=compiler, precision=Precision.FP32, root=root, batch=one)
    request = OpenRequest(
        precision=Precision.FP32,
        threads=1,
        inputs=tuple(spec.at_batch(1) for spec in artifact.inputs),
        outputs=tuple(spec.at_batch(1) for spec in artifact.outputs),
        engine_path=root / built.engine.path,
        slots=2,
    )
    session = BACKENDS.get(name).open(request)
    assert isinstance(session, DeviceSession)
    for slot in (0, 1):
        session.upload(slot, seeded_arrays(artifact.inputs, seed=slot, samples=1))
    return session


@pytest.mark.parametrize("layer", ["cuda-bindings", "pycuda"])
@pytest.mark.parametrize("mode", [Mode.ISOLATED, Mode.COLD])
def test_the_gated_time_has_no_launch_in_it_and_todays_number_has(
    mode: Mode, layer: str, lenet_fp32: OnnxArtifact, backend_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Isolated, the first event is stamped at once and the kernel comes a launch later."""
    monkeypatch.setenv("BENCHBOX_CUDA", layer)
    with simulated(inference_ns=INFERENCE_NS, launch_ns=LAUNCH_NS) as simulation:
        session = _opened(lenet_fp32, backend_root, "tensorrt")
        session.laps.reserve(1)
        session.enqueue(0)
        session.synchronize()
        session.laps.collect()
        assert session.laps.gpu_ns == (INFERENCE_NS + LAUNCH_NS,)
        found = gated_times(session, dataclasses.replace(PLAN, mode=mode))
        assert found[GATED] == pytest.approx(INFERENCE_NS * 1e-9)
        assert found[GATED_SAMPLES] >= 5
        assert session.laps.gpu_ns == (), "they are no samples"
        session.close()
        assert simulation.DEVICE.host == {}, "the word was given back"


def test_a_graph_is_held_back_too(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    with simulated(inference_ns=INFERENCE_NS, launch_ns=LAUNCH_NS):
        session = _opened(lenet_fp32, backend_root, "tensorrt-graph")
        assert gated_times(session, PLAN)[GATED] == pytest.approx(INFERENCE_NS * 1e-9)
        session.close()


def test_a_runtime_that_waits_in_its_call_is_released_and_said(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    """Without a limit it would wait for ever."""
    with simulated(syncs=True):
        session = _opened(lenet_fp32, backend_root, "tensorrt")
        assert gated_times(session, PLAN) == {GATE_FORCED: 1.0}
        session.close()


def test_where_streams_cannot_be_held_back_there_is_no_such_time(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    with simulated(stream_memory_operations=False) as simulation:
        session = _opened(lenet_fp32, backend_root, "tensorrt")
        assert gated_times(session, PLAN) == {}
        session.close()
        assert simulation.DEVICE.host == {}


def test_requests_of_another_tool_and_with_copies_inside_are_not_gated(
    lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    with simulated():
        session = _opened(lenet_fp32, backend_root, "tensorrt")
        assert gated_times(session, dataclasses.replace(PLAN, like="trtexec-11")) == {}
        assert gated_times(session, dataclasses.replace(PLAN, transfer=TRANSFER_INSIDE)) == {}
        assert gated_times(session, dataclasses.replace(PLAN, mode=Mode.CONCURRENT)) == {}
        session.close()
