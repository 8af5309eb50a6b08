"""ONNX Runtime on CUDA without a GPU: what is asked of the runtime, what must be given, and what each backend lacks."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnxruntime_on_cuda import SimulatedRuntime
from simulation import simulated

from benchbox.backends.base import BACKENDS, DeviceSession, OpenRequest
from benchbox.backends.cuda.choice import open_layer
from benchbox.backends.onnxruntime import cuda as onnxruntime_cuda
from benchbox.backends.onnxruntime.cuda import CPU, CUDA, TENSORRT, OnnxRuntimeCudaSession, nodes_by_provider
from benchbox.errors import ArtifactError, DeviceMemoryError, EnvironmentLackError, UsageError
from benchbox.measure.loadgen.answering import Queue
from benchbox.measure.loop.modes import issuing
from benchbox.measure.loop.timing import isolated_block
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.stats.inputs import seeded_arrays


@pytest.fixture
def simulation() -> Iterator[ModuleType]:
    with simulated() as module:
        yield module


def _request(artifact: OnnxArtifact, root: Path, **options: Any) -> OpenRequest:
    bound = [
        tuple(dataclasses.replace(spec, shape=(2, *spec.shape[1:])) for spec in specs)
        for specs in (artifact.inputs, artifact.outputs)
    ]
    return OpenRequest(
        precision=options.pop("precision", Precision.FP32),
        threads=1,
        inputs=bound[0],
        outputs=bound[1],
        slots=2,
        onnx_path=root / artifact.path,
        **options,
    )


def _session(runtime: SimulatedRuntime, request: OpenRequest, **options: Any) -> OnnxRuntimeCudaSession:
    arguments = {"provider": CUDA, "graph": False, **options}
    return OnnxRuntimeCudaSession(runtime, open_layer("cuda-bindings"), request, **arguments)


@pytest.mark.parametrize("graph", [False, True])
def test_outputs_times_and_what_was_asked(
    graph: bool, simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    runtime = SimulatedRuntime([CUDA, CPU])
    session = _session(runtime, _request(lenet_fp32, backend_root), graph=graph)
    assert isinstance(session, DeviceSession)
    arrays = seeded_arrays(lenet_fp32.inputs, seed=0, samples=2)
    for slot in (0, 1):
        session.upload(slot, arrays)
    isolated_block(session, 4, slots=2)
    assert session.laps.gpu_ns == (90_000 + simulation.DEVICE.knobs["launch_ns"],) * 4
    real = onnxruntime.InferenceSession(str(backend_root / lenet_fp32.path), providers=[CPU])
    expected = real.run(None, arrays)[0]
    assert np.allclose(next(iter(session.download(1).values())), expected, atol=1e-6)
    (name, options), cpu = runtime.asked
    assert (name, cpu) == (CUDA, CPU)
    assert options["use_tf32"] == "0"
    assert options["enable_cuda_graph"] == str(int(graph))
    assert all(entries["disable_synchronize_execution_providers"] == "1" for entries in runtime.run_options)
    graphs = [entries.get("gpu_graph_id") for entries in runtime.run_options]
    opening = ["0", "1", "0"] if graph else []  # each slot is captured, then a replay looked for
    assert graphs == [*opening, *(["0", "1", "0", "1"] if graph else [None] * 4)], "each slot has a graph of its own"
    assert session.evidence().options["cuda_graph"] == ("whole inference" if graph else "off")
    assert len(runtime.captured) == (2 if graph else 0)
    evidence = session.evidence()
    assert evidence.backend == ("onnxruntime-cuda-graph" if graph else "onnxruntime-cuda")
    assert evidence.simulated
    session.close()
    assert simulation.DEVICE.used_bytes == 0


@pytest.mark.parametrize(("precision", "tf32"), [(Precision.FP32, "0"), (Precision.TF32, "1"), (Precision.FP16, "0")])
def test_tf32_is_only_allowed_where_it_was_asked_for(
    precision: Precision, tf32: str, simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    runtime = SimulatedRuntime([CUDA, CPU])
    session = _session(runtime, _request(lenet_fp32, backend_root, precision=precision))
    assert runtime.asked[0][1]["use_tf32"] == tf32
    assert session.evidence().options["tf32"] == ("allowed" if tf32 == "1" else "forbidden")
    runtime.asked[0][1]["use_tf32"] = "1"
    assert session.evidence().options["tf32"] == "allowed", "what the session tells, not what it was asked"
    session.close()


def test_the_tensorrt_provider_has_cuda_behind_it(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "unset")
    runtime = SimulatedRuntime([TENSORRT, CUDA, CPU])
    session = _session(runtime, _request(lenet_fp32, backend_root, precision=Precision.FP16), provider=TENSORRT)
    assert [entry if isinstance(entry, str) else entry[0] for entry in runtime.asked] == [TENSORRT, CUDA, CPU]
    assert runtime.asked[0][1]["trt_fp16_enable"] == "1"
    assert onnxruntime_cuda.os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
    assert session.evidence().options["tf32"] == "forbidden"
    assert session.evidence().backend == "onnxruntime-tensorrt"
    session.close()


def test_a_silent_fallback_to_the_cpu_is_refused(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    with pytest.raises(EnvironmentLackError, match="did not give CUDAExecutionProvider") as error:
        _session(SimulatedRuntime([CPU]), _request(lenet_fp32, backend_root))
    assert CPU in error.value.values
    assert simulation.DEVICE.used_bytes == 0


@pytest.mark.parametrize(
    ("failure", "kind"),
    [("Failed to allocate memory for requested buffer of size 9", DeviceMemoryError), ("bad file", ArtifactError)],
)
def test_what_the_runtime_raises_gets_a_name(
    failure: str, kind: type[Exception], simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    with pytest.raises(kind) as error:
        _session(SimulatedRuntime([CUDA, CPU], failure), _request(lenet_fp32, backend_root))
    assert failure in str(error.value)


def test_nodes_on_the_cpu_and_copies_are_counted(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = SimulatedRuntime([CUDA, CPU])
    session = _session(runtime, _request(lenet_fp32, backend_root, inspect=True))
    session.upload(0, seeded_arrays(lenet_fp32.inputs, seed=0, samples=2))
    session.enqueue(0)
    session.synchronize()
    evidence = session.evidence()
    assert json.loads(evidence.options["nodes"])[CPU] > 5, "the pretended session really ran on the CPU"
    assert evidence.options["copies"] == "0"
    assert evidence.executed == {"fp32": 4}
    copies = [ExecutedLayer(name=kind, kind=kind) for kind in ("MemcpyToHost", "Conv", "MemcpyFromHost")]
    monkeypatch.setattr(session, "reported_layers", lambda: copies)
    assert session.evidence().options["copies"] == "2"
    session.close()


def test_a_version_that_tells_no_placement_gives_none() -> None:
    assert nodes_by_provider(SimpleNamespace()) == {}


@pytest.mark.parametrize("name", ["onnxruntime-cuda", "onnxruntime-cuda-graph", "onnxruntime-tensorrt"])
def test_the_cpu_wheel_says_what_to_install(name: str) -> None:
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("runs where ONNX Runtime has no CUDA provider")
    state = BACKENDS.get(name).probe()
    assert not state.usable
    assert "is built without" in state.reason
    assert "benchbox[gpu]" in state.remedy


@pytest.mark.parametrize("name", ["onnxruntime-cuda", "onnxruntime-tensorrt"])
def test_with_the_provider_a_gpu_is_looked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    with simulated(target="none"):
        assert "no usable NVIDIA GPU" in BACKENDS.get(name).probe().reason
    monkeypatch.setattr(onnxruntime_cuda, "library_lack", lambda library, folder: "")
    with simulated():
        state = BACKENDS.get(name).probe()
        if name == "onnxruntime-cuda":
            assert state.usable
        else:
            assert "libnvinfer.so.10" in state.reason, "TensorRT 10's library is not here"


def test_a_provider_whose_library_does_not_load_is_not_usable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its name is among the providers all the same, and a session would be given the CPU."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(onnxruntime_cuda, "provider_folder", lambda: tmp_path)
    (tmp_path / "libonnxruntime_providers_shared.so").write_bytes(b"no library")
    with simulated():
        state = BACKENDS.get("onnxruntime-cuda").probe()
    assert not state.usable
    assert "libonnxruntime_providers_shared.so does not load" in state.reason
    assert "cudnn" in state.remedy


def test_a_library_that_the_provider_lacks_is_quoted(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = (
        "\x1b[1;31m2026-11-29 10:00:00 [E:onnxruntime:Default, provider_bridge_ort.cc:2195 TryGetProviderInfo_CUDA] "
        "Failed to load library libonnxruntime_providers_cuda.so with error: libcudnn.so.9: cannot open\x1b[m\n"
    )
    with pytest.raises(EnvironmentLackError) as error:
        _session(SimulatedRuntime([CPU], log=log), _request(lenet_fp32, backend_root))
    assert "libcudnn.so.9: cannot open" in error.value.values
    assert "\x1b" not in error.value.values
    assert "ORT_LOG_SEVERITY_LEVEL" not in error.value.remedy, "there is no such variable"
    assert capfd.readouterr().err == ""


def test_a_network_that_is_no_whole_graph_is_refused(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    """Its file is as good as any: onnx.checker has nothing to say."""
    runtime = SimulatedRuntime([CUDA, CPU], nodes_on_cpu=True)
    with pytest.raises(UsageError, match="cannot run this network as a CUDA graph") as error:
        _session(runtime, _request(lenet_fp32, backend_root), graph=True)
    assert "have not been partitioned" in error.value.values
    assert "onnxruntime-cuda" in error.value.remedy
    assert simulation.DEVICE.used_bytes == 0
    _session(runtime, _request(lenet_fp32, backend_root)).close()


def test_a_graph_that_was_not_seen_is_not_claimed(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    session = _session(
        SimulatedRuntime([CUDA, CPU], captures_nothing=True), _request(lenet_fp32, backend_root), graph=True
    )
    assert session.evidence().options["cuda_graph"].startswith("failed: no replay was seen")
    session.close()
    assert simulation.DEVICE.used_bytes == 0


def test_what_another_thread_allocates_spoils_a_capture(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    """The rule that sessions are kept to threads for; without it the tests below could not fail."""
    runtime = SimulatedRuntime([CUDA, CPU])
    with ThreadPoolExecutor(1) as other:

        def allocate() -> None:
            with contextlib.suppress(simulation.Fault):
                other.submit(simulation.DEVICE.allocate, 256).result()

        runtime.while_capturing = allocate
        with pytest.raises(RuntimeError, match="StreamCapture"):
            _session(runtime, _request(lenet_fp32, backend_root), graph=True)


def test_each_session_keeps_its_thread(simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path) -> None:
    """A graph is the thread's that captured it: a session that changed threads would be captured again."""
    runtimes = [SimulatedRuntime([CUDA, CPU]) for _ in range(3)]
    sessions = [_session(runtime, _request(lenet_fp32, backend_root), graph=True) for runtime in runtimes]
    with issuing(sessions, MeasurementPlan(mode=Mode.CONCURRENT, streams=3, input_slots=2)) as issuer:
        for _ in range(4):
            issuer.block(6)
    for runtime in runtimes:
        threads = {thread for thread, _ in runtime.captured}
        assert len(threads) == 2, "the one that opened it and its own"
        assert len(runtime.captured) == 4
    assert len({thread for runtime in runtimes for thread, _ in runtime.captured}) == 4
    for session in sessions:
        session.close()
    assert simulation.DEVICE.used_bytes == 0


def test_a_queue_warms_its_threads_before_it_answers(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    runtimes = [SimulatedRuntime([CUDA, CPU]) for _ in range(2)]
    sessions = [_session(runtime, _request(lenet_fp32, backend_root), graph=True) for runtime in runtimes]
    answered: list[int] = []
    queue = Queue(sessions, batch=2, complete=answered.extend, slots=2)
    assert [len(runtime.captured) for runtime in runtimes] == [4, 4], "before the first query"
    queue.issue(list(range(8)), [0, 1, 2, 3] * 2)
    queue.finish()
    assert sorted(answered) == list(range(8))
    assert [len(runtime.captured) for runtime in runtimes] == [4, 4]
    for session in sessions:
        session.close()
