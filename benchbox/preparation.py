"""How does a model reference become the files and figures that the stages need?

Every stage that can be answered from a cache is: the ONNX file, the engine, the structure without weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.backends.base import BACKENDS, Compiler, ConvertingBackend
from benchbox.errors import UsageError
from benchbox.flops.graph import Graph
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.cost import NetworkCost
from benchbox.schema.derivation import USUAL, Derivation
from benchbox.schema.model import ModelSource, Precision, SourceKind

if TYPE_CHECKING:
    from benchbox.export.engines import Built


def exported_sources(root: Path) -> tuple[ModelSource, ...]:
    """The networks that have an artifact under the root, each once, in alphabetical order."""
    from benchbox.models.sources import resolve
    from benchbox.store.artifacts import artifacts_under

    found: dict[ModelSource, None] = {}
    for artifact in sorted(artifacts_under(root), key=lambda artifact: artifact.model):
        bound = tuple(size for size in artifact.inputs[0].shape[1:] if size is not None)
        found[resolve(artifact.source, input_shape=bound, weights=artifact.weights)] = None
    return tuple(found)


def graph_precision(
    backend: str, precision: Precision, derivation: Derivation = USUAL, *, source: ModelSource | None = None
) -> Precision:
    """The precision of the ONNX file that a backend is given: fp32 where it converts to the precision itself.

    A user's own file that is in the precision already is given as it is, and what another converter was asked for.

    Raises UsageError for nodes to be left out of a conversion that is not ours.
    """
    found = BACKENDS.get(backend)
    if not isinstance(found, ConvertingBackend) or precision not in found.converts:
        return precision
    if derivation.converter is not USUAL.converter:
        return precision
    if source is not None and source.kind is SourceKind.ONNX:
        from benchbox.export.contents import precision_from_file

        if precision_from_file(Path(source.reference)) is precision:
            return precision
    if derivation.exclude:
        raise UsageError(
            f"{backend} converts to {precision} itself and leaves no node out",
            values=f"--exclude {','.join(derivation.exclude)}",
            remedy="leave --exclude away, or choose another --backend",
        )
    return Precision.FP32


def onnx_from_source(
    source: ModelSource,
    *,
    precision: Precision,
    root: Path,
    batch: BatchRange | None = None,
    derivation: Derivation = USUAL,
    say: Callable[[str], None] = lambda _: None,
) -> OnnxArtifact:
    """The checked ONNX file of a network, from the cache where nothing that matters has changed.

    tf32 runs the fp32 graph: the difference is what the backend may do with it.
    """
    from benchbox.export.exporting import artifact_from_source, cached_artifact

    wanted = Precision.FP32 if precision is Precision.TF32 else precision
    cached = cached_artifact(source, precision=wanted, root=root, batch=batch, derivation=derivation)
    return cached or artifact_from_source(
        source, precision=wanted, batch=batch, root=root, derivation=derivation, say=say
    )


def engine_from_source(
    source: ModelSource,
    *,
    compiler: Compiler,
    precision: Precision,
    root: Path,
    batch: BatchRange | None = None,
    targets: tuple[str, ...] = (),
    timing_cache: Path | None = None,
    derivation: Derivation = USUAL,
    say: Callable[[str], None] = lambda _: None,
) -> Built:
    """The engine of a network, its ONNX file exported and checked first if need be; both come from caches if whole."""
    from benchbox.export.engines import engine_from_artifact

    refusal = compiler.refusal(precision)
    if refusal:
        raise UsageError(f"{compiler.name} cannot build {precision}", values=refusal)
    artifact = onnx_from_source(source, precision=precision, root=root, derivation=derivation, say=say)
    return engine_from_artifact(
        artifact,
        compiler=compiler,
        precision=precision,
        root=root,
        batch=batch,
        targets=targets,
        timing_cache=timing_cache,
        say=say,
    )


def graph_from_source(
    source: ModelSource,
    *,
    batch: int | None = None,
    named: Mapping[str, tuple[int, ...]] | None = None,
    root: Path,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Graph, str]:
    """The graph that a network's cost is counted on, and the sha256 of the file that it was read from.

    That is the user's own ONNX file, or the exported one if it is there already, else the structure without weights.
    """
    from benchbox.export.exporting import cached_artifact
    from benchbox.export.outline import structure_from_source
    from benchbox.flops.graph import graph_from_file
    from benchbox.store.artifacts import sha256_of

    if source.kind is SourceKind.ONNX:
        path = Path(source.reference)
        graph = graph_from_file(path, batch=batch, input_shape=source.input_shape, named=named)
        return graph, sha256_of(path)
    if source.weights is not None:
        artifact: OnnxArtifact | None = onnx_from_source(source, precision=Precision.FP32, root=root, say=say)
    else:
        artifact = cached_artifact(source, precision=Precision.FP32, root=root)
    path = root / artifact.path if artifact else structure_from_source(source, root=root, say=say)
    graph = graph_from_file(path, batch=batch, input_shape=source.input_shape, named=named)
    return graph, artifact.sha256 if artifact else sha256_of(path)


def cost_from_source(
    source: ModelSource,
    *,
    batch: int | None = None,
    named: Mapping[str, tuple[int, ...]] | None = None,
    allow_unknown: bool = False,
    root: Path,
    say: Callable[[str], None] = lambda _: None,
) -> NetworkCost:
    """What a network costs on paper at one batch size, counted on its ONNX structure."""
    from benchbox.flops.counting import cost_from_graph

    graph, sha256 = graph_from_source(source, batch=batch, named=named, root=root, say=say)
    return cost_from_graph(graph, model=source.name, sha256=sha256, allow_unknown=allow_unknown)
