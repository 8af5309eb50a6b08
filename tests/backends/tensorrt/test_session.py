"""TensorRT sessions on the simulated device, which keeps the runtime's rules and computes by ONNX Runtime."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest
from simulation import simulated

from benchbox.backends.base import BACKENDS, Compiler, DeviceSession, EngineBackend, OpenRequest
from benchbox.backends.cuda.choice import open_layer
from benchbox.backends.tensorrt import TensorRt
from benchbox.backends.tensorrt.session import GRAPH_USED, TensorRtSession
from benchbox.errors import (
    ArtifactError,
    BenchboxError,
    EnvironmentLackError,
    MeasurementError,
    UsageError,
)
from benchbox.export.engines import engine_from_artifact
from benchbox.flags.samples import flags_of_samples
from benchbox.measure.loop.modes import issuer_for
from benchbox.schema.artifact import BatchRange, OnnxArtifact, TensorSpec
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.trial import Pass, Trial
from benchbox.stats.inputs import seeded_arrays

MIB = 1 << 20


@pytest.fixture
def simulation() -> Iterator[ModuleType]:
    with simulated() as module:
        yield module


def _engine(artifact: OnnxArtifact, root: Path, *, batch: int = 2, precision: Precision = Precision.FP32) -> Path:
    compiler = BACKENDS.get("tensorrt")
    assert isinstance(compiler, Compiler)
    size = BatchRange(minimum=1, optimum=batch, maximum=batch)
    built = engine_from_artifact(artifact, compiler=compiler, precision=precision, root=root, batch=size)
    return root / built.engine.path


def _bound(specs: tuple[TensorSpec, ...], batch: int) -> tuple[TensorSpec, ...]:
    return tuple(dataclasses.replace(spec, shape=(batch, *spec.shape[1:])) for spec in specs)


def _request(artifact: OnnxArtifact, engine: Path, *, batch: int = 2, **options: Any) -> OpenRequest:
    return OpenRequest(
        precision=Precision.FP32,
        threads=1,
        inputs=_bound(artifact.inputs, batch),
        outputs=_bound(artifact.outputs, batch),
        engine_path=engine,
        **options,
    )


def _outputs(session: Any, slot: int, arrays: dict[str, np.ndarray]) -> np.ndarray:
    session.upload(slot, arrays)
    session.enqueue(slot)
    session.synchronize()
    return next(iter(session.download(slot).values()))


def _reference(artifact: OnnxArtifact, root: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    request = OpenRequest(
        precision=Precision.FP32,
        threads=1,
        inputs=_bound(artifact.inputs, len(next(iter(arrays.values())))),
        outputs=_bound(artifact.outputs, len(next(iter(arrays.values())))),
        onnx_path=root / artifact.path,
    )
    return _outputs(BACKENDS.get("onnxruntime").open(request), 0, arrays)


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-graph"])
@pytest.mark.parametrize("layer", ["cuda-bindings", "pycuda"])
def test_outputs_are_those_of_onnx_runtime(
    name: str,
    layer: str,
    simulation: ModuleType,
    lenet_fp32: OnnxArtifact,
    backend_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BENCHBOX_CUDA", layer)
    engine = _engine(lenet_fp32, backend_root)
    session = BACKENDS.get(name).open(_request(lenet_fp32, engine, slots=3))
    assert isinstance(session, DeviceSession)
    for slot in (0, 2, 1, 0):
        arrays = seeded_arrays(lenet_fp32.inputs, seed=slot, samples=2)
        assert np.allclose(_outputs(session, slot, arrays), _reference(lenet_fp32, backend_root, arrays), atol=1e-6)
    evidence = session.evidence()
    assert evidence.simulated
    assert evidence.options["cuda_layer"] == layer
    assert evidence.options["gpu_l2_bytes"] == str(50 << 20)
    graph = evidence.options["cuda_graph"]
    if name == "tensorrt":
        assert graph == "off"
    elif layer == "pycuda":
        assert graph == "failed: pycuda cannot capture graphs"
    else:
        assert graph == GRAPH_USED
    session.close()
    assert simulation.DEVICE.used_bytes == 0, "everything was given back"


@pytest.mark.parametrize(
    ("target", "flags", "told"),
    [
        ("sm90", ("strongly_typed", "tf32"), "allowed"),
        ("sm90", ("strongly_typed",), "forbidden"),
        ("sm75", ("strongly_typed", "tf32"), "none on this device"),
    ],
)
def test_tf32_is_told_from_the_engines_recipe(
    target: str, flags: tuple[str, ...], told: str, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    """An engine does not say whether TF32 was allowed: what it was built with does."""
    with simulated(target=target):
        engine = _engine(lenet_fp32, backend_root)
        session = BACKENDS.get("tensorrt").open(_request(lenet_fp32, engine, engine_flags=flags))
        assert session.evidence().options["tf32"] == told
        session.close()


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-graph"])
def test_laps_are_the_virtual_time_of_an_inference(name: str, lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    with simulated(inference_ns=123_000) as simulation:
        session = BACKENDS.get(name).open(_request(lenet_fp32, _engine(lenet_fp32, backend_root)))
        assert isinstance(session, DeviceSession)
        session.upload(0, seeded_arrays(lenet_fp32.inputs, seed=0, samples=2))
        session.laps.reserve(4)
        for _ in range(4):
            session.enqueue(0)
            session.synchronize()
        session.laps.collect()
        # The device was idle: the launch lies between the two events.
        assert session.laps.gpu_ns == (123_000 + simulation.DEVICE.knobs["launch_ns"],) * 4
        assert all(time > 0 for time in session.laps.enqueue_ns)
        session.laps.forget()
        assert session.laps.gpu_ns == ()
        session.close()


def test_results_are_not_there_before_the_stream_was_waited_for(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    session = BACKENDS.get("tensorrt").open(_request(lenet_fp32, _engine(lenet_fp32, backend_root)))
    arrays = seeded_arrays(lenet_fp32.inputs, seed=0, samples=2)
    session.upload(0, arrays)
    before = simulation.DEVICE.busy_ns
    session.enqueue(0)
    assert simulation.DEVICE.busy_ns == before, "nothing has run yet"
    session.synchronize()
    assert simulation.DEVICE.busy_ns == before + 400_000
    session.close()


@pytest.mark.parametrize(
    ("step", "call"),
    [
        ("begin", "cudaStreamBeginCapture"),
        ("enqueue", "IExecutionContext"),
        ("end", "cudaStreamEndCapture"),
        ("instantiate", "cudaGraphInstantiate"),
    ],
)
def test_a_capture_that_fails_is_said_and_the_context_runs(
    step: str, call: str, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    with simulated(fail_capture=step) as simulation:
        session = BACKENDS.get("tensorrt-graph").open(_request(lenet_fp32, _engine(lenet_fp32, backend_root)))
        arrays = seeded_arrays(lenet_fp32.inputs, seed=0, samples=2)
        assert np.allclose(_outputs(session, 0, arrays), _reference(lenet_fp32, backend_root, arrays), atol=1e-6)
        assert session.evidence().options["cuda_graph"].startswith(f"failed: {call}")
        session.close()
        assert (simulation.DEVICE.graphs, simulation.DEVICE.used_bytes) == (set(), 0)


def test_a_batch_outside_the_profile_is_a_usage_error(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    engine = _engine(lenet_fp32, backend_root, batch=2)
    with pytest.raises(UsageError, match="does not accept this input shape") as error:
        BACKENDS.get("tensorrt").open(_request(lenet_fp32, engine, batch=3))
    assert "(3, 1, 28, 28)" in error.value.values
    assert simulation.DEVICE.used_bytes == 0


@pytest.mark.parametrize("pools", [0, 1, 1.1])
def test_too_little_memory_leaves_nothing_behind(pools: float, lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    """At the weights, at the working memory, at the buffers: each time an error of memory, and all of it given back."""
    with simulated():
        engine = _engine(lenet_fp32, backend_root)
    # The pool that weights come from grows by 32 MiB.
    with simulated(memory_bytes=int(pools * (32 << 20)), primary_bytes=0) as simulation:
        with pytest.raises(MeasurementError) as error:
            BACKENDS.get("tensorrt").open(_request(lenet_fp32, engine, slots=600))
        assert "memory" in str(error.value).lower()
        assert simulation.DEVICE.used_bytes == 0


def test_device_memory_has_a_name_for_every_method(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    request = _request(lenet_fp32, _engine(lenet_fp32, backend_root), slots=4, track_memory=True)
    session = BACKENDS.get("tensorrt").open(request)
    assert isinstance(session, DeviceSession)
    found = session.device_memory()
    used = simulation.DEVICE.used_bytes
    assert found["device_delta"] == found["device_held"] == simulation.DEVICE.taken_bytes - 256 * MIB
    assert 0 < found["device_delta"] - used < 4 * MIB, "the context was there before; memory is given out in grains"
    assert found["allocated_peak"] == used, "the allocator, the working memory and the buffers are all there is"
    assert found["declared_context"] == 1 << 20
    assert found["declared_weights"] + found["declared_context"] + found["buffers"] == used
    session.close()
    assert simulation.DEVICE.used_bytes == 0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda engine: b"", "cannot load the engine"),
        (lambda engine: engine[:10], "cannot load the engine"),
        (lambda engine: b"not an engine" + engine, "cannot load the engine"),
    ],
)
def test_a_file_that_is_no_engine_is_refused(
    damage: Any, message: str, simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path, tmp_path: Path
) -> None:
    path = tmp_path / "damaged.engine"
    path.write_bytes(damage(_engine(lenet_fp32, backend_root).read_bytes()))
    with pytest.raises(ArtifactError, match=message):
        BACKENDS.get("tensorrt").open(_request(lenet_fp32, path))
    assert simulation.DEVICE.used_bytes == 0


def test_an_engine_of_another_gpu_is_refused(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    with simulated(target="sm89"):
        engine = _engine(lenet_fp32, backend_root)
    with simulated(target="sm90"), pytest.raises(ArtifactError, match="built for another device"):
        BACKENDS.get("tensorrt").open(_request(lenet_fp32, engine))


def test_an_engine_of_another_network_is_refused(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    request = _request(lenet_fp32, _engine(lenet_fp32, backend_root))
    other = tuple(dataclasses.replace(spec, name="logits") for spec in request.outputs)
    with pytest.raises(ArtifactError, match="of another network"):
        BACKENDS.get("tensorrt").open(dataclasses.replace(request, outputs=other))
    assert simulation.DEVICE.used_bytes == 0


def test_the_inspector_names_every_node(simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    session = BACKENDS.get("tensorrt").open(_request(lenet_fp32, _engine(lenet_fp32, backend_root)))
    assert isinstance(session, TensorRtSession)
    layers = json.loads(session.inspection())["Layers"]
    assert "[ONNX Layer: conv1]" in {layer["Metadata"] for layer in layers}
    session.close()


def test_the_profiler_times_every_layer_of_every_inference(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    with simulated(inference_ns=120_000):
        session = BACKENDS.get("tensorrt").open(_request(lenet_fp32, _engine(lenet_fp32, backend_root)))
        assert isinstance(session, TensorRtSession)
        session.upload(0, seeded_arrays(lenet_fp32.inputs, seed=0, samples=2))
        times = session.layer_times(warmup=2, iterations=5)
        assert {len(values) for values in times.values()} == {5}
        assert sum(values[3] for values in times.values()) == pytest.approx(120e-6)
        assert "conv1" in times
        session.close()


def test_without_a_layer_a_session_is_refused(monkeypatch: pytest.MonkeyPatch, lenet_fp32: OnnxArtifact) -> None:
    with simulated(target="none"), pytest.raises(EnvironmentLackError, match="no usable NVIDIA GPU"):
        TensorRt().open(_request(lenet_fp32, Path("any.engine")))


def test_graph_backends_share_the_engines_and_build_none() -> None:
    for name in ("tensorrt-graph", "tensorrt-rtx-graph"):
        backend = BACKENDS.get(name)
        assert isinstance(backend, EngineBackend)
        assert backend.compiler == name.removesuffix("-graph")
        assert not isinstance(backend, Compiler)


def test_the_layer_is_closed_with_the_session(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    request = _request(lenet_fp32, _engine(lenet_fp32, backend_root))
    layer = open_layer("cuda-bindings")
    monkeypatch.setattr(type(layer), "close", lambda self: closed.append(True))
    TensorRtSession(TensorRt().bindings(), layer, request, graph=False).close()
    assert closed == [True]


EVENT_NS, CALL_NS = 500, 500  # what events resolve; what a copy takes the host to start
H2D_NS, D2H_NS = 2 * 28 * 28 * 4 * 0.05, 2 * 10 * 4 * 0.05  # of the simulated bandwidth, two samples of float32


@pytest.mark.parametrize("layer", ["cuda-bindings", "pycuda"])
@pytest.mark.parametrize("graph", [False, True])
def test_requests_bring_their_inputs_and_take_their_outputs(
    graph: bool, layer: str, simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    """Two in flight on three streams: copies of one overlap the inference of the other."""
    if graph and layer == "pycuda":
        pytest.skip("pycuda has no graphs")
    request = _request(lenet_fp32, _engine(lenet_fp32, backend_root), slots=2, transfers=True, blocking=True)
    session = TensorRtSession(TensorRt().bindings(), open_layer(layer), request, graph=graph)
    arrays = [seeded_arrays(lenet_fp32.inputs, seed=seed, samples=2) for seed in (1, 2, 3)]
    for slot in (0, 1):
        session.upload(slot, arrays[slot])
    # As trtexec does it: no request is left out.
    issuer = issuer_for([session], MeasurementPlan(mode=Mode.PIPELINED, input_slots=2, like="trtexec-10"))
    session.laps.forget()
    block = issuer.block(50)
    assert len(block.times_ns) == 50
    inference_ns = simulation.DEVICE.knobs["inference_ns"]
    # The first request finds the device idle, the others wait behind the one before them.
    launch_ns = simulation.DEVICE.knobs["launch_ns"]
    assert session.laps.gpu_ns == pytest.approx((inference_ns + launch_ns, *[inference_ns] * 49), abs=EVENT_NS)
    assert session.laps.h2d_ns[1:] == pytest.approx((H2D_NS + CALL_NS,) * 49, abs=EVENT_NS), "their stream is idle"
    assert session.laps.d2h_ns == pytest.approx((D2H_NS,) * 50, abs=EVENT_NS)
    assert session.laps.window_ns == pytest.approx(50 * inference_ns, abs=3 * launch_ns)
    assert all(time > 0 for time in session.laps.enqueue_ns)
    # What the host has is what is computed: the copies are a part of each request.
    assert session._queries is not None
    session._queries.fill(0, arrays[2])
    session.enqueue(0)
    session.synchronize()
    assert np.allclose(
        next(iter(session.download(0).values())), _reference(lenet_fp32, backend_root, arrays[2]), rtol=1e-4, atol=1e-5
    )
    session.laps.forget()
    assert (session.laps.h2d_ns, session.laps.d2h_ns, session.laps.window_ns) == ((), (), 0)
    session.close()
    assert simulation.DEVICE.used_bytes == 0
    assert simulation.DEVICE.host == {}


@pytest.mark.parametrize(("blocking", "said"), [(True, "blocking"), (False, "spin")])
@pytest.mark.parametrize("transfers", [True, False])
def test_the_host_waits_as_it_was_asked_to(
    transfers: bool, blocking: bool, said: str, simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    request = _request(lenet_fp32, _engine(lenet_fp32, backend_root), transfers=transfers, blocking=blocking)
    session = TensorRtSession(TensorRt().bindings(), open_layer("cuda-bindings"), request, graph=False)
    assert session.evidence().options["wait"] == said
    waited: list[bool] = []
    wait = simulation.DEVICE.wait
    simulation.DEVICE.wait = lambda event: (waited.append(event.blocking), wait(event))
    session.upload(0, seeded_arrays(lenet_fp32.inputs, seed=1, samples=2))
    issuer_for([session], MeasurementPlan(mode=Mode.PIPELINED, input_slots=1)).block(5)
    assert len(waited) >= 4
    # The events that the copies of one request and its inference wait for are never the host's.
    assert set(waited) <= {blocking, False}
    assert (True in waited) is blocking
    session.close()


@pytest.mark.parametrize(
    ("knobs", "code"), [({"drift": 0.5}, "DRIFT"), ({"bimodal": 0.3}, "BIMODAL"), ({"inference_ns": 250_000}, "")]
)
def test_what_the_device_does_to_its_times_is_seen_in_them(
    knobs: dict[str, Any], code: str, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    with simulated(**knobs):
        request = _request(lenet_fp32, _engine(lenet_fp32, backend_root), batch=1)
        session = BACKENDS.get("tensorrt").open(request)
        assert isinstance(session, DeviceSession)
        session.upload(0, seeded_arrays(lenet_fp32.inputs, seed=1, samples=1))
        session.laps.forget()
        issuer_for([session], MeasurementPlan(input_slots=1)).block(200)
        # The host's own times are those of this machine; only the device's clock is simulated.
        seen = Trial(
            number=0,
            pass_=Pass.TIMING,
            started_at="",
            duration_s=1.0,
            evidence=session.evidence(),
            samples_ns=(1_000_000,) * 200,
            gpu_ns=session.laps.gpu_ns,
        )
        session.close()
    codes = {flag.code for flag in flags_of_samples([seen], MeasurementPlan())}
    assert {"DRIFT", "BIMODAL", "LEVEL_SHIFT"} & codes == ({code} if code else set())


def test_slots_are_defined_before_anything_runs_on_them(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    """Graphs are captured behind a warm inference, which is before the first upload."""
    engine = _engine(lenet_fp32, backend_root)
    read: list[np.ndarray] = []
    reading = importlib.import_module("tensorrt").IExecutionContext
    original = reading._read
    with mock.patch.object(reading, "_read", lambda self, *given: read.append(original(self, *given)) or read[-1]):
        session = BACKENDS.get("tensorrt-graph").open(_request(lenet_fp32, engine, slots=3))
    assert len(read) == 3
    assert not any(array.any() for array in read)
    session.close()


def test_nvtx_is_off_while_inferences_are_timed(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    """An engine is built with detailed NVTX, which its context inherits and which slows every enqueue."""
    session = BACKENDS.get("tensorrt").open(_request(lenet_fp32, _engine(lenet_fp32, backend_root)))
    assert isinstance(session, TensorRtSession)
    assert session._context.nvtx_verbosity.name == "NONE"
    assert session.evidence().options["nvtx"] == "none"
    session.close()


def test_a_size_of_zero_with_an_error_is_an_error(lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    with simulated(fail_sizing=True), pytest.raises(BenchboxError, match="cannot size its memory") as error:
        BACKENDS.get("tensorrt").open(_request(lenet_fp32, _engine(lenet_fp32, backend_root)))
    assert "told to refuse" in error.value.values


@pytest.mark.parametrize("content", [b"damaged", b"tactics of sm80"])
def test_a_timing_cache_that_is_refused_is_an_error(
    content: bytes, simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path, tmp_path: Path
) -> None:
    """The key of the engine says that the tactics were used."""
    (tmp_path / "old.timing").write_bytes(content)
    compiler = BACKENDS.get("tensorrt")
    assert isinstance(compiler, Compiler)
    with pytest.raises(ArtifactError, match=r"refuses the timing cache on simulated GPU.*\(sm90\)"):
        engine_from_artifact(
            lenet_fp32,
            compiler=compiler,
            precision=Precision.FP32,
            root=backend_root,
            batch=BatchRange(minimum=1, optimum=3, maximum=3),
            timing_cache=tmp_path / "old.timing",
        )
