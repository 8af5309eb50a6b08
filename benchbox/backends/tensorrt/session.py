"""How does an engine run?

One execution context on one stream. Its working memory is ours (user-managed), sized for the actual shapes, so that it
is known to the byte. Inputs and outputs lie in slots on the device; before each inference the context is pointed at the
slot's buffers, or a CUDA graph that was captured with them is launched. A runtime that captures by itself does it anew
whenever an address changes: there the context stays with buffers of its own, which a slot's inputs are copied to first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from benchbox.backends.base import BASE, TRACKED, OpenRequest
from benchbox.backends.clock import HostStopwatch
from benchbox.backends.cuda.gate import StreamGate
from benchbox.backends.cuda.interface import CudaLayer, Graph
from benchbox.backends.cuda.laps import EventLaps
from benchbox.backends.cuda.queries import Queries, QueryLaps
from benchbox.backends.cuda.slots import DeviceSlots
from benchbox.backends.tensorrt.builder import TF32
from benchbox.backends.tensorrt.dependent import NO_GRAPH, DependentOutputs
from benchbox.backends.tensorrt.inspector import executed_precisions, layers_from_inspection, with_times
from benchbox.backends.tensorrt.loading import LoadedEngine
from benchbox.backends.tensorrt.plugins import plugin_libraries
from benchbox.backends.tensorrt.profiling import layer_times
from benchbox.backends.tensorrt.vendor import Bindings
from benchbox.errors import ArtifactError, MeasurementError, UsageError
from benchbox.schema.engine import BUILT_ELSEWHERE
from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.plan import WAIT_BLOCKING, WAIT_SPIN
from benchbox.schema.proof import tf32_option
from benchbox.schema.trial import Evidence

if TYPE_CHECKING:
    import numpy as np

    from benchbox.backends.base import Arrays
    from benchbox.schema.artifact import TensorSpec

GRAPH_USED = "whole inference"
FIXED = "one set, which a slot's inputs are copied to on the device before each inference"
GRAPH_LEFT = "whole inference, left to the runtime"  # which does not report what it captured


class TensorRtSession:
    """One engine, loaded and ready, with resident inputs and outputs.

    Args:
        bindings: of the vendor that built the engine.
        layer: CUDA; the session closes it.
        request: what to open; ``engine_path`` is the engine.
        graph: launch a captured CUDA graph instead of the context. Where capturing fails the context is used and the
            evidence says why.
        loaded: the engine of another session, which is closed after this one; None to load it.

    Raises:
        ArtifactError: the runtime refuses the engine, or it does not have the network's inputs and outputs.
        UsageError: the shapes are outside the engine's profile.
        DeviceMemoryError: weights, working memory or buffers do not fit.
    """

    def __init__(
        self,
        bindings: Bindings,
        layer: CudaLayer,
        request: OpenRequest,
        *,
        graph: bool,
        loaded: LoadedEngine | None = None,
    ) -> None:
        self.stopwatch = HostStopwatch()
        self._bindings = bindings
        self._layer = layer
        self._request = request
        self._closing = ExitStack()
        self._graphs: list[Graph] = []
        self._launch: list[Callable[[], None]] = []
        self._wants_graph = graph
        self._captures_itself = False
        self._graph_state = "off"
        self.capture_s = 0.0
        self._bound_slot: int | None = None
        self._fixed_slot: int | None = None
        self._ran_slot: int | None = None
        self._sized: list[TensorSpec] = []
        self._unsized: list[TensorSpec] = []
        self._dependent: DependentOutputs | None = None
        self.memory: dict[str, int] = {}
        with ExitStack() as failing:
            failing.callback(self.close)
            self._closing.callback(layer.close)
            self._base = layer.memory()
            self._lowest_free = self._base.free_bytes
            self._stream = layer.stream()
            self._closing.callback(layer.destroy_stream, self._stream)
            self._handle = layer.handle(self._stream)
            if loaded is None:
                loaded = LoadedEngine(bindings, layer, request)
                self._closing.callback(loaded.close)
            self._loaded = loaded
            self._make_context()
            self._shape()
            # Of several slots, one more is that which the context stays with.
            several = request.slots > 1 and not request.transfers
            self._fixed_slot = request.slots if self._captures_itself and several else None
            count = request.slots + (self._fixed_slot is not None)
            self._slots = DeviceSlots(layer, self._stream, inputs=request.inputs, outputs=self._sized, count=count)
            self._closing.callback(self._slots.close)
            if self._unsized:
                self._dependent = DependentOutputs(bindings, layer, self._context, self._unsized, count=count)
                self._closing.callback(self._dependent.close)
            self._open_laps()
            if graph and not self._captures_itself and self._dependent is None:
                self._capture_all()
            self._note_memory()
            loaded.kernels.keep()
            failing.pop_all()

    def _open_laps(self) -> None:
        """Events around each inference, and where they are a part of it around its copies."""
        layer, request = self._layer, self._request
        self._queries: Queries | None = None
        if not request.transfers:
            self.laps = EventLaps(layer, self._stream, blocking=request.blocking)
            self._closing.callback(self.laps.close)
            return
        laps = QueryLaps(layer, self._stream, blocking=request.blocking)
        self._closing.callback(laps.close)
        self.laps = laps
        self._queries = Queries(
            layer, laps, self._slots, inputs=request.inputs, outputs=self._sized, count=request.slots
        )
        self._closing.callback(self._queries.close)

    @property
    def _engine(self) -> Any:
        return self._loaded.engine

    def another(self) -> TensorRtSession:
        """A further session on the same engine, to be closed before this one; raises what the constructor raises."""
        from benchbox.backends.cuda.choice import open_layer

        return TensorRtSession(
            self._bindings, open_layer(), self._request, graph=self._wants_graph, loaded=self._loaded
        )

    def _make_context(self) -> None:
        self._captures_itself = self._wants_graph and self._loaded.captures_itself
        self._context = self._loaded.context(captures=self._captures_itself, nvtx=self._request.nvtx)
        if self._captures_itself:
            self._graph_state = self._what_the_runtime_captures()

    def _what_the_runtime_captures(self) -> str:
        if self._request.transfers and self._request.slots > 1:
            return "failed: inputs are copied to buffers of their own each time, and the runtime captures anew for each"
        if hasattr(self._context, "is_stream_capturable") and not self._context.is_stream_capturable(self._handle):
            return "failed: the runtime says that this engine's work cannot be captured"
        return GRAPH_LEFT

    def _shape(self) -> None:
        """Shapes first, then working memory, which depends on them; addresses come with the slots."""
        for spec in self._request.inputs:
            shape = tuple(size or 0 for size in spec.shape)
            if not self._context.set_input_shape(spec.name, shape):
                low, _, high = self._engine.get_tensor_profile_shape(spec.name, 0)
                raise UsageError(
                    "the engine does not accept this input shape",
                    values=f"{spec.name} {shape}; its profile is {tuple(low)} to {tuple(high)}",
                    remedy="build it for this batch size: benchbox build --batch MIN:OPT:MAX",
                )
        for spec in self._request.outputs:
            made = tuple(self._context.get_tensor_shape(spec.name))
            alike = len(made) == len(spec.shape)
            if not alike or not all(
                size in (None, found) or found < 0 for size, found in zip(spec.shape, made, strict=True)
            ):
                raise ArtifactError(
                    "the engine's output has another shape than the network's", values=f"{spec.name}: {made}, {spec}"
                )
            kept = self._unsized if min(made, default=0) < 0 else self._sized
            kept.append(replace(spec, shape=made))
        if self._unsized:
            self._require_no_copies()
            if self._wants_graph:
                self._graph_state = NO_GRAPH
        size = int(self._context.update_device_memory_size_for_shapes())
        # 0 means "none needed" as well as "error" (NvInferRuntime.h): only the log distinguishes them.
        if size == 0 and self._loaded.errors:
            raise self._loaded.refusal(f"{self._bindings.vendor.title} {self._bindings.version} cannot size its memory")
        self.memory["context_bytes"] = size
        if size > 0:
            address = self._layer.allocate(size)
            self._closing.callback(self._layer.free, address)
            self._context.set_device_memory(address, size)

    def _require_no_copies(self) -> None:
        """Raises UsageError where copies are a part of a request: nobody knows how much is to be copied."""
        if self._request.transfers:
            names = ", ".join(spec.name for spec in self._unsized)
            raise UsageError(
                "copies of outputs whose size depends on data cannot be a part of a request",
                values=names,
                remedy="measure it without --like, or with --like trtexec-11",
            )

    def _capture_all(self) -> None:
        """One graph a slot, after one warm inference each, as the runtime asks for."""
        if not self._layer.captures_graphs:
            self._graph_state = f"failed: {self._layer.name} cannot capture graphs"
            return
        begin = time.perf_counter()
        try:
            for slot in range(self._request.slots):
                self._bind(slot)
                self._execute()
                self._layer.synchronize(self._stream)
                self._graphs.append(self._layer.capture(self._stream, self._execute))
        except MeasurementError as error:
            self._drop_graphs()
            self._graph_state = f"failed: {error.values or error.what}"
            return
        self._launch = [partial(self._layer.launch, graph, self._stream) for graph in self._graphs]
        self._graph_state = GRAPH_USED
        self.capture_s = time.perf_counter() - begin

    def _bind(self, slot: int) -> None:
        if self._fixed_slot is not None:
            if slot != self._ran_slot:
                self._slots.copy_inputs(slot, self._fixed_slot)
            self._ran_slot, slot = slot, self._fixed_slot
        if self._bound_slot == slot:
            return
        if self._dependent is not None:
            self._dependent.use(slot)
        for name, address in self._slots.addresses(slot).items():
            if not self._context.set_tensor_address(name, address):
                raise MeasurementError("TensorRT refuses an address", values=f"{name}: {address:#x}")
        self._bound_slot = slot

    def _execute(self) -> None:
        if not self._context.execute_async_v3(self._handle):
            raise MeasurementError(
                "TensorRT could not start the inference",
                values="\n".join(self._loaded.errors) or "it gives no reason",
            )

    def upload(self, slot: int, arrays: Arrays) -> None:
        """Copies the inputs to the slot's device buffers, and to where its inferences copy them from if they do."""
        self._slots.upload(slot, arrays)
        self._ran_slot = None
        if self._queries is not None:
            self._queries.fill(slot, arrays)

    def enqueue(self, slot: int) -> None:
        """Starts one inference between the two events of its lap."""
        if self._launch:
            work = self._launch[slot]
        else:
            self._bind(slot)
            work = self._execute
        if self._queries is None:
            self.laps.around(work)
        else:
            self._queries.issue(slot, work)

    def synchronize(self) -> None:
        """Waits for the stream, and for the copies out behind it."""
        self._layer.synchronize(self._stream)
        if self._queries is not None:
            self._queries.synchronize()

    def download(self, slot: int) -> dict[str, np.ndarray]:
        """The slot's outputs, on the host."""
        if self._fixed_slot is None:
            return self._downloaded(slot)
        if slot != self._ran_slot:  # another slot's outputs lie where all have them
            self._bind(slot)
            self._execute()
            self._layer.synchronize(self._stream)
        return self._downloaded(self._fixed_slot)

    def _downloaded(self, slot: int) -> dict[str, np.ndarray]:
        made = self._slots.download(slot)
        if self._dependent is None:
            return made
        made |= self._dependent.download(slot, self._stream)
        return {spec.name: made[spec.name] for spec in self._request.outputs}

    def inspection(self) -> str:
        """The engine inspector's JSON: layers as they were built."""
        inspector = self._engine.create_engine_inspector()
        inspector.execution_context = self._context
        return str(inspector.get_engine_information(self._bindings.api.LayerInformationFormat.JSON))

    def layer_times(self, *, warmup: int, iterations: int) -> Mapping[str, tuple[float, ...]]:
        """Seconds of each layer in each of some profiled inferences on slot 0; the session is slower afterwards."""
        self._bind(0)

        def infer() -> None:
            self._execute()
            self._layer.synchronize(self._stream)

        return layer_times(self._bindings.api, self._context, infer, warmup=warmup, iterations=iterations)

    def executed_layers(self, *, warmup: int, iterations: int) -> tuple[ExecutedLayer, ...]:
        """The engine's layers and their times in inferences on slot 0; the session is slower afterwards."""
        layers = layers_from_inspection(self.inspection())
        return with_times(layers, self.layer_times(warmup=warmup, iterations=iterations))

    def reported_layers(self) -> tuple[ExecutedLayer, ...]:
        """The engine's layers as they were built, without times."""
        return layers_from_inspection(self.inspection())

    def device_memory(self) -> dict[str, int]:
        """Bytes by method: what the engine declares, what was allocated, and how the device's free memory fell."""
        free = self._note_memory()
        found = dict(self.memory)
        if hasattr(self._engine, "get_engine_stat"):  # since TensorRT 10.14
            stat = self._bindings.api.EngineStat.TOTAL_WEIGHTS_SIZE
            found["declared_weights"] = int(self._engine.get_engine_stat(stat))
        found["declared_context"] = int(self._engine.device_memory_size_v2)
        each = self._slots.bytes_per_slot + (self._dependent.bytes_per_slot if self._dependent is not None else 0)
        found["buffers"] = each * (self._request.slots + (self._fixed_slot is not None))
        if self._loaded.tracker is not None:
            found["allocated_peak"] = self._loaded.tracker.peak_bytes + found.pop("context_bytes") + found["buffers"]
            found[TRACKED] = 1
        else:
            found.pop("context_bytes")
        pool = self._layer.pool_peak_bytes()
        if pool is not None:
            found["pool_peak"] = pool
        found["device_delta"] = self._base.free_bytes - self._lowest_free
        found["device_held"] = self._base.free_bytes - free
        found[BASE] = self._base.free_bytes
        return found

    def _note_memory(self) -> int:
        """The device's free bytes now, noted if they were never fewer."""
        free = self._layer.memory().free_bytes
        self._lowest_free = min(self._lowest_free, free)
        return free

    def transfer_ns(self, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Device times of copying a slot's inputs in and its outputs out, from and to pinned memory."""
        return self._slots.transfer_ns(count)

    def gate(self) -> StreamGate:
        """Holds the stream of the inferences back."""
        return StreamGate(self._handle)

    def flush_cache(self) -> None:
        """Fills the device's caches with something else."""
        self._slots.flush_cache()

    def evidence(self) -> Evidence:
        """What ran where: versions, device, CUDA layer, graph, auxiliary streams."""
        gpu = self._layer.gpu()
        plugins = ", ".join(path.name for path in plugin_libraries())
        return Evidence(
            backend=self._bindings.vendor.name,
            device=str(gpu),
            providers=(self._bindings.vendor.title,),
            threads=self._request.threads,
            executed=executed_precisions(self.reported_layers()) if self._request.inspect else None,
            options={
                **self._tf32(has=gpu.has_tf32),
                "cuda_layer": self._layer.name,
                **gpu.options(),
                "cuda_graph": self._graph_state,
                "auxiliary_streams": str(self._engine.num_aux_streams),
                "wait": WAIT_BLOCKING if self._request.blocking else WAIT_SPIN,
                "allocation": "user-managed",
                "api": "execute_async_v3",
                "nvtx": self._request.nvtx,
                "contexts": str(self._loaded.contexts),
                **self._loaded.kernels.state,
                **({"buffers": FIXED} if self._fixed_slot is not None else {}),
                **({"plugin_libraries": plugins} if plugins else {}),
            },
            versions={self._bindings.vendor.name: self._bindings.version, **self._layer.versions()},
            simulated=gpu.simulated,
        )

    def _tf32(self, *, has: bool) -> dict[str, str]:
        """As the engine was built; how one from elsewhere was is not known."""
        flags = self._request.engine_flags
        return {} if BUILT_ELSEWHERE in flags else tf32_option(has=has, allowed=TF32 in flags)

    def _drop_graphs(self) -> None:
        for graph in self._graphs:
            self._layer.destroy_graph(graph)
        self._graphs.clear()
        self._launch.clear()

    def close(self) -> None:
        """Gives everything back: graphs before the buffers they point at, the context before its memory.

        After an error of CUDA every further call fails with it: while one is on its way, its own words must not be
        replaced by those of the cleaning up.
        """
        failing = sys.exception() is not None
        with suppress(MeasurementError) if failing else nullcontext(), self._closing:
            if self._graphs:
                self._layer.synchronize(self._stream)
                self._drop_graphs()
            if hasattr(self, "_context"):
                del self._context
