"""What must a runtime be able to do so that benchbox can measure it?

Two joints: a **Backend** says whether it can run here and opens sessions; a **Session** holds one
network ready to run. A **Compiler** is a backend that first makes an engine of the ONNX file. A
session never times itself: ``measure/loop/timing.py`` holds the one definition of an inference, and asks
the session's stopwatch for the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from benchbox.registry import Registry
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.engine import EngineBorder, EngineMemory, EngineRecipe, RuntimeEngines, ShapeProfile
from benchbox.schema.layers import ExecutedLayer
from benchbox.schema.model import Precision
from benchbox.schema.trial import Evidence

if TYPE_CHECKING:
    import numpy as np
    import torch

    Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Availability:
    """Whether a backend can run on this machine: its version, or why not and what to install.

    ``builds`` says that it can make engines here, even where it cannot run them.
    """

    usable: bool
    builds: bool = False
    version: str = ""
    device: str = ""
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class OpenRequest:
    """What a session is opened for.

    ``onnx_path`` is set for backends that consume ONNX, ``engine_path`` for those that run an engine, ``module`` (a
    callable that makes the PyTorch module) for those that consume modules. ``inputs`` carry the concrete batch size.
    ``slots`` is the number of distinct inputs that must be resident at once. ``inspect`` asks for evidence of the
    executed precision, ``track_memory`` for counted allocations; both may slow the session down: never set in a timed
    pass. ``transfers`` makes copies of inputs and outputs a part of every inference, ``blocking`` lets the host sleep
    while it waits for one instead of spinning: only backends whose ``queries`` is true can. ``fallback`` is what an
    int8 or fp8 graph computes in where it is not quantised. ``engine_flags`` are what the engine was built with.
    ``exact`` asks for what the graph says and no kernels of other arithmetic: to check a file, never to time it.
    ``unoptimised`` asks for every node as the file has it, none fused or folded: to judge a file from elsewhere. Sizes
    of ``outputs`` may be None: they depend on data, and each inference allocates such an output anew. ``nvtx`` is how
    much a runtime tells profilers of each inference: "none", "layer_names_only" or "detailed". ``kept`` is where a
    runtime that makes engines by itself keeps them for later processes, None where it is to make them anew.
    """

    precision: Precision
    threads: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    slots: int = 1
    onnx_path: Path | None = None
    engine_path: Path | None = None
    module: Callable[[], torch.nn.Module] | None = None
    inspect: bool = False
    track_memory: bool = False
    transfers: bool = False
    blocking: bool = False
    fallback: Precision = Precision.FP32
    engine_flags: tuple[str, ...] = ()
    exact: bool = False
    unoptimised: bool = False
    nvtx: str = "none"
    kept: RuntimeEngines | None = None


class Stopwatch(Protocol):
    """A clock that fits the session's device."""

    @property
    def clock(self) -> str:
        """Name of the clock, for the record."""
        ...

    def now_ns(self) -> int:
        """Nanoseconds on this clock; only differences mean anything."""
        ...


class Session(Protocol):
    """One network, loaded and ready, with resident inputs and outputs in numbered slots."""

    @property
    def stopwatch(self) -> Stopwatch:
        """The clock to time this session with."""
        ...

    def upload(self, slot: int, arrays: Arrays) -> None:
        """Makes these inputs (by name) resident in a slot."""
        ...

    def enqueue(self, slot: int) -> None:
        """Starts one inference on the slot's inputs; on a CPU it is done on return."""
        ...

    def synchronize(self) -> None:
        """Returns when every started inference is done and its outputs are usable."""
        ...

    def download(self, slot: int) -> dict[str, np.ndarray]:
        """The outputs (by name) of the slot's last inference, on the host."""
        ...

    def evidence(self) -> Evidence:
        """What was really given: providers, threads, options and, if opened for inspection, executed precisions."""
        ...

    def close(self) -> None:
        """Frees everything; the session cannot be used afterwards."""
        ...


