"""How does a checked ONNX file become an engine that is kept and found again?

The key of an engine is everything that decides it. One process builds it; others that need it wait and then find it.
An engine is verified byte by byte before it is used again; a damaged one is rebuilt.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.backends.base import BACKENDS, Compiler, CompileRequest
from benchbox.backends.probing import probe_of
from benchbox.errors import ArtifactError, EnvironmentLackError, UsageError
from benchbox.progress import Say
from benchbox.schema.artifact import BatchRange, OnnxArtifact, TensorSpec
from benchbox.schema.engine import BUILD, EngineArtifact, EngineRecipe, ShapeProfile
from benchbox.schema.model import Precision
from benchbox.store.engines import (
    FOLDER,
    beside,
    engine_stem,
    kept_engine,
    key_of,
    shared_tactics,
    sole_builder,
    write_card,
    write_engine,
    write_tactics,
)
from benchbox.store.external import external_sha256

if TYPE_CHECKING:
    from benchbox.backends.base import CompiledEngine


@dataclass(frozen=True, kw_only=True)
class Built:
    """An engine, whether it was there already, and else the host memory that building it took (None: unknown)."""

    engine: EngineArtifact
    cached: bool
    peak_host_bytes: int | None = None


def compilers(name: str | None = None) -> dict[str, Compiler]:
    """The backends that make engines, all or the one of that name; raises UsageError for any other name."""
    found = {backend.name: backend for backend in BACKENDS if isinstance(backend, Compiler)}
    if name is None:
        return found
    if BACKENDS.get(name).name not in found:
        raise UsageError(f"{name} makes no engines", values=f"backends that do: {', '.join(found)}")
    return {name: found[name]}


def builder_named(name: str | None) -> Compiler:
    """The compiler of that name, else the first that can build here; raises EnvironmentLackError if none can."""
    reasons = []
    for compiler in compilers(name).values():
        state = probe_of(compiler)
        if state.builds:
            return compiler
        reasons.append((compiler.name, state))
    raise EnvironmentLackError(
        f"{name} cannot build engines on this machine" if name else "no backend can build engines on this machine",
        values="\n".join(f"{backend}: {state.reason}" for backend, state in reasons),
        remedy=" or ".join(dict.fromkeys(state.remedy for _, state in reasons if state.remedy)),
    )


def installed_versions() -> dict[str, str]:
    """Version of each compiler that is installed, by its name."""
    states = {name: probe_of(compiler) for name, compiler in compilers().items()}
    return {name: state.version for name, state in states.items() if state.version}


def engine_from_artifact(
    onnx: OnnxArtifact,
    *,
    compiler: Compiler,
    precision: Precision,
    root: Path,
    batch: BatchRange | None = None,
    targets: tuple[str, ...] = (),
    timing_cache: Path | None = None,
    options: tuple[str, ...] = (),
    say: Say = lambda _: None,
) -> Built:
    """The engine of an ONNX file, from the cache if it is there undamaged.

    Args:
        onnx: the file, in the precision that the engine computes in (tf32 takes the fp32 file).
        compiler: the backend that builds it.
        precision: of the engine.
        root: project root.
        batch: batch sizes that it must accept; the file's fixed size, else 1, by default.
        targets: compute capabilities ("sm86"); the vendor's own choice by default.
        timing_cache: file with the measured tactics of an earlier build; it is a part of the engine's key. Without one
            those of all earlier builds with this version on this kind of GPU are used and added to.
        options: further choices of the builder's, for the recipe ("builder_level=5").
        say: receives what is being done, one line at a time.

    Raises:
        ArtifactError: the builder refuses.
        StoreError: engines/ is unwritable; nothing is left then.
        UsageError: an invalid target, batch range or timing cache.
        EnvironmentLackError: the builder, or the GPU that it tunes on, is missing.
    """
    path = root / onnx.path
    sizes = settled_batch(onnx, batch)
    request = CompileRequest(
        onnx_path=path,
        onnx_sha256=onnx.sha256,
        weights_sha256=external_sha256(path) if Path(onnx.path).is_absolute() else None,
        precision=precision,
        profiles=profiles_from_inputs(onnx.inputs, sizes),
        targets=targets,
        timing_cache=_bytes_of(timing_cache) if timing_cache else None,
        options=options,
    )
    recipe = compiler.recipe(request)
    stem = engine_stem(root, backend=compiler.name, model=onnx.model, precision=precision, key=key_of(recipe))
    found = _usable(stem, root, compiler, say)
    if found is not None:
        return Built(engine=found, cached=True)
    with sole_builder(stem, waiting=lambda: say("another process builds this engine; waiting for it")):
        found = _usable(stem, root, compiler, lambda _: None)
        if found is not None:
            return Built(engine=found, cached=True)
        say(f"building the engine with {compiler.name} {recipe.backend_version}")
        compiled = _compiled(compiler, request, recipe, root, say)
        if not compiled.engine:
            raise ArtifactError(f"{recipe.backend} made an empty engine", values=f"{onnx.model} {precision}")
        sha256 = write_engine(stem, engine=compiled.engine, log=compiled.log, timing_cache=compiled.timing_cache)
        artifact = _artifact(onnx, precision, sizes, recipe, stem, compiled, sha256)
        write_card(artifact, root)
    return Built(engine=artifact, cached=False, peak_host_bytes=compiled.peak_host_bytes)


def _compiled(
    compiler: Compiler, request: CompileRequest, recipe: EngineRecipe, root: Path, say: Say
) -> CompiledEngine:
    """Builds with the tactics that were named, else with those that this kind of GPU has measured before.

    Two builds then choose alike where they can, and measure once what both need. A shared cache that is refused is left
    out and written anew. One of several builds, whose difference is what is asked for, shares nothing.
    """
    alone = any(option.startswith(f"{BUILD}=") for option in request.options)
    if request.timing_cache is not None or not recipe.device or alone:
        return compiler.compile(request, recipe)
    shared = shared_tactics(root, recipe)
    if shared.exists():
        try:
            compiled = compiler.compile(replace(request, timing_cache=shared.read_bytes()), recipe)
        except ArtifactError as error:
            if "timing cache" not in error.what:
                raise
            say(f"{shared.name} is left out: {error.values}")
            compiled = compiler.compile(request, recipe)
    else:
        compiled = compiler.compile(request, recipe)
    if compiled.timing_cache:
        write_tactics(shared, compiled.timing_cache)
    return compiled


def _usable(stem: Path, root: Path, compiler: Compiler, say: Say) -> EngineArtifact | None:
    """The engine of a stem if it is undamaged and its runtime would take it; ``say`` receives what is wrong with it."""
    kept = kept_engine(stem, root)
    if kept is None:
        return None
    artifact = kept.artifact
    fault = kept.fault
    if artifact is not None and not fault:
        fault = compiler.fault((root / artifact.path).read_bytes()) or ""
    if fault or artifact is None:
        say(f"the engine {stem.name} is built again: {fault}")
        return None
    return artifact


def _artifact(
    onnx: OnnxArtifact,
    precision: Precision,
    batch: BatchRange,
    recipe: EngineRecipe,
    stem: Path,
    compiled: CompiledEngine,
    sha256: str,
) -> EngineArtifact:
    folder = FOLDER / recipe.backend
    return EngineArtifact(
        key=key_of(recipe),
        model=onnx.model,
        source=onnx.source,
        weights=onnx.weights,
        precision=precision,
        batch=batch,
        recipe=recipe,
        onnx_path=onnx.path,
        path=str(folder / beside(stem, ".engine").name),
        sha256=sha256,
        size_bytes=len(compiled.engine),
        log_path=str(folder / beside(stem, ".log").name),
        timing_cache_path=None if compiled.timing_cache is None else str(folder / beside(stem, ".timing").name),
        build_s=compiled.build_s,
        layers=compiled.layers,
        memory=compiled.memory,
        warnings=compiled.warnings,
        built_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _bytes_of(timing_cache: Path) -> bytes:
    try:
        return timing_cache.read_bytes()
    except OSError as error:
        raise UsageError(
            "the timing cache cannot be read",
            values=f"{timing_cache}: {error.strerror or error}",
            remedy="name the .timing file that an earlier build left in engines/",
        ) from error


def settled_batch(artifact: OnnxArtifact, asked: BatchRange | None) -> BatchRange:
    """The batch sizes of an engine: the requested ones, else the fixed size of the file, else 1.

    Raises UsageError for a range that the file's fixed batch size contradicts, or one without an upper end.
    """
    fixed = artifact.fixed_batch
    if asked is None:
        size = fixed or 1
        return BatchRange(minimum=size, optimum=size, maximum=size)
    if asked.maximum is None:
        raise UsageError("an engine needs a maximum batch size", remedy="give it: --batch 1:8:32")
    if fixed is not None and (asked.minimum, asked.maximum) != (fixed, fixed):
        raise UsageError(
            f"{artifact.model} has a fixed batch size",
            values=f"the file is made for {fixed}, got {asked.minimum}:{asked.optimum}:{asked.maximum}",
            remedy=f"remove --batch, or give --batch {fixed}",
        )
    return asked


def profiles_from_inputs(inputs: tuple[TensorSpec, ...], batch: BatchRange) -> tuple[ShapeProfile, ...]:
    """One profile per input; an input whose batch is fixed keeps it."""
    assert batch.maximum is not None, "settled_batch refuses a range without an upper end"
    return tuple(
        ShapeProfile(
            input=spec.name,
            minimum=_shape(spec, batch.minimum),
            optimum=_shape(spec, batch.optimum),
            maximum=_shape(spec, batch.maximum),
        )
        for spec in inputs
    )


def _shape(spec: TensorSpec, batch: int) -> tuple[int, ...]:
    return tuple(batch if size is None else size for size in spec.shape)
