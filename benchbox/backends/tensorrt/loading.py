"""How is an engine loaded, and which contexts run it?

Loading reads weights to the device, once however many contexts run the engine: as with trtexec's ``--infStreams``,
streams of mode concurrent share one engine, each with a context, working memory and buffers of its own.
"""

from __future__ import annotations

import re
from typing import Any

from benchbox.backends.base import OpenRequest
from benchbox.backends.cuda.interface import CudaLayer
from benchbox.backends.tensorrt.allocator import tracking_allocator
from benchbox.backends.tensorrt.journal import errors_in, journal
from benchbox.backends.tensorrt.kernels import KernelCache
from benchbox.backends.tensorrt.plugins import register_plugins
from benchbox.backends.tensorrt.validity import require_loadable
from benchbox.backends.tensorrt.vendor import Bindings
from benchbox.errors import ArtifactError, BenchboxError, DeviceMemoryError, UsageError

_OUT_OF_MEMORY = re.compile(r"OutOfMemory|out of memory|cudaErrorMemoryAllocation", re.IGNORECASE)


class LoadedEngine:
    """A runtime with one engine, for contexts that end before it.

    Args:
        bindings: of the vendor that built the engine.
        layer: CUDA, whose context is there already.
        request: ``engine_path`` is the engine; it must have exactly the inputs and outputs.

    Raises:
        ArtifactError: the runtime refuses the engine, or it has other inputs and outputs.
        UsageError: it reads an input on the host.
        DeviceMemoryError: its weights do not fit.
    """

    def __init__(self, bindings: Bindings, layer: CudaLayer, request: OpenRequest) -> None:
        assert request.engine_path is not None, "a backend that runs engines is given one"
        path = request.engine_path
        self._bindings = bindings
        self._log, self._lines = journal(bindings.api, info=False)
        self.contexts = 0
        """How many contexts were made."""
        content = path.read_bytes()
        require_loadable(bindings, content, name=path.name)
        register_plugins(bindings, self._log)
        self.tracker = tracking_allocator(bindings, layer) if request.track_memory else None
        self.kernels = KernelCache(bindings, path, target=layer.gpu().target)
        try:
            self._runtime = bindings.api.Runtime(self._log)
            if self.tracker is not None:
                self._runtime.gpu_allocator = self.tracker
            self._engine = self._runtime.deserialize_cuda_engine(content)
            if self._engine is None:
                raise self.refusal(f"{bindings.vendor.title} {bindings.version} cannot load the engine {path.name}")
            self._require_tensors(request)
        except BaseException:
            self.close()
            raise

    @property
    def engine(self) -> Any:
        """The vendor's object."""
        return self._engine

    @property
    def errors(self) -> tuple[str, ...]:
        """What the vendor has called an error so far."""
        return errors_in(self._lines)

    def context(self, *, captures: bool, nvtx: str) -> Any:
        """A new context whose working memory is the caller's.

        Args:
            captures: whether a runtime that captures CUDA graphs by itself is to do so.
            nvtx: how much it tells profilers while it runs, of ProfilingVerbosity. Engines are built with DETAILED, for
                the inspector; at run time that slows every enqueue (NvInferRuntime.h, setNvtxVerbosity).

        Raises:
            BenchboxError: as ``refusal`` says.
        """
        api = self._bindings.api
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(api.ExecutionContextAllocationStrategy.USER_MANAGED)
        if captures and hasattr(config, "cuda_graph_strategy"):
            config.cuda_graph_strategy = api.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        self.kernels.configure(config)
        context = self._engine.create_execution_context(config)
        if context is None:
            raise self.refusal(
                f"{self._bindings.vendor.title} {self._bindings.version} cannot make an execution context"
            )
        context.nvtx_verbosity = getattr(api.ProfilingVerbosity, nvtx.upper())
        self.contexts += 1
        return context

    @property
    def captures_itself(self) -> bool:
        """Whether the runtime captures CUDA graphs: TensorRT-RTX, which compiles kernels while it runs, does."""
        return hasattr(self._engine.create_runtime_config(), "cuda_graph_strategy")

    def refusal(self, what: str) -> BenchboxError:
        """The error for something that the vendor refuses, with its reasons."""
        reasons = "\n".join(self.errors) or "it gives no reason"
        if _OUT_OF_MEMORY.search(reasons):
            return DeviceMemoryError(what, values=reasons, remedy="try a smaller --batch, or end others on the GPU")
        return ArtifactError(what, values=reasons, remedy="build it again on this machine with 'benchbox build'")

    def _require_tensors(self, request: OpenRequest) -> None:
        """The engine must have exactly the network's inputs and outputs."""
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        wanted = [spec.name for spec in (*request.inputs, *request.outputs)]
        if sorted(names) != sorted(wanted):
            raise ArtifactError(
                "the engine is of another network",
                values=f"it has {', '.join(sorted(names))}; the network has {', '.join(sorted(wanted))}",
                remedy="build it again with 'benchbox build'",
            )
        for name in names:
            if self._engine.get_tensor_location(name) != self._bindings.api.TensorLocation.DEVICE:
                raise UsageError(
                    f"{self._bindings.vendor.title} reads {name} on the host: it says what shape something has",
                    remedy="make the shape a constant of the network, or measure it with --backend onnxruntime-cuda",
                )

    def close(self) -> None:
        """Drops the engine, then the runtime; no context may be left."""
        for name in ("_engine", "_runtime"):
            if hasattr(self, name):
                delattr(self, name)