class Laps(Protocol):
    """Device and enqueue times of a session's inferences: made ready before a block, collected after it."""

    def reserve(self, count: int, *, lead: int = 0) -> None:
        """Prepares for a block of at most ``count`` inferences, behind ``lead`` ones that are in no result.

        0 of both: whatever is started next is not timed.
        """
        ...

    def collect(self) -> None:
        """Reads the times of the block that has run."""
        ...

    def forget(self) -> None:
        """Drops everything collected so far."""
        ...

    def wait(self, index: int) -> None:
        """Returns when inference ``index`` of the block that runs is done on the device."""
        ...

    def around(self, work: Callable[[], object]) -> None:
        """Calls ``work`` between two events of the block that runs, as every inference is."""
        ...

    @property
    def block(self) -> int:
        """The most inferences that a block may have."""
        ...

    @property
    def gpu_ns(self) -> tuple[int, ...]:
        """Device time of each collected inference, in order."""
        ...

    @property
    def enqueue_ns(self) -> tuple[int, ...]:
        """Host time of the call that started each collected inference, in order."""
        ...

    @property
    def h2d_ns(self) -> tuple[int, ...]:
        """Device time of copying in, of each collected inference; nothing unless it is a part of them."""
        ...

    @property
    def d2h_ns(self) -> tuple[int, ...]:
        """Device time of copying out, likewise."""
        ...

    @property
    def window_ns(self) -> int:
        """Device time from the beginning of the first to the end of the last inference of each block, added up."""
        ...


# Of what ``device_memory`` gives, what is not memory of the network.
BASE, TRACKED = "base_free", "tracked"


