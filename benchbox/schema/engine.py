"""What is an engine made from, and what is known about it without running it?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchbox.schema.artifact import BatchRange, TensorSpec
from benchbox.schema.model import Precision

# Ending of the files that hold what a runtime compiled for an engine, beside it.
KERNELS = ".kernels"
# Among the flags of the recipe of an engine that somebody else built.
BUILT_ELSEWHERE = "built elsewhere"
# Among the flags of one of several builds: "build=2", which measures its tactics by itself.
BUILD = "build"
# Beside engines that a runtime made by itself: what they are made of, as JSON.
RUNTIME_RECIPE = "recipe.json"


@dataclass(frozen=True, kw_only=True)
class ShapeProfile:
    """Shapes of one input, batch first, that an engine accepts and the one that it is tuned for."""

    input: str
    minimum: tuple[int, ...]
    optimum: tuple[int, ...]
    maximum: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class EngineRecipe:
    """Everything that decides what an engine is; equal recipes mean the same engine.

    ``weights_sha256`` is of the external data of a user's own ONNX file, None where it has none. ``targets`` are the
    compute capabilities asked for ("sm86"); empty is the vendor's own choice. ``device`` is the GPU that the engine
    is tuned on, "" where none is needed. ``flags`` are the choices made in the builder's configuration, among them
    "tf32" where it is allowed.
    """

    onnx_sha256: str
    weights_sha256: str | None
    backend: str
    backend_version: str
    targets: tuple[str, ...]
    device: str
    profiles: tuple[ShapeProfile, ...]
    flags: tuple[str, ...]
    timing_cache_sha256: str | None


@dataclass(frozen=True, kw_only=True)
class RuntimeEngines:
    """Where a runtime keeps the engines that it makes of a network by itself, and what they are made of.

    ``folder`` is that of one network in one precision at one batch size; in it each kind of GPU and each version of the
    runtime has a folder of its own with ``RUNTIME_RECIPE``. ``onnx_path`` is the file as its artifact names it.
    """

    folder: Path
    onnx_path: str
    onnx_sha256: str


@dataclass(frozen=True, kw_only=True)
class EngineBorder:
    """What a loaded engine says of itself: inputs, outputs with a free batch as None, and what loaded it."""

    backend: str
    version: str
    device: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, kw_only=True)
class EngineMemory:
    """Device memory that the builder declares for one execution context, in bytes; None where it does not say.

    ``activation_bytes`` includes the largest scratch space. Inputs and outputs are not in it.
    """

    activation_bytes: int | None = None
    scratch_bytes: int | None = None
    weight_bytes: int | None = None
    device_persistent_bytes: int | None = None
    host_persistent_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class EngineArtifact:
    """An engine in ``engines/<backend>/`` with what it was made from.

    ``key`` is the sha256 of the recipe; ``path``, ``log_path`` and ``timing_cache_path`` are relative to the project
    root, ``onnx_path`` where the file lies inside it. ``build_s`` is the time of the builder alone, reading the graph
    included; ``layers`` counts the network before fusion. ``warnings`` are the builder's own.
    """

    key: str
    model: str
    source: str
    weights: str | None
    precision: Precision
    batch: BatchRange
    recipe: EngineRecipe
    onnx_path: str
    path: str
    sha256: str
    size_bytes: int
    log_path: str
    timing_cache_path: str | None
    build_s: float
    layers: int
    memory: EngineMemory
    warnings: tuple[str, ...]
    built_at: str
