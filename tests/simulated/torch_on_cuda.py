"""What would PyTorch's CUDA side do on a GPU? The calls that a session makes, on the CPU, with the rules that bite.

Kept are: an event is made when it is first recorded (c10/cuda/CUDAEvent.h); of a module compiled in mode
"reduce-overhead" the outputs belong to the graphs, which record in a thread's first calls and write over them, or make
them unreadable, in the next call (torch/_inductor/cudagraph_trees.py). A graph that was captured by hand replays
nothing: its outputs are those of the capture.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch

RECORDINGS = 2  # calls of a thread until its graph replays
OVERWRITTEN = (
    "Error: accessing tensor output of CUDAGraphs that has been overwritten by a subsequent run. To prevent "
    "overwriting, clone the tensor outside of torch.compile() or call "
    "torch.compiler.cudagraph_mark_step_begin() before each model invocation."
)


class Event:
    """Takes the host's time; made when it is first recorded."""

    made = 0

    def __init__(self, *, enable_timing: bool, blocking: bool = False) -> None:
        assert enable_timing
        self.at = 0.0

    def record(self, stream: Any) -> None:
        Event.made += not self.at
        self.at = time.perf_counter()

    def synchronize(self) -> None:
        assert self.at, "waited for before it was recorded"

    def elapsed_time(self, end: Event) -> float:
        return (end.at - self.at) * 1e3


class Graph:
    """Replays nothing: the outputs of the capture stay."""

    def replay(self) -> None: ...


class GraphOutput(torch.Tensor):
    """A tensor of a graph's own: it cannot be read once the graphs have run again while they recorded."""

    poisoned = False

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(isinstance(given, GraphOutput) and given.poisoned for given in args):
            raise RuntimeError(OVERWRITTEN)
        made = super().__torch_function__(func, types, args, kwargs or {})
        return made.as_subclass(torch.Tensor) if isinstance(made, GraphOutput) else made


class CompiledWithGraphs:
    """A module behind ``torch.compile`` in mode "reduce-overhead"."""

    def __init__(self, module: Callable[..., torch.Tensor]) -> None:
        self._module = module
        self._threads = threading.local()
        self.recordings: list[int] = []

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        here = self._threads.__dict__
        calls = here["calls"] = here.get("calls", 0) + 1
        made = self._module(*inputs)
        last: GraphOutput | None = here.get("last")
        if calls > RECORDINGS and last is not None:
            torch.Tensor.copy_(last.as_subclass(torch.Tensor), made)  # a replay: the same tensor, written over
            return last
        self.recordings.append(threading.get_ident())
        if last is not None:
            last.poisoned = True
        here["last"] = made.clone().as_subclass(GraphOutput)
        return here["last"]


class PretendedCuda:
    """``torch.cuda``."""

    Event = Event
    CUDAGraph = Graph
    OutOfMemoryError = torch.OutOfMemoryError

    def __init__(self, *, refuse_capture: bool = False) -> None:
        self.refuse_capture = refuse_capture

    def Stream(self) -> Any:
        return SimpleNamespace(synchronize=lambda: None)

    @contextlib.contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        yield

    def set_stream(self, stream: Any) -> None: ...

    def current_stream(self) -> Any:
        return self.Stream()

    @contextlib.contextmanager
    def graph(self, graph: Graph, *, stream: Any) -> Iterator[None]:
        if self.refuse_capture:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")
        yield

    def mem_get_info(self) -> tuple[int, int]:
        return 1000, 2000

    def synchronize(self) -> None: ...

    def reset_peak_memory_stats(self) -> None: ...

    def empty_cache(self) -> None: ...

    def max_memory_allocated(self) -> int:
        return 7

    def max_memory_reserved(self) -> int:
        return 9


class PretendedTorch:
    """``torch``, with the pretended ``cuda`` and, where asked, a pretended ``compile``."""

    def __init__(self, cuda: PretendedCuda) -> None:
        self.cuda = cuda
        self.steps = 0
        self.compiled: list[CompiledWithGraphs] = []
        self.compiler = SimpleNamespace(cudagraph_mark_step_begin=self._step)

    def _step(self) -> None:
        self.steps += 1

    def compile(self, module: Any, *, mode: str) -> Any:
        if mode != "reduce-overhead":
            return module
        made = CompiledWithGraphs(module)
        self.compiled.append(made)
        return made

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)