@runtime_checkable
class DeviceSession(Session, Protocol):
    """A session on a device of its own: what it starts is not done on return."""

    laps: Laps

    def transfer_ns(self, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Device times of copying one slot's inputs in and its outputs out, ``count`` of each; after an inference."""
        ...

    def flush_cache(self) -> None:
        """Fills the device's caches with something else and waits for it."""
        ...

    def device_memory(self) -> dict[str, int]:
        """Bytes of device memory by the method that gave them; what cannot be known is not in it.

        Always there: ``device_delta``, by how much the device's free memory fell at most, and ``device_held``, by how
        much it is lower now, both since before the network was loaded. Beside bytes: ``BASE``, the device's free bytes
        at that moment, and ``TRACKED``, not 0 where counting has replaced the runtime's allocator.
        """
        ...


class Gate(Protocol):
    """What holds a session's stream back."""

    @property
    def forced(self) -> bool:
        """Whether it ever opened by itself, because something waited for the device while it was closed."""
        ...

    def shut(self) -> None:
        """Lets what is started from now on wait."""
        ...

    def open(self) -> None:
        """Lets it run."""
        ...

    def close(self) -> None:
        """Gives it back, with nothing in flight."""
        ...


@runtime_checkable
class SharingSession(Session, Protocol):
    """A session whose network, once loaded, further sessions can run at the same time."""

    def another(self) -> Session:
        """A further session with buffers of its own, opened as this one was and to be closed before it."""
        ...


@runtime_checkable
class GatedSession(Session, Protocol):
    """A session whose stream can be held back while work is put on it."""

    def gate(self) -> Gate:
        """A gate before whatever is started next; raises MeasurementError where the driver or GPU has none."""
        ...


@runtime_checkable
class LayerReporting(Session, Protocol):
    """A session that reports which layers ran, and in which types."""

    def reported_layers(self) -> tuple[ExecutedLayer, ...]:
        """The layers in the order of execution, each once; their times mean nothing.

        After an inference, in a session that was opened for inspection.
        """
        ...


@runtime_checkable
class CapturingSession(Session, Protocol):
    """A session that captures CUDA graphs before anything is timed."""

    capture_s: float
    """What it took so far, warm inferences included; 0 where nothing was captured."""


@runtime_checkable
class CompilingSession(Session, Protocol):
    """A session that compiles while it runs, so that an inference may be no inference alone."""

    def compilations(self) -> int:
        """How many graphs this process has compiled so far."""
        ...


@runtime_checkable
class LayeredSession(Session, Protocol):
    """A session that reports what it executes, layer by layer."""

    def executed_layers(self, *, warmup: int, iterations: int) -> tuple[ExecutedLayer, ...]:
        """The layers in the order of execution with their times in ``iterations`` inferences on slot 0.

        In a pass of its own: the session was opened for inspection, and is not timed afterwards.
        """
        ...


class Backend(Protocol):
    """A runtime, registered in ``BACKENDS`` under its name by its own module."""

    name: ClassVar[str]
    device: ClassVar[str]
    consumes: ClassVar[str]
    """"onnx", "engine", "module" or "nothing"."""
    virtual: ClassVar[bool]
    """True where no real time passes: its numbers are never stored."""
    rank: ClassVar[int]
    """Order of preference among equals when no backend is named; higher is better, negative is never chosen."""

    def probe(self) -> Availability:
        """Whether this backend can run here; never raises, imports its runtime only when called."""
        ...

    def refusal(self, precision: Precision) -> str | None:
        """Why this backend cannot run that precision, in one clause; None if it can."""
        ...

    def open(self, request: OpenRequest) -> Session:
        """A session for one network.

        Raises ArtifactError for a bad file and EnvironmentLackError where the runtime is missing.
        """
        ...


class Grade(IntEnum):
    """How a backend computes in a precision on a given processor; higher is better."""

    WIDENED = 0
    """In fp32, between casts: nothing runs in the precision."""
    PARTLY = 1
    """In the precision as far as its kernels go, or with results that differ from the graph's."""
    SLOWLY = 2
    """In the precision, without instructions for it."""
    NATIVE = 3
    """In the precision, with the processor's instructions for it."""


@runtime_checkable
class GradedBackend(Backend, Protocol):
    """A backend that computes in some precisions better than in others; all others are taken for native."""

    def grade(self, precision: Precision, isa: frozenset[str]) -> tuple[Grade, str]:
        """How well it computes in a precision that it does not refuse, and why in a clause, "" where it is native.

        ``isa`` holds the processor's instruction sets as the kernel names them ("avx512_vnni").
        """
        ...


@runtime_checkable
class ConvertingBackend(Backend, Protocol):
    """A backend that is given the fp32 graph for some precisions and converts it itself."""

    converts: ClassVar[frozenset[Precision]]


@dataclass(frozen=True, kw_only=True)
class CompileRequest:
    """What an engine is asked for.

    ``weights_sha256`` is of the external data of ``onnx_path``. ``profiles`` has one entry per input. ``targets`` are
    compute capabilities as typed ("sm86"). ``timing_cache`` holds the measured tactics of an earlier build.
    ``options`` are further choices of the builder's, as words for the recipe ("builder_level=5").
    """

    onnx_path: Path
    onnx_sha256: str
    weights_sha256: str | None
    precision: Precision
    profiles: tuple[ShapeProfile, ...]
    targets: tuple[str, ...] = ()
    timing_cache: bytes | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CompiledEngine:
    """What a builder made: the engine's bytes, its log, and what it declares.

    ``peak_host_bytes`` is the most host memory that the process which built it had resident; None where unknown.
    """

    engine: bytes | memoryview
    log: str
    build_s: float
    layers: int
    memory: EngineMemory
    warnings: tuple[str, ...]
    timing_cache: bytes | None
    peak_host_bytes: int | None = None


@runtime_checkable
class EngineBackend(Backend, Protocol):
    """A backend that runs engines."""

    compiler: ClassVar[str]
    """Name of the backend that builds them."""


@runtime_checkable
class EngineReader(Backend, Protocol):
    """A backend that says what an engine from elsewhere takes and gives."""

    def border(self, path: Path) -> EngineBorder:
        """Inputs and outputs of an engine.

        Raises ArtifactError where the runtime refuses it, UsageError for inputs and outputs that cannot be fed.
        """
        ...


@runtime_checkable
class Compiler(Backend, Protocol):
    """A backend that makes engines ahead of time."""

    def recipe(self, request: CompileRequest) -> EngineRecipe:
        """Everything that decides the engine of a request, nothing compiled yet.

        Raises UsageError for a target that cannot be, EnvironmentLackError where the builder or the GPU that it tunes
        on is missing.
        """
        ...

    def compile(self, request: CompileRequest, recipe: EngineRecipe) -> CompiledEngine:
        """The engine; raises ArtifactError with the builder's reasons, node and operator where it names them."""
        ...

    def fault(self, engine: bytes) -> str | None:
        """Why this runtime would refuse an engine's bytes on any machine, None if it would not; loads nothing."""
        ...


BACKENDS: Registry[Backend] = Registry("backend", "benchbox.backends")
