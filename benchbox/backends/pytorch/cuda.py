"""How does PyTorch run a network on an NVIDIA GPU: eagerly, as a CUDA graph, or compiled?

Four backends, for they are four things to measure: ``pytorch-cuda`` (eager), ``pytorch-cuda-graph`` (one captured graph
a slot), ``pytorch-compile`` (``torch.compile``) and ``pytorch-compile-graph`` (its mode "reduce-overhead", which uses
graphs of its own). Times come from ``torch.cuda.Event`` on the stream of the work. The outputs of "reduce-overhead"
belong to its graphs, which write over them in the next inference: who wants those of an earlier one runs it again.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
import threading
import time
from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benchbox.backends.base import BACKENDS, BASE, Availability, OpenRequest
from benchbox.backends.clock import HostStopwatch
from benchbox.backends.cuda.driver import dotted, gpu_from_driver, newest_cuda
from benchbox.backends.cuda.gate import StreamGate
from benchbox.backends.cuda.laps import EventLaps
from benchbox.backends.cuda.slots import FLUSH_BYTES
from benchbox.backends.pytorch.dispatch import DispatchWatch, allow_tf32, short_type, tf32_evidence, tf32_switches
from benchbox.backends.pytorch.first_tensors import FirstTensors
from benchbox.backends.pytorch.outputs import in_float, tensors_in
from benchbox.errors import BenchboxError, DeviceMemoryError, EnvironmentLackError, one_line
from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.model import Precision
from benchbox.schema.trial import Evidence

if TYPE_CHECKING:
    import torch

    from benchbox.backends.base import Arrays

_REFUSALS = {
    Precision.FP64: "PyTorch modules are measured in fp32 and less; fp64 is that of an ONNX file",
    Precision.INT8: "eager mode runs no int8 network without a quantised module",
    Precision.FP8: "eager mode runs no fp8 network without a quantised module",
    Precision.INT4: "eager mode runs no int4 weights without a quantised module",
}
_WARM = 3  # inferences before a capture, as PyTorch's documentation asks for
GRAPH_USED = "whole inference"


class PyTorchCudaBackend:
    """PyTorch on the first visible GPU, eager."""

    name: ClassVar[str] = "pytorch-cuda"
    compiled: ClassVar[str] = ""
    """The mode for ``torch.compile``, "" for eager."""
    graph: ClassVar[bool] = False
    """Whether each slot's inference is captured in a CUDA graph."""
    device: ClassVar[str] = "cuda"
    consumes: ClassVar[str] = "module"
    virtual: ClassVar[bool] = False
    rank: ClassVar[int] = 15

    def probe(self) -> Availability:
        """Whether PyTorch is installed with CUDA and finds a GPU."""
        if importlib.util.find_spec("torch") is None:
            return Availability(usable=False, reason="PyTorch is not installed", remedy="pip install 'benchbox[torch]'")
        version = importlib.metadata.version("torch")
        if version.endswith("+cpu"):
            return Availability(
                usable=False,
                version=version,
                reason=f"PyTorch {version} is built without CUDA",
                remedy="install the CUDA build of PyTorch",
            )
        try:
            import torch

            found = torch.cuda.is_available()
        except Exception as error:  # a broken installation may raise anything; a probe never does
            return Availability(usable=False, reason=f"PyTorch does not import: {error}", remedy="reinstall it")
        if not found:
            return Availability(
                usable=False,
                version=version,
                reason=f"PyTorch {version} finds no CUDA device",
                remedy="install the NVIDIA driver, or the CUDA build of PyTorch",
            )
        try:
            gpu = gpu_from_driver()  # PyTorch would initialise CUDA to answer
        except BenchboxError as error:
            return Availability(usable=False, version=version, reason=error.what, remedy=error.remedy)
        return Availability(usable=True, version=version, device=str(gpu))

    def refusal(self, precision: Precision) -> str | None:
        """fp32, tf32, fp16 and bf16 run; bf16 on GPUs before Ampere without kernels of its own."""
        return _REFUSALS.get(precision)

    def open(self, request: OpenRequest) -> PyTorchCudaSession:
        """A module on the GPU; raises EnvironmentLackError without one, DeviceMemoryError where it does not fit."""
        state = self.probe()
        if not state.usable:
            raise EnvironmentLackError(f"{self.name} cannot run here", values=state.reason, remedy=state.remedy)
        import torch

        allow_tf32(torch, request.precision is Precision.TF32)
        try:
            return PyTorchCudaSession(torch, request, backend=self)
        except torch.OutOfMemoryError as error:
            raise out_of_memory(error, request) from error


