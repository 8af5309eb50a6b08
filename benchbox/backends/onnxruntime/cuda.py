"""How does ONNX Runtime run a network on an NVIDIA GPU: by its CUDA provider, or by its TensorRT provider?

Inputs and outputs are bound to device memory of ours, the provider works on our stream, and a run does not wait for the
device: an inference is what it is for every other backend. With and without CUDA graph are two backends; the provider
keeps its graphs by the thread that ran, captures them when a slot first runs there, and does not report them: a session
captures all when it is opened and then sees for itself that a replay pays no attention to what is bound. ONNX Runtime
falls back to the CPU without a word, whole or node by node: the session that was asked for must be the one that was
given, and nodes that landed on the CPU are counted.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchbox.backends.base import BACKENDS, BASE, Availability, OpenRequest
from benchbox.backends.clock import HostStopwatch
from benchbox.backends.cuda.gate import StreamGate
from benchbox.backends.cuda.laps import EventLaps
from benchbox.backends.cuda.slots import DeviceSlots
from benchbox.backends.onnxruntime.cpu import executed_precisions, only_wheel
from benchbox.backends.onnxruntime.engines import TENSORRT_LIBRARY, EngineFolder, tensorrt_version
from benchbox.backends.onnxruntime.graphs import GRAPH_UNSEEN, GRAPH_USED, replay_was_seen
from benchbox.backends.onnxruntime.libraries import library_lack, preload, provider_folder
from benchbox.backends.onnxruntime.native_log import native_stderr
from benchbox.backends.onnxruntime.profile import COPIES, layers_from_profile
from benchbox.backends.onnxruntime.refusing import not_loaded
from benchbox.backends.onnxruntime.types import runtime_type
from benchbox.errors import (
    BenchboxError,
    DeviceMemoryError,
    EnvironmentLackError,
    MeasurementError,
    UsageError,
)
from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.model import Precision
from benchbox.schema.proof import tf32_option
from benchbox.schema.trial import Evidence

if TYPE_CHECKING:
    import numpy as np

    from benchbox.backends.base import Arrays
    from benchbox.backends.cuda.interface import CudaLayer

CUDA, TENSORRT, CPU = "CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"
WHEEL = "onnxruntime-gpu"
_NO_GRAPH = "cannot use the graph capture feature"
_OUT_OF_MEMORY = re.compile(r"allocate memory|out of memory|CUDA failure 2\b|BFCArena", re.IGNORECASE)
_TF32_VARIABLE = "NVIDIA_TF32_OVERRIDE"
_REFUSALS = {
    Precision.FP64: "fp64 on ONNX Runtime's GPU providers was never checked; --backend onnxruntime measures it",
    Precision.BF16: "ONNX Runtime's CUDA provider has no bf16 convolutions",
    Precision.INT8: "ONNX Runtime's CUDA provider computes Q/DQ graphs in floating point",
    Precision.FP8: "ONNX Runtime's CUDA provider computes Q/DQ graphs in floating point",
}


class OnnxRuntimeCuda:
    """ONNX Runtime with the CUDA execution provider."""

    name: ClassVar[str] = "onnxruntime-cuda"
    device: ClassVar[str] = "cuda"
    consumes: ClassVar[str] = "onnx"
    virtual: ClassVar[bool] = False
    rank: ClassVar[int] = 20
    provider: ClassVar[str] = CUDA
    library: ClassVar[str] = "libonnxruntime_providers_cuda.so"
    graph: ClassVar[bool] = False

    def probe(self) -> Availability:
        """Whether the GPU wheel is the one installed, a GPU is there, and the provider's libraries load."""
        from benchbox.backends.cuda.choice import ready_gpu

        wheel = only_wheel("gpu")
        if not wheel.usable:
            return wheel
        try:
            import onnxruntime

            providers = onnxruntime.get_available_providers()
        except Exception as error:  # a broken wheel may raise anything; a probe never does
            return Availability(usable=False, reason=f"ONNX Runtime does not import: {error}", remedy="reinstall it")
        version = str(onnxruntime.__version__)
        if self.provider not in providers:
            return Availability(
                usable=False,
                version=version,
                reason=f"this ONNX Runtime {version} is built without {self.provider}",
                remedy="pip uninstall onnxruntime, then pip install 'benchbox[gpu]'",
            )
        try:
            gpu = str(ready_gpu())
        except BenchboxError as error:
            reason = ": ".join(part for part in (error.what, error.values) if part)
            return Availability(usable=False, version=version, reason=reason, remedy=error.remedy)
        lack = self._tensorrt_lack()
        if lack:
            return Availability(usable=False, version=version, reason=lack, remedy="pip install 'tensorrt>=10.13,<11'")
        preload(onnxruntime)
        folder = provider_folder()
        lack = library_lack(self.library, folder) if folder is not None else ""
        if lack:
            return Availability(
                usable=False,
                version=version,
                reason=f"{self.provider} of ONNX Runtime {version}: {lack}",
                remedy="pip install 'onnxruntime-gpu[cuda,cudnn]', or install CUDA and cuDNN of the wheel's versions",
            )
        return Availability(usable=True, version=version, device=gpu)

    def _tensorrt_lack(self) -> str:
        """Why TensorRT's library cannot be loaded, "" if it can or is not needed."""
        return ""

    def refusal(self, precision: Precision) -> str | None:
        """fp32, tf32 and fp16 run; fp64 would in part, and TensorRT has none."""
        return _REFUSALS.get(precision)

    def open(self, request: OpenRequest) -> OnnxRuntimeCudaSession:
        """A session on the GPU.

        Raises:
            EnvironmentLackError: ONNX Runtime, its provider or a GPU is missing.
            UsageError: a CUDA graph was asked for, and the network cannot be one as a whole.
            ArtifactError: the file cannot be loaded.
            DeviceMemoryError: it does not fit.
        """
        from benchbox.backends.cuda.choice import open_layer

        state = self.probe()
        if not state.usable:
            raise EnvironmentLackError(f"{self.name} cannot run here", values=state.reason, remedy=state.remedy)
        import onnxruntime

        preload(onnxruntime)
        return OnnxRuntimeCudaSession(onnxruntime, open_layer(), request, provider=self.provider, graph=self.graph)


