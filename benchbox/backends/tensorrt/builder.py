"""How does an ONNX file become an engine?

The network is always strongly typed: the types in the graph are the precision, no flag changes them. The one choice
left is TF32, which is cleared unless tf32 was asked for (both vendors allow it by default).
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchbox.backends.base import CompiledEngine, CompileRequest
from benchbox.backends.child import high_water_bytes
from benchbox.backends.cuda.driver import gpu_from_driver
from benchbox.backends.tensorrt.journal import Lines, errors_in, journal, memory_in, text_of, warnings_in
from benchbox.backends.tensorrt.options import apply_options
from benchbox.backends.tensorrt.plugins import plugin_flags, register_plugins
from benchbox.backends.tensorrt.vendor import Bindings, Vendor, loaded
from benchbox.errors import ArtifactError, UsageError
from benchbox.registry import require_known
from benchbox.schema.engine import BUILD, EngineRecipe
from benchbox.schema.model import Precision

TF32 = "tf32"
_ALWAYS = ("strongly_typed", "detailed_profiling")
# Assertion texts of the parser that explain nothing beyond its error code.
_EMPTY_REASONS = frozenset({"", "false"})
_FREE = -1


def recipe_from_request(bindings: Bindings, request: CompileRequest) -> EngineRecipe:
    """Everything that decides the engine; see ``Compiler.recipe``."""
    targets = _known_targets(bindings, request.targets)
    if request.timing_cache is not None and not bindings.tunes_on_gpu:
        raise UsageError(
            f"{bindings.vendor.title} has no timing cache",
            values="it measures no kernels while it builds",
            remedy="leave --timing-cache out",
        )
    if not bindings.tunes_on_gpu and any(option.startswith(f"{BUILD}=") for option in request.options):
        raise UsageError(
            f"{bindings.vendor.title} makes the same engine in every build",
            values="it measures no kernels while it builds",
            remedy="leave --builds out",
        )
    return EngineRecipe(
        onnx_sha256=request.onnx_sha256,
        weights_sha256=request.weights_sha256,
        backend=bindings.vendor.name,
        backend_version=bindings.version,
        targets=targets,
        device=str(gpu_from_driver()) if bindings.tunes_on_gpu else "",
        profiles=request.profiles,
        flags=(*_ALWAYS, *((TF32,) if request.precision is Precision.TF32 else ()), *plugin_flags(), *request.options),
        timing_cache_sha256=None if request.timing_cache is None else hashlib.sha256(request.timing_cache).hexdigest(),
    )


def engine_from_onnx(
    bindings: Bindings, path: Path, recipe: EngineRecipe, *, timing_cache: bytes | None = None
) -> CompiledEngine:
    """Compiles an ONNX file.

    Raises:
        ArtifactError: the parser or the builder refuses, with its reasons, node and operator.
    """
    api = bindings.api
    log, lines = journal(api)
    start = time.perf_counter()
    register_plugins(bindings, log)
    builder = api.Builder(log)
    network = builder.create_network(1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(bindings, network, log, lines, path)
    config = builder.create_builder_config()
    _configure(bindings, builder, network, config, recipe, lines)
    with _quiet_about_timing_caches():
        if bindings.tunes_on_gpu:
            _set_timing_cache(bindings, config, timing_cache, lines)
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise _refused(bindings, path, lines)
        tuned = bytes(config.get_timing_cache().serialize()) if bindings.tunes_on_gpu else None
    return CompiledEngine(
        # A view, not a copy: engines are as large as their weights.
        engine=memoryview(engine).cast("B"),
        log=text_of(lines),
        build_s=time.perf_counter() - start,
        layers=int(network.num_layers),
        memory=memory_in(lines),
        warnings=warnings_in(lines),
        timing_cache=tuned,
    )


def built_here(vendor: Vendor, path: Path, recipe: EngineRecipe, timing_cache: bytes | None) -> CompiledEngine:
    """``engine_from_onnx`` for ``in_child``: the engine as bytes, and the host memory that building it took."""
    made = engine_from_onnx(loaded(vendor), path, recipe, timing_cache=timing_cache)
    return replace(made, engine=bytes(made.engine), peak_host_bytes=high_water_bytes())


def _known_targets(bindings: Bindings, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The targets in the vendor's order, each once."""
    if asked and not bindings.targets:
        raise UsageError(
            f"{bindings.vendor.title} builds for the GPU of this machine only",
            values=f"got --target {','.join(asked)}",
            remedy="leave --target out, or use --backend tensorrt-rtx",
        )
    for target in asked:
        require_known("target", target, bindings.targets)
    return tuple(target for target in bindings.targets if target in asked)