class PyTorchCudaGraph(PyTorchCudaBackend):
    """PyTorch, each inference the replay of a captured CUDA graph."""

    name: ClassVar[str] = "pytorch-cuda-graph"
    rank: ClassVar[int] = -1
    graph: ClassVar[bool] = True


class PyTorchCompile(PyTorchCudaBackend):
    """The module compiled by ``torch.compile``."""

    name: ClassVar[str] = "pytorch-compile"
    rank: ClassVar[int] = -1
    compiled: ClassVar[str] = "default"


class PyTorchCompileGraph(PyTorchCudaBackend):
    """The module compiled by ``torch.compile`` with CUDA graphs of its own."""

    name: ClassVar[str] = "pytorch-compile-graph"
    rank: ClassVar[int] = -1
    compiled: ClassVar[str] = "reduce-overhead"


def compiled_graphs() -> int:
    """How many graphs Dynamo has compiled in this process, recompilations included."""
    from torch._dynamo.utils import counters  # noqa: PLC2701

    return int(counters["stats"]["unique_graphs"])


def out_of_memory(error: Exception, request: OpenRequest) -> DeviceMemoryError:
    """The error for what PyTorch's allocator could not give."""
    return DeviceMemoryError(
        "the GPU ran out of memory",
        values=f"batch {request.inputs[0].shape[0]}: {str(error).splitlines()[0]}",
        remedy="try a smaller --batch, or end other processes on the GPU",
    )


class TorchEvents:
    """PyTorch's events behind the names that ``EventLaps`` uses; the stream is PyTorch's."""

    def __init__(self, torch_module: Any) -> None:
        self._torch = torch_module

    def event(self, *, blocking: bool = False) -> Any:
        """A new event that takes the time.

        Recorded once at once: PyTorch makes the event when it is first recorded (c10/cuda/CUDAEvent.h), which would be
        while the clock runs.
        """
        event = self._torch.cuda.Event(enable_timing=True, blocking=blocking)
        event.record(self._torch.cuda.current_stream())
        return event

    def record(self, event: Any, stream: Any) -> None:
        """Puts an event behind everything started on a stream."""
        event.record(stream)

    def wait(self, event: Any) -> None:
        """Returns when an event has happened."""
        event.synchronize()

    def elapsed_ns(self, start: Any, end: Any) -> int:
        """Time on the device between two events that have happened."""
        return round(float(start.elapsed_time(end)) * 1e6)

    def destroy_event(self, event: Any) -> None:
        """It goes with its last reference."""


class _Here(threading.local):
    """Whose inferences a thread runs, and what it was given for them."""

    owner: PyTorchCudaSession | None = None
    inference: Any = None
    stream: Any = None


_here = _Here()


