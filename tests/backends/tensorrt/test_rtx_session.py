"""TensorRT-RTX on the simulated device: it captures CUDA graphs by itself, and anew whenever an address changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from simulation import simulated

from benchbox.backends.base import BACKENDS, Compiler, DeviceSession, OpenRequest
from benchbox.backends.tensorrt.session import GRAPH_LEFT, TensorRtSession
from benchbox.errors import ArtifactError
from benchbox.export.engines import engine_from_artifact
from benchbox.measure.loop.timing import isolated_block
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.model import Precision
from benchbox.stats.inputs import seeded_arrays

GRAPH = "tensorrt-rtx-graph"


@pytest.fixture
def simulation() -> Iterator[ModuleType]:
    with simulated(target="sm89") as module:
        yield module


def _request(artifact: OnnxArtifact, root: Path, **options: Any) -> OpenRequest:
    compiler = BACKENDS.get("tensorrt-rtx")
    assert isinstance(compiler, Compiler)
    size = BatchRange(minimum=1, optimum=2, maximum=2)
    built = engine_from_artifact(artifact, compiler=compiler, precision=Precision.FP32, root=root, batch=size)
    return OpenRequest(
        precision=Precision.FP32,
        threads=1,
        inputs=tuple(spec.at_batch(2) for spec in artifact.inputs),
        outputs=tuple(spec.at_batch(2) for spec in artifact.outputs),
        engine_path=root / built.engine.path,
        **options,
    )


def _filled(artifact: OnnxArtifact, request: OpenRequest, name: str) -> TensorRtSession:
    session = BACKENDS.get(name).open(request)
    assert isinstance(session, DeviceSession)
    assert isinstance(session, TensorRtSession)
    for slot in range(request.slots):
        session.upload(slot, seeded_arrays(artifact.inputs, seed=slot, samples=2))
    return session


def test_the_runtime_captures_once_however_many_slots_there_are(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    request = _request(lenet_fp32, backend_root, slots=4)
    session = _filled(lenet_fp32, request, GRAPH)
    isolated_block(session, 12, slots=4)
    assert simulation.DEVICE.captures == 1
    options = session.evidence().options
    assert options["cuda_graph"] == GRAPH_LEFT
    assert options["buffers"].startswith("one set")
    usual = simulation.DEVICE.knobs["inference_ns"] + simulation.DEVICE.knobs["launch_ns"]
    assert max(session.laps.gpu_ns[1:]) <= 2 * usual, "captured once; the copy of the inputs is in no lap"
    session.close()
    assert simulation.DEVICE.used_bytes == 0


def test_every_slot_has_its_own_outputs(simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    """Also when another slot ran since, and after new inputs."""
    request = _request(lenet_fp32, backend_root, slots=3)
    graph, plain = (_filled(lenet_fp32, request, name) for name in (GRAPH, "tensorrt-rtx"))
    for session in (graph, plain):
        for slot in (0, 1, 2):
            session.enqueue(slot)
        session.synchronize()
    name = request.outputs[0].name
    for slot in (0, 2, 1):
        assert np.array_equal(graph.download(slot)[name], plain.download(slot)[name])
    for session in (graph, plain):
        session.upload(1, seeded_arrays(lenet_fp32.inputs, seed=9, samples=2))
        session.enqueue(1)
        session.synchronize()
    assert np.array_equal(graph.download(1)[name], plain.download(1)[name])
    for session in (graph, plain):
        session.close()


def test_one_slot_needs_no_other_buffers(simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    session = _filled(lenet_fp32, _request(lenet_fp32, backend_root), GRAPH)
    assert "buffers" not in session.evidence().options
    isolated_block(session, 3, slots=1)
    assert simulation.DEVICE.captures == 1
    session.close()


def test_copies_inside_an_inference_leave_no_graph(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    session = _filled(lenet_fp32, _request(lenet_fp32, backend_root, slots=2, transfers=True), GRAPH)
    assert session.evidence().options["cuda_graph"].startswith("failed: inputs are copied")
    session.close()


def test_a_runtime_that_says_it_cannot_capture_is_believed(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    with simulated(target="sm89", fail_capture=True):
        session = _filled(lenet_fp32, _request(lenet_fp32, backend_root), GRAPH)
        assert session.evidence().options["cuda_graph"].startswith("failed: the runtime says")
        session.close()


def test_an_engine_of_another_version_is_refused(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path, tmp_path: Path
) -> None:
    for name, version, words in (
        ("tensorrt-rtx", b"1.7.1", "it was built by another version"),
        ("tensorrt", b"10.16.0", "not compatible with this version"),
    ):
        request = _request(lenet_fp32, backend_root)
        if name == "tensorrt":
            compiler = BACKENDS.get(name)
            assert isinstance(compiler, Compiler)
            size = BatchRange(minimum=1, optimum=2, maximum=2)
            built = engine_from_artifact(
                lenet_fp32, compiler=compiler, precision=Precision.FP32, root=backend_root, batch=size
            )
            request = dataclasses.replace(request, engine_path=backend_root / built.engine.path)
        assert request.engine_path is not None
        other = tmp_path / "other.engine"
        other.write_bytes(request.engine_path.read_bytes().replace(version, version[:-1] + b"9", 1))
        with pytest.raises(ArtifactError, match=words):
            BACKENDS.get(name).open(dataclasses.replace(request, engine_path=other))
