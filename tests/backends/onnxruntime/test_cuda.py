"""ONNX Runtime on CUDA without a GPU: what is asked of the runtime, what must be given, and what each backend lacks."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from simulation import simulated

from benchbox.backends.base import BACKENDS, DeviceSession, OpenRequest
from benchbox.backends.cuda.choice import open_layer
from benchbox.backends.onnxruntime import cuda as onnxruntime_cuda
from benchbox.backends.onnxruntime.cuda import CPU, CUDA, TENSORRT, OnnxRuntimeCudaSession, nodes_by_provider
from benchbox.errors import ArtifactError, DeviceMemoryError, EnvironmentLackError
from benchbox.measure.loop.timing import isolated_block
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.model import Precision
from benchbox.stats.inputs import seeded_arrays


class Binding:
    """Keeps what was bound."""

    def __init__(self) -> None:
        self.bound: dict[str, tuple[Any, ...]] = {}

    def bind_input(self, name: str, *where: Any) -> None:
        self.bound[name] = where

    bind_output = bind_input


class PretendedSession:
    """The real runtime on the CPU, behind the interface of a session on the simulated device."""

    def __init__(self, runtime: PretendedRuntime, path: str, options: Any, providers: list[Any]) -> None:
        if runtime.failure:
            raise RuntimeError(runtime.failure)
        self.runtime = runtime
        runtime.asked = providers
        self._real = onnxruntime.InferenceSession(path, options, providers=[CPU])
        self.outputs = [output.name for output in self._real.get_outputs()]

    def get_providers(self) -> list[str]:
        return self.runtime.given

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return dict(entry for entry in self.runtime.asked if isinstance(entry, tuple))

    def get_provider_graph_assignment_info(self) -> Any:
        return self._real.get_provider_graph_assignment_info()

    def end_profiling(self) -> str:
        return str(self._real.end_profiling())

    def io_binding(self) -> Binding:
        return Binding()

    def run_with_iobinding(self, binding: Binding, options: Any) -> None:
        from simulated_device import DEVICE, Work

        self.runtime.run_options.append(options.entries)
        bound = binding.bound

        def run() -> None:
            feeds = {}
            for name, (kind, number, dtype, shape, address) in bound.items():
                assert (kind, number) == ("cuda", 0)
                if name not in self.outputs:
                    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
                    feeds[name] = DEVICE.view(address, size).copy().view(dtype).reshape(shape)
            for name, made in zip(self.outputs, self._real.run(self.outputs, feeds), strict=True):
                DEVICE.view(bound[name][4], made.nbytes)[:] = made.reshape(-1).view(np.uint8)

        DEVICE.put(int(self.runtime.asked[0][1]["user_compute_stream"]), Work(90_000, run, kernel=True))


class RunOptions:
    """Keeps what was set."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_run_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class PretendedRuntime:
    """The module onnxruntime, with CUDA."""

    __version__ = onnxruntime.__version__
    SessionOptions = onnxruntime.SessionOptions
    GraphOptimizationLevel = onnxruntime.GraphOptimizationLevel
    RunOptions = RunOptions

    def __init__(self, given: list[str], failure: str = "") -> None:
        self.given = given
        self.failure = failure
        self.asked: list[Any] = []
        self.run_options: list[dict[str, str]] = []

    def InferenceSession(self, path: str, options: Any, *, providers: list[Any]) -> PretendedSession:
        return PretendedSession(self, path, options, providers)


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


def _session(runtime: PretendedRuntime, request: OpenRequest, **options: Any) -> OnnxRuntimeCudaSession:
    arguments = {"provider": CUDA, "graph": False, **options}
    return OnnxRuntimeCudaSession(runtime, open_layer("cuda-bindings"), request, **arguments)


@pytest.mark.parametrize("graph", [False, True])
def test_outputs_times_and_what_was_asked(
    graph: bool, simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    runtime = PretendedRuntime([CUDA, CPU])
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
    assert graphs == (["0", "1", "0", "1"] if graph else [None] * 4), "each slot has buffers and so a graph of its own"
    evidence = session.evidence()
    assert evidence.backend == ("onnxruntime-cuda-graph" if graph else "onnxruntime-cuda")
    assert evidence.simulated
    session.close()
    assert simulation.DEVICE.used_bytes == 0


@pytest.mark.parametrize(("precision", "tf32"), [(Precision.FP32, "0"), (Precision.TF32, "1"), (Precision.FP16, "0")])
def test_tf32_is_only_allowed_where_it_was_asked_for(
    precision: Precision, tf32: str, simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path
) -> None:
    runtime = PretendedRuntime([CUDA, CPU])
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
    runtime = PretendedRuntime([TENSORRT, CUDA, CPU])
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
        _session(PretendedRuntime([CPU]), _request(lenet_fp32, backend_root))
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
        _session(PretendedRuntime([CUDA, CPU], failure), _request(lenet_fp32, backend_root))
    assert failure in str(error.value)


def test_nodes_on_the_cpu_and_copies_are_counted(
    simulation: ModuleType, lenet_fp32: OnnxArtifact, backend_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = PretendedRuntime([CUDA, CPU])
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
    with simulated():
        state = BACKENDS.get(name).probe()
        if name == "onnxruntime-cuda":
            assert state.usable
        else:
            assert "libnvinfer.so.10" in state.reason, "TensorRT 10's library is not here"