class PyTorchCudaSession:
    """One module with resident inputs; fp16 and bf16 cast at the border, as the ONNX graphs do.

    Args:
        torch_module: ``torch``.
        request: what to open.
        backend: eager, graph or compiled.
        device: where tensors go; another name only in tests.
    """

    def __init__(
        self, torch_module: Any, request: OpenRequest, *, backend: PyTorchCudaBackend, device: str = "cuda"
    ) -> None:
        self.stopwatch = HostStopwatch()
        self._torch = torch_module
        self._request = request
        self._backend = backend
        self._device = device
        self._free = self._lowest = torch_module.cuda.mem_get_info()[0]
        torch_module.cuda.reset_peak_memory_stats()
        self._stream = torch_module.cuda.Stream()
        self._short = short_type(torch_module, request.precision)
        self._firsts: list[FirstTensors] = []
        self._watch: DispatchWatch | None = None
        self._forward = self._with_casts(self._runner())
        self._watched = self._with_casts(self._watched_module()) if request.inspect and backend.compiled else None
        self._own_outputs = backend.compiled != "reduce-overhead"
        self._last_slot: int | None = None
        self._inputs: dict[int, tuple[torch.Tensor, ...]] = {}
        self._outputs: dict[int, Any] = {}
        self._graphs: dict[int, Any] = {}
        self.capture_s = 0.0
        self._graph_state = "by torch.compile" if backend.compiled == "reduce-overhead" else "off"
        self.laps = EventLaps(TorchEvents(torch_module), self._stream)
        self._sweep: torch.Tensor | None = None

    def _module(self) -> Any:
        assert self._request.module is not None, "a backend that consumes modules is given one"
        module = self._request.module().eval().to(self._device)
        module = module if self._short is None else module.to(self._short)
        graphs = self._backend.graph or self._backend.compiled == "reduce-overhead"
        self._firsts.append(FirstTensors(self._torch, module, unseen_writes=graphs))
        return module

    def _runner(self) -> Any:
        if self._backend.compiled:
            return self._torch.compile(self._module(), mode=self._backend.compiled)
        return self._watched_module() if self._request.inspect else self._module()

    def _watched_module(self) -> Any:
        """The eager module, watched; beside a compiled one another copy: hooks would be compiled into the network."""
        module = self._module()
        self._watch = DispatchWatch(self._torch, module)
        return self._watch.around(module)

    def _with_casts(self, module: Any) -> Any:
        if self._short is None:
            return module

        def forward(*inputs: torch.Tensor) -> Any:
            return in_float(
                module(*(tensor.to(self._short) if tensor.is_floating_point() else tensor for tensor in inputs))
            )

        return forward

    def upload(self, slot: int, arrays: Arrays) -> None:
        """Copies the arrays to the GPU, into the slot's own tensors; captures the slot's graph the first time.

        Tensors that the module keeps are then as they were first.
        """
        try:
            self._upload(slot, arrays)
        except self._torch.OutOfMemoryError as error:
            raise out_of_memory(error, self._request) from error

    def _upload(self, slot: int, arrays: Arrays) -> None:
        if slot == self._last_slot:
            self._last_slot = None
        fresh = tuple(
            self._torch.from_numpy(np.array(arrays[spec.name], order="C", copy=True)) for spec in self._request.inputs
        )
        if slot in self._inputs:
            for tensor, values in zip(self._inputs[slot], fresh, strict=True):
                tensor.copy_(values)
        else:
            self._inputs[slot] = tuple(tensor.to(self._device) for tensor in fresh)
        self._torch.cuda.synchronize()
        if self._backend.graph and slot not in self._graphs and not self._graph_state.startswith("failed"):
            self._capture(slot)
        for first in self._firsts:
            first.put_back()
        self._torch.cuda.synchronize()

    def _capture(self, slot: int) -> None:
        torch_module = self._torch
        begin = time.perf_counter()
        graph = torch_module.cuda.CUDAGraph()
        try:
            with torch_module.inference_mode(), torch_module.cuda.stream(self._stream):
                for _ in range(_WARM):
                    self._forward(*self._inputs[slot])
            self._stream.synchronize()
            with torch_module.inference_mode(), torch_module.cuda.graph(graph, stream=self._stream):
                self._outputs[slot] = self._forward(*self._inputs[slot])
        except self._torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._graphs.clear()
            self._graph_state = f"failed: {one_line(error, 200)}"
            return
        self._graphs[slot] = graph
        self._graph_state = GRAPH_USED
        self.capture_s += time.perf_counter() - begin

    def enqueue(self, slot: int) -> None:
        """Starts one inference on the session's stream, between the two events of its lap.

        The thread stays in inference mode and on that stream: to enter both takes as long as a short network.
        """
        if _here.owner is not self:
            self._enter()
        try:
            if slot in self._graphs:
                self.laps.around(self._graphs[slot].replay)
            else:
                self.laps.around(partial(self._run, slot))
        except self._torch.OutOfMemoryError as error:
            raise out_of_memory(error, self._request) from error

    def _enter(self) -> None:
        """Makes this thread one that runs inferences of this session."""
        if _here.inference is None:
            _here.stream = self._torch.cuda.current_stream()
            _here.inference = self._torch.inference_mode()
            _here.inference.__enter__()
        self._torch.cuda.set_stream(self._stream)
        _here.owner = self

    def _leave(self) -> None:
        """Gives this thread back as it was, if it was this session's last."""
        if _here.owner is self:
            self._torch.cuda.set_stream(_here.stream)
            _here.inference.__exit__(None, None, None)
            _here.owner = _here.inference = _here.stream = None

    def _run(self, slot: int) -> None:
        if self._own_outputs:
            self._outputs[slot] = self._forward(*self._inputs[slot])
            if self._watched is not None:
                self._watched(*self._inputs[slot])
            return
        self._outputs.clear()  # of the graphs, which write over them now
        self._torch.compiler.cudagraph_mark_step_begin()
        self._outputs[slot] = self._forward(*self._inputs[slot])
        self._last_slot = slot
        if self._watched is not None:
            self._watched(*self._inputs[slot])

    def _outputs_of(self, slot: int) -> Any:
        """What the slot's last inference made; where that belongs to a graph that ran on since, by running it again."""
        if not self._own_outputs and self._last_slot != slot:
            with self._torch.inference_mode(), self._torch.cuda.stream(self._stream):
                self._run(slot)
            self._stream.synchronize()
        return self._outputs[slot]

    def synchronize(self) -> None:
        """Waits for the stream."""
        self._stream.synchronize()

    def download(self, slot: int) -> dict[str, np.ndarray]:
        """Copies of the slot's outputs, named as in the ONNX graph."""
        tensors = tensors_in(self._outputs_of(slot))
        return {
            spec.name: np.array(tensor.cpu().numpy(), copy=True)
            for spec, tensor in zip(self._request.outputs, tensors, strict=True)
        }

    def compilations(self) -> int:
        """Graphs that ``torch.compile`` has made in this process: it makes another where a guard of the last fails."""
        return compiled_graphs() if self._backend.compiled else 0

    def device_memory(self) -> dict[str, int]:
        """What PyTorch's allocator gave out and took at most, and how the device's free memory fell."""
        free = self._torch.cuda.mem_get_info()[0]
        self._lowest = min(self._lowest, free)
        return {
            "allocated_peak": int(self._torch.cuda.max_memory_allocated()),
            "reserved_peak": int(self._torch.cuda.max_memory_reserved()),
            "device_delta": int(self._free - self._lowest),
            "device_held": int(self._free - free),
            BASE: int(self._free),
        }

    def transfer_ns(self, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Device times of copying a slot's inputs in and its outputs out, from and to pinned memory."""
        outputs = tensors_in(self._outputs_of(0))
        pairs = (
            [(tensor, self._pinned(tensor)) for tensor in self._inputs[0]],
            [(self._pinned(tensor), tensor) for tensor in outputs],
        )
        taken: tuple[list[int], list[int]] = ([], [])
        events = TorchEvents(self._torch)
        with self._torch.inference_mode(), self._torch.cuda.stream(self._stream):
            for _ in range(count):
                for copies, times in zip(pairs, taken, strict=True):
                    start, end = events.event(), events.event()
                    events.record(start, self._stream)
                    for target, source in copies:
                        target.copy_(source, non_blocking=True)
                    events.record(end, self._stream)
                    events.wait(end)
                    times.append(events.elapsed_ns(start, end))
        return tuple(taken[0]), tuple(taken[1])

    def gate(self) -> StreamGate:
        """Holds the stream of the inferences back."""
        return StreamGate(int(self._stream.cuda_stream))

    def flush_cache(self) -> None:
        """Fills the device's caches with something else."""
        if self._sweep is None:
            self._sweep = self._torch.empty(FLUSH_BYTES, dtype=self._torch.uint8, device=self._device)
        with self._torch.cuda.stream(self._stream):
            self._sweep.fill_(0)
        self._stream.synchronize()

    def _pinned(self, tensor: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self._torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=self._device == "cuda")
        return made

    def evidence(self) -> Evidence:
        """The device as the driver and the switches as PyTorch report them; executed types as they were dispatched."""
        gpu = gpu_from_driver()
        return Evidence(
            backend=self._backend.name,
            device=str(gpu),
            providers=(f"torch.compile {self._backend.compiled}" if self._backend.compiled else "eager",),
            threads=self._request.threads,
            executed=self._watch.executed() if self._watch else None,
            options={
                "cuda_graph": self._graph_state,
                **gpu.options(),
                **tf32_evidence(self._torch, has=gpu.has_tf32),
                **tf32_switches(self._torch),
                "cudnn_benchmark": str(self._torch.backends.cudnn.benchmark),
            },
            versions={
                "torch": str(self._torch.__version__),
                "cuda_runtime": str(self._torch.version.cuda),
                **({"cuda_driver": dotted(newest)} if (newest := newest_cuda()) else {}),
                **({"cudnn": str(cudnn)} if (cudnn := self._torch.backends.cudnn.version()) else {}),
            },
            simulated=gpu.simulated,
        )

    def reported_layers(self) -> tuple[ExecutedLayer, ...]:
        """The modules that matrix operations ran in; only in a session opened for inspection."""
        assert self._watch is not None, "a session that is not inspected is not watched"
        return self._watch.layers()

    def close(self) -> None:
        """Drops graphs, tensors and module; an error on its way is not replaced by one of the cleaning up."""
        with suppress(RuntimeError) if sys.exception() is not None else nullcontext():
            self._torch.cuda.synchronize()
        self._leave()
        self.laps.close()
        self._graphs.clear()
        self._inputs.clear()
        self._outputs.clear()
        self._sweep = None
        del self._forward, self._watched
        self._torch.cuda.empty_cache()


for _backend in (PyTorchCudaBackend(), PyTorchCudaGraph(), PyTorchCompile(), PyTorchCompileGraph()):
    BACKENDS.register(_backend.name, _backend)
