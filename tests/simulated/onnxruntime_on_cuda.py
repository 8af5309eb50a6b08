"""What would ONNX Runtime's CUDA provider do on the simulated device? The real runtime computes, on the CPU.

Kept are the rules that its users run into (onnxruntime/core/providers/cuda/cuda_graph.cc and
cuda_execution_provider.cc): memory comes from an arena, which grows by cudaMalloc in the first run of a thread; graphs
belong to the thread that ran, are captured in the global mode in which no other thread may allocate, and are replayed
without a look at what is bound; a session with graphs cannot be made where nodes are left to the CPU. The TensorRT
provider builds its engine in the first run and, where it is told to, keeps it in a folder under a name that has nothing
of the weights in it.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

CPU, TENSORRT = "CPUExecutionProvider", "TensorrtExecutionProvider"
ARENA_BYTES = 3 << 20
REFUSED = (
    "[ONNXRuntimeError] : 1 : FAIL : This session cannot use the graph capture feature as requested by the user as all "
    "compute graph nodes have not been partitioned to the CUDAExecutionProvider"
)


class Binding:
    """Keeps what was bound."""

    def __init__(self) -> None:
        self.bound: dict[str, tuple[Any, ...]] = {}

    def bind_input(self, name: str, *where: Any) -> None:
        self.bound[name] = where

    bind_output = bind_input


class RunOptions:
    """Keeps what was set."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_run_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class SimulatedSession:
    """A session; see the module."""

    def __init__(self, runtime: SimulatedRuntime, path: str, options: Any, providers: list[Any]) -> None:
        from simulated_device import DEVICE

        self._device = DEVICE
        if runtime.log:
            os.write(2, runtime.log.encode())  # its log goes past Python
        if runtime.failure:
            raise RuntimeError(runtime.failure)
        runtime.asked = providers
        first = providers[0]
        asked = first[1] if isinstance(first, tuple) else {}
        self._graphs_wanted = asked.get("enable_cuda_graph") == "1"
        if self._graphs_wanted and runtime.nodes_on_cpu:
            raise RuntimeError(REFUSED)
        self.runtime = runtime
        self._stream = int(asked.get("user_compute_stream", 0))
        self._real = onnxruntime.InferenceSession(path, options, providers=[CPU])
        self.outputs = [output.name for output in self._real.get_outputs()]
        self._kept = asked.get("trt_engine_cache_path") if asked.get("trt_engine_cache_enable") == "1" else None
        self._built = first[0] != TENSORRT if isinstance(first, tuple) else True
        self._graphs: dict[tuple[int, str], Any] = {}
        self._arena: dict[int, int] = {}

    def __del__(self) -> None:
        for graph in getattr(self, "_graphs", {}).values():
            self._device.destroy_graph(graph)
        for address in getattr(self, "_arena", {}).values():
            self._device.free(address)

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
        from simulated_device import DEVICE, GLOBAL, Fault

        self.runtime.run_options.append(options.entries)
        self._need_engine()
        name = options.entries.get("gpu_graph_id", "0")
        thread = threading.get_ident()
        try:
            if not self._graphs_wanted or name == "-1":
                self._start(thread, binding)
                return
            if (thread, name) not in self._graphs:
                self._start(thread, binding)  # as often as memory needs, then once more to capture
                if self.runtime.captures_nothing:
                    return
                DEVICE.run(DEVICE.stream_of(self._stream))
                DEVICE.begin_capture(self._stream, GLOBAL)
                try:
                    self.runtime.while_capturing()
                    self._start(thread, binding)
                finally:
                    captured = DEVICE.end_capture(self._stream)
                self._graphs[thread, name] = DEVICE.instantiate(captured)
                DEVICE.destroy_graph(captured)
                self.runtime.captured.append((thread, name))
            DEVICE.launch(self._graphs[thread, name], self._stream)
            if self.runtime.replay_waits:
                DEVICE.run(DEVICE.stream_of(self._stream))
        except Fault as fault:
            raise RuntimeError(f"CUDA failure: {fault}") from fault

    def _need_engine(self) -> None:
        if self._built:
            return
        self._built = True
        file = (
            Path(self._kept, f"TensorrtExecutionProvider_TRTKernel_{self._device.knobs['target']}.engine")
            if self._kept
            else None
        )
        if file is not None and file.exists():
            if not file.read_bytes().endswith(b"whole"):
                raise RuntimeError("[ONNXRuntimeError] TensorRT EP could not deserialize engine from cache")
            return
        self.runtime.engines_built += 1
        if file is not None:
            file.write_bytes(f"engine {self.runtime.engines_built} whole".encode())

    def _start(self, thread: int, binding: Binding) -> None:
        from simulated_device import DEVICE, Work

        if thread not in self._arena:
            self._arena[thread] = DEVICE.allocate(ARENA_BYTES)
        bound, real, outputs = dict(binding.bound), self._real, self.outputs  # no graph may keep its session alive

        def run() -> None:
            feeds = {}
            for name, (kind, number, dtype, shape, address) in bound.items():
                assert (kind, number) == ("cuda", 0)
                if name not in outputs:
                    kind = numpy_type(dtype)
                    size = int(np.prod(shape)) * kind.itemsize
                    feeds[name] = DEVICE.view(address, size).copy().view(kind).reshape(shape)
            for name, made in zip(outputs, real.run(outputs, feeds), strict=True):
                DEVICE.view(bound[name][4], made.nbytes)[:] = made.reshape(-1).view(np.uint8)

        DEVICE.put(self._stream, Work(90_000, run, kernel=True))


def numpy_type(dtype: Any) -> np.dtype[Any]:
    """What ``bind_input`` takes: a NumPy type of NumPy's own, or the number of an ONNX type."""
    if isinstance(dtype, int):
        import onnx

        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(dtype))
    assert np.dtype(dtype).isbuiltin == 1, f"{dtype} is no type of NumPy's own: the real call raises KeyError"
    return np.dtype(dtype)


class SimulatedRuntime:
    """The module onnxruntime, with CUDA.

    Args:
        given: the providers that a session reports.
        failure: what making a session raises.
        log: what it writes on standard error.
        nodes_on_cpu: whether some nodes have no kernel for the GPU.
        captures_nothing: whether no graph is ever captured although they were asked for.
        replay_waits: whether a replay waits for the device, as it did until pull request 28686.
    """

    __version__ = onnxruntime.__version__
    SessionOptions = onnxruntime.SessionOptions
    GraphOptimizationLevel = onnxruntime.GraphOptimizationLevel
    RunOptions = RunOptions

    def __init__(
        self,
        given: list[str],
        failure: str = "",
        *,
        log: str = "",
        nodes_on_cpu: bool = False,
        captures_nothing: bool = False,
        replay_waits: bool = False,
    ) -> None:
        self.given = given
        self.failure = failure
        self.log = log
        self.nodes_on_cpu = nodes_on_cpu
        self.captures_nothing = captures_nothing
        self.replay_waits = replay_waits
        self.asked: list[Any] = []
        self.run_options: list[dict[str, str]] = []
        self.captured: list[tuple[int, str]] = []
        self.engines_built = 0
        self.while_capturing: Any = lambda: None

    def InferenceSession(self, path: str, options: Any, *, providers: list[Any]) -> SimulatedSession:
        return SimulatedSession(self, path, options, providers)