def _parse(bindings: Bindings, network: Any, log: Any, lines: Lines, path: Path) -> None:
    parser = bindings.api.OnnxParser(network, log)
    # The path, not the bytes: external data lies beside the file.
    if parser.parse_from_file(os.fspath(path)) and network.num_outputs > 0:
        return
    reasons = [_parser_reason(parser.get_error(index)) for index in range(parser.num_errors)]
    raise ArtifactError(
        f"{bindings.vendor.title} {bindings.version} cannot read {path.name}",
        values="\n".join(dict.fromkeys(reasons)) or "\n".join(errors_in(lines)) or "it gives no reason",
        remedy="replace the operator in the network, or run it with --backend onnxruntime",
    )


def _parser_reason(error: Any) -> str:
    """One complaint of the parser: "node 'volume' (Det): UNSUPPORTED_NODE"."""
    node, operator = error.node_name(), error.node_operator()
    where = f"node '{node}' ({operator}): " if operator else ""
    reason = " ".join(str(error.desc()).split())
    return f"{where}{error.code().name}" + ("" if reason in _EMPTY_REASONS else f": {reason}")


def _configure(bindings: Bindings, builder: Any, network: Any, config: Any, recipe: EngineRecipe, lines: Lines) -> None:
    api = bindings.api
    config.profiling_verbosity = api.ProfilingVerbosity.DETAILED
    _set_tf32(bindings, config, allowed=TF32 in recipe.flags)
    apply_options(bindings, config, recipe.flags)
    if recipe.targets:
        config.num_compute_capabilities = len(recipe.targets)
        for index, target in enumerate(recipe.targets):
            config.set_compute_capability(getattr(api.ComputeCapability, target.upper()), index)
    shapes = {wanted.input: wanted for wanted in recipe.profiles}
    free = [tensor for tensor in map(network.get_input, range(network.num_inputs)) if _FREE in tuple(tensor.shape)]
    if not free:
        return
    profile = builder.create_optimization_profile()
    for tensor in free:
        shape = shapes[tensor.name]
        profile.set_shape(tensor.name, shape.minimum, shape.optimum, shape.maximum)
    if config.add_optimization_profile(profile) < 0:
        raise ArtifactError(
            f"{bindings.vendor.title} {bindings.version} refuses the input shapes",
            values="\n".join(errors_in(lines)),
            remedy="check --batch and --input against the network's inputs",
        )


def _set_tf32(bindings: Bindings, config: Any, *, allowed: bool) -> None:
    """Sets the flag and reads it back: an engine does not report it, so the recipe must."""
    flag = bindings.api.BuilderFlag.TF32
    (config.set_flag if allowed else config.clear_flag)(flag)
    if bool(config.get_flag(flag)) is not allowed:
        raise ArtifactError(
            f"{bindings.vendor.title} {bindings.version} does not take the TF32 flag",
            values=f"TF32 was to be {'allowed' if allowed else 'forbidden'}, the builder says otherwise",
            remedy="report it: fp32 and tf32 would be the same engine",
        )


def _set_timing_cache(bindings: Bindings, config: Any, content: bytes | None, lines: Lines) -> None:
    """The tactics of an earlier build, or an empty cache to collect those of this one.

    Raises ArtifactError where the builder refuses them: the recipe says that they were used.
    """
    cache = config.create_timing_cache(content or b"")
    if cache is None or not config.set_timing_cache(cache, False):
        raise ArtifactError(
            f"{bindings.vendor.title} {bindings.version} refuses the timing cache on {gpu_from_driver()}",
            values="\n".join(errors_in(lines)) or "it is of another GPU or another version, or damaged",
            remedy="leave --timing-cache out, or name the .timing file of a build on this GPU with this version",
        )


def _refused(bindings: Bindings, path: Path, lines: Lines) -> ArtifactError:
    return ArtifactError(
        f"{bindings.vendor.title} {bindings.version} cannot build an engine from {path.name}",
        values="\n".join(errors_in(lines)) or "it gives no reason",
        remedy="try another --precision, --target or --batch, or run the network with --backend onnxruntime",
    )


@contextmanager
def _quiet_about_timing_caches() -> Iterator[None]:
    """A vendor that tunes nothing calls its timing-cache functions deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