class OnnxRuntimeCudaGraph(OnnxRuntimeCuda):
    """ONNX Runtime's CUDA provider, each inference the replay of a CUDA graph that it captured."""

    name: ClassVar[str] = "onnxruntime-cuda-graph"
    rank: ClassVar[int] = -1
    graph: ClassVar[bool] = True


class OnnxRuntimeTensorRt(OnnxRuntimeCuda):
    """ONNX Runtime with the TensorRT execution provider, the CUDA provider behind it."""

    name: ClassVar[str] = "onnxruntime-tensorrt"
    rank: ClassVar[int] = -1
    provider: ClassVar[str] = TENSORRT
    library: ClassVar[str] = "libonnxruntime_providers_tensorrt.so"

    def _tensorrt_lack(self) -> str:
        try:
            ctypes.CDLL(TENSORRT_LIBRARY)
        except OSError as error:
            return f"the TensorRT provider of the {WHEEL} wheel needs {TENSORRT_LIBRARY}: {error}"
        return ""


class OnnxRuntimeCudaSession:
    """One ONNX file on the GPU, with inputs and outputs bound to device memory, slot by slot.

    Args:
        runtime: the module ``onnxruntime``.
        layer: CUDA; the session closes it.
        request: what to open.
        provider: the execution provider that must be given.
        graph: let the provider capture a CUDA graph a slot.
    """

    def __init__(self, runtime: Any, layer: CudaLayer, request: OpenRequest, *, provider: str, graph: bool) -> None:
        self.stopwatch = HostStopwatch()
        self._runtime = runtime
        self._layer = layer
        self._request = request
        self._provider = provider
        self._graph = graph
        self._closing = ExitStack()
        self._told: tuple[ExecutedLayer, ...] | None = None
        self._engines: EngineFolder | None = None
        self.capture_s = 0.0
        self._folder = Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="benchbox-ort-")))
        with ExitStack() as failing:
            failing.callback(self.close)
            self._closing.callback(layer.close)
            self._free = self._lowest = layer.memory().free_bytes
            self._stream = layer.stream()
            self._closing.callback(layer.destroy_stream, self._stream)
            self._engines = self._engine_folder()
            self._session = self._loaded()
            self._slots = DeviceSlots(
                layer, self._stream, inputs=request.inputs, outputs=request.outputs, count=request.slots
            )
            self._closing.callback(self._slots.close)
            self.laps = EventLaps(layer, self._stream)
            self._closing.callback(self.laps.close)
            self._run = [self._bound(slot, self._slots.addresses(slot)) for slot in range(request.slots)]
            self._graph_state = self._captured() if graph else "off"
            failing.pop_all()

    def _loaded(self) -> Any:
        path = self._request.onnx_path
        assert path is not None, "a backend that consumes ONNX is given a file"
        with native_stderr() as log:
            session = self._made(path)
        given = session.get_providers()
        if not given or given[0] != self._provider:
            raise EnvironmentLackError(
                f"ONNX Runtime did not give {self._provider}",
                values="\n".join((f"it would have run on {', '.join(given)}", *log.errors())),
                remedy="install what it lacks: pip install 'onnxruntime-gpu[cuda,cudnn]'",
            )
        return session

    def _made(self, path: Path) -> Any:
        try:
            return self._runtime.InferenceSession(str(path), self._options(), providers=self._providers())
        except Exception as error:  # ONNX Runtime's errors share no public base class
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            if _NO_GRAPH in text:
                raise UsageError(
                    "ONNX Runtime cannot run this network as a CUDA graph",
                    values=text,
                    remedy="use --backend onnxruntime-cuda, or an --opset that its GPU kernels cover",
                ) from error
            if _OUT_OF_MEMORY.search(text):
                raise DeviceMemoryError(
                    "the GPU ran out of memory",
                    values=f"batch {self._request.inputs[0].shape[0]}: {text}",
                    remedy="try a smaller --batch, or end other processes on the GPU",
                ) from error
            raise not_loaded(path, error) from error

    def _captured(self) -> str:
        """Runs every slot once, which captures its graph, and tells whether a replay was seen."""
        begin = time.perf_counter()
        for run in self._run:
            run()
            self._layer.synchronize(self._stream)
        self.capture_s = time.perf_counter() - begin
        inputs = {spec.name: self._slots.addresses(0)[spec.name] for spec in self._request.inputs}
        seen = replay_was_seen(
            self._layer, self._stream, self._request.outputs, lambda outputs: self._bound(0, {**inputs, **outputs})()
        )
        return GRAPH_USED if seen else GRAPH_UNSEEN

    def _options(self) -> Any:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = self._request.threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = self._runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 4
        if self._request.inspect:
            options.enable_profiling = True
            options.profile_file_prefix = str(self._folder / "profile")
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        return options

    def _providers(self) -> list[Any]:
        tf32 = self._request.precision is Precision.TF32
        cuda = (
            CUDA,
            {
                "device_id": "0",
                "user_compute_stream": str(self._layer.handle(self._stream)),
                "use_tf32": str(int(tf32)),
                "enable_cuda_graph": str(int(self._graph and self._provider == CUDA)),
            },
        )
        if self._provider == CUDA:
            return [cuda, CPU]
        # The provider has no switch for TF32; the libraries below it read this when they start.
        os.environ[_TF32_VARIABLE] = str(int(tf32))
        tensorrt = (
            TENSORRT,
            {
                "device_id": "0",
                "user_compute_stream": str(self._layer.handle(self._stream)),
                "trt_fp16_enable": str(int(self._request.precision is Precision.FP16)),
                "trt_cuda_graph_enable": str(int(self._graph)),
                **(self._engines.options() if self._engines is not None else {"trt_engine_cache_enable": "0"}),
            },
        )
        return [tensorrt, cuda, CPU]

    def _engine_folder(self) -> EngineFolder | None:
        """Where the TensorRT provider keeps its engines; None for another provider, or where none are to be kept."""
        kept = self._request.kept
        if kept is None or self._provider != TENSORRT:
            return None
        versions = {"onnxruntime": str(self._runtime.__version__), "tensorrt": tensorrt_version()}
        return EngineFolder(kept, gpu=str(self._layer.gpu()), versions=versions)

    def _bound(self, slot: int, addresses: Mapping[str, int]) -> partial[Any]:
        """The call that runs a slot on these buffers, by its own graph where graphs are captured."""
        binding = self._session.io_binding()
        for spec in self._request.inputs:
            shape, kind = list(spec.shape), runtime_type(spec.dtype)
            binding.bind_input(spec.name, "cuda", 0, kind, shape, addresses[spec.name])
        for spec in self._request.outputs:
            shape, kind = list(spec.shape), runtime_type(spec.dtype)
            binding.bind_output(spec.name, "cuda", 0, kind, shape, addresses[spec.name])
        options = self._runtime.RunOptions()
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        if self._graph:
            options.add_run_config_entry("gpu_graph_id", str(slot))
        return partial(self._session.run_with_iobinding, binding, options)

    def upload(self, slot: int, arrays: Arrays) -> None:
        """Copies the inputs to the slot's device buffers."""
        self._slots.upload(slot, arrays)

    def enqueue(self, slot: int) -> None:
        """Starts one inference between the two events of its lap."""
        self.laps.around(self._run[slot])

    def synchronize(self) -> None:
        """Waits for the stream."""
        self._layer.synchronize(self._stream)

    def download(self, slot: int) -> dict[str, np.ndarray]:
        """The slot's outputs, on the host."""
        return self._slots.download(slot)

    def device_memory(self) -> dict[str, int]:
        """How the device's free memory fell; the provider's arena is inside and says nothing by itself."""
        free = self._layer.memory().free_bytes
        self._lowest = min(self._lowest, free)
        return {
            "device_delta": self._free - self._lowest,
            "device_held": self._free - free,
            "buffers": self._slots.bytes_per_slot * self._request.slots,
            BASE: self._free,
        }

    def transfer_ns(self, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Device times of copying a slot's inputs in and its outputs out, from and to pinned memory."""
        return self._slots.transfer_ns(count)

    def gate(self) -> StreamGate:
        """Holds the stream of the inferences back."""
        return StreamGate(self._layer.handle(self._stream))

    def flush_cache(self) -> None:
        """Fills the device's caches with something else."""
        self._slots.flush_cache()

    def evidence(self) -> Evidence:
        """Providers and options as the session reports them; if inspected, nodes by provider and executed types."""
        gpu = self._layer.gpu()
        options = {
            **tf32_option(has=gpu.has_tf32, allowed=self._tf32_allowed()),
            "cuda_layer": self._layer.name,
            **gpu.options(),
            "cuda_graph": self._graph_state,
            "provider_options": json.dumps(
                self._session.get_provider_options().get(self._provider, {}), sort_keys=True
            ),
            "api": "run_with_iobinding",
        }
        if self._engines is not None:
            options["engine_cache"] = self._engines.digest
        if self._request.inspect:
            options["nodes"] = json.dumps(nodes_by_provider(self._session))
            options["copies"] = str(sum(layer.kind in COPIES for layer in self.reported_layers()))
        return Evidence(
            backend=next(backend.name for backend in _BACKENDS if self._is(backend)),
            device=str(gpu),
            providers=tuple(self._session.get_providers()),
            threads=self._request.threads,
            executed=executed_precisions(self.reported_layers()) if self._request.inspect else None,
            options=options,
            versions={"onnxruntime": str(self._runtime.__version__), **self._layer.versions()},
            simulated=gpu.simulated,
        )

    def reported_layers(self) -> tuple[ExecutedLayer, ...]:
        """The nodes that ran, from the profile, which ends here; only in a session opened for inspection."""
        assert self._request.inspect, "a session that is not inspected keeps no profile"
        if self._told is None:
            self._told = layers_from_profile(json.loads(Path(self._session.end_profiling()).read_text()), skip=0)
        return self._told

    def _tf32_allowed(self) -> bool:
        """As the provider reports it; the TensorRT provider reads it from the environment and reports nothing."""
        if self._provider == TENSORRT:
            return os.environ.get(_TF32_VARIABLE) != "0"
        return bool(self._session.get_provider_options()[self._provider]["use_tf32"] == "1")

    def _is(self, backend: OnnxRuntimeCuda) -> bool:
        return backend.provider == self._provider and backend.graph == self._graph

    def close(self) -> None:
        """Gives everything back, the session before the memory that it is bound to; an error on its way stays."""
        failing = sys.exception() is not None
        with suppress(MeasurementError) if failing else nullcontext(), self._closing:
            self._run = []
            if hasattr(self, "_session"):
                self._layer.synchronize(self._stream)
                del self._session
            if self._engines is not None:
                self._engines.close(keep=not failing)


def nodes_by_provider(session: Any) -> dict[str, int]:
    """How many nodes each execution provider was given; empty where this version does not report it."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return {}
    counts: dict[str, int] = {}
    for part in session.get_provider_graph_assignment_info():
        nodes = part.get_nodes() if hasattr(part, "get_nodes") else part.nodes
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(nodes)
    return counts


_BACKENDS = (OnnxRuntimeCuda(), OnnxRuntimeCudaGraph(), OnnxRuntimeTensorRt())
for _backend in _BACKENDS:
    BACKENDS.register(_backend.name, _backend)
