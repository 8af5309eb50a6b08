"""How does a model reference become the files and figures that the stages need?

What is in a cache is taken from there: the ONNX file, the engine, the structure without weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.backends.base import BACKENDS, Compiler, ConvertingBackend
from benchbox.errors import ArtifactError, BenchboxError, InputsError, NumericsError, UsageError
from benchbox.graph.graph import Graph
from benchbox.jobs.asked_sizes import sizes_as_asked
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.cost import NetworkCost, PrecisionCost
from benchbox.schema.derivation import USUAL, Derivation
from benchbox.schema.model import ModelSource, Precision, SourceKind

if TYPE_CHECKING:
    from benchbox.export.engines import Built


@dataclass(frozen=True, kw_only=True)
class PaperCosts:
    """A network's cost in the file's own precision, in fp32 if the file is in fp32, and in the requested precisions."""

    cost: NetworkCost
    fp32: PrecisionCost | None
    precisions: tuple[PrecisionCost, ...]


def exported_sources(root: Path, *, say: Callable[[str], None] = lambda _: None) -> tuple[ModelSource, ...]:
    """The networks that have an artifact under the root, each once, in alphabetical order.

    ``say`` receives a warning for each that is left out: a damaged artifact, a file that is gone.
    """
    from benchbox.store.artifact_files import artifacts_under

    found: dict[ModelSource, None] = {}
    gone: dict[str, None] = {}
    for artifact in sorted(artifacts_under(root, say=say), key=lambda artifact: artifact.model):
        try:
            found[source_of(artifact)] = None
        except UsageError as error:
            gone[f"warning: {artifact.model} was exported, and is left out: {error.what}"] = None
    for warning in gone:
        say(warning)
    return tuple(found)


def source_of(artifact: OnnxArtifact) -> ModelSource:
    """The reference that an artifact was made of; raises UsageError where it no longer exists."""
    from benchbox.models.sources import resolve

    return resolve(
        artifact.source,
        input_shape=artifact.asked_shape,
        weights=artifact.weights,
        inputs=replace(artifact.choice, batch=None),
        task=artifact.task,
        part=artifact.part,
    )


def own_batch(source: ModelSource) -> int:
    """The batch size of a network where none was asked for: what its file is fixed at, else 1.

    What the code of a network fixes is known when it was exported: ``onnx_at_batch``.
    """
    from benchbox.export.foreign import sizes_of_source
    from benchbox.graph.structure import border_from_file

    if source.kind is not SourceKind.ONNX:
        return 1
    try:
        border = border_from_file(Path(source.reference), sizes_of_source(source))
    except BenchboxError:
        return 1  # the stage that needs the sizes says what is wrong
    return border.batch or 1


def own_precision(source: ModelSource) -> Precision:
    """The precision of a network where none was asked for: what its ONNX file computes in, else fp32."""
    from benchbox.export.precision.contents import precision_from_file

    if source.kind is not SourceKind.ONNX:
        return Precision.FP32
    try:
        return precision_from_file(Path(source.reference))
    except BenchboxError:
        return Precision.FP32  # the stage that reads the file says what is wrong


def graph_precision(
    backend: str, precision: Precision, derivation: Derivation = USUAL, *, source: ModelSource | None = None
) -> Precision:
    """The precision of the ONNX file that a backend is given: fp32 where it converts to the precision itself.

    A user's own file in that precision is given unchanged, and so is a file by another converter.

    Raises UsageError for nodes to be excluded from a conversion that the backend does itself.
    """
    found = BACKENDS.get(backend)
    if not isinstance(found, ConvertingBackend) or precision not in found.converts:
        return precision
    if derivation.converter is not USUAL.converter:
        return precision
    if source is not None and source.kind is SourceKind.ONNX:
        from benchbox.export.precision.contents import precision_from_file

        if precision_from_file(Path(source.reference)) is precision:
            return precision
    if derivation.exclude:
        raise UsageError(
            f"{backend} converts to {precision} itself and excludes no nodes",
            values=f"--exclude {','.join(derivation.exclude)}",
            remedy="remove --exclude, or choose another --backend",
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
    making: Callable[[], object] = lambda: None,
) -> OnnxArtifact:
    """The checked ONNX file of a network, from the cache if nothing that decides it has changed.

    tf32 runs the fp32 graph: the difference is what the backend may do with it. ``making`` is called before a
    file is made, if the cache does not have it.

    Raises InputsError as ``sizes_as_asked``, and for batch sizes that the network does not take, beside what
    ``artifact_from_source`` raises.
    """
    from benchbox.export.exporting import artifact_from_source

    wanted = Precision.FP32 if precision is Precision.TF32 else precision
    with sizes_as_asked(source, root):
        artifact = artifact_from_source(
            source, precision=wanted, batch=batch, root=root, derivation=derivation, say=say, making=making
        )
    fixed = artifact.fixed_batch
    if batch is not None and fixed is not None and (batch.minimum, batch.maximum) != (fixed, fixed):
        raise UsageError(
            f"{source.reference} does not take these batch sizes",
            values=f"asked for {batch.minimum} to {batch.maximum or 'any'}, it is made for {fixed}",
            remedy=f"leave --batch out, or give --batch {fixed}",
        )
    return artifact


def onnx_at_batch(
    source: ModelSource,
    *,
    batch: int,
    precision: Precision,
    root: Path,
    asked: bool = True,
    derivation: Derivation = USUAL,
    say: Callable[[str], None] = lambda _: None,
    making: Callable[[], object] = lambda: None,
) -> OnnxArtifact:
    """As ``onnx_from_source``, for inferences of this batch size; of its own fixed one where none was ``asked`` for.

    A file whose outputs belong to no sample, as the boxes that a detector finds in all pictures, is checked at this
    batch size and no other.

    Raises:
        UsageError: the file is made for another batch size.
    """
    bound = replace(source, inputs=replace(source.inputs, batch=batch))

    def made(wanted: ModelSource) -> OnnxArtifact:
        return onnx_from_source(wanted, precision=precision, root=root, derivation=derivation, say=say, making=making)

    try:
        artifact = made(source)
    except (ArtifactError, InputsError) as error:
        # A graph that was made for one size runs at none of those that are tried; what is asked for may be that size.
        if not asked or source.kind is not SourceKind.ONNX or isinstance(error, NumericsError):
            raise
        artifact = made(bound)
    if artifact.whole_inferences:
        artifact = made(bound)
    fixed = artifact.fixed_batch
    if asked and fixed not in (None, batch):
        what = "runs at one batch size" if artifact.has_batch_axis else "has no axis that is known to count samples"
        what = what if artifact.inputs else "has no inputs"
        raise UsageError(
            f"{source.reference} {what}",
            values=f"asked for a batch of {batch}, it is made for {fixed}",
            remedy=f"give --batch {fixed}"
            + ("" if artifact.has_batch_axis or not artifact.inputs else ", or name the axis: --batch-axis NAME=AXIS"),
        )
    return artifact


def graph_from_artifact(artifact: OnnxArtifact, *, root: Path, batch: int) -> Graph:
    """The graph of a checked file at one batch size, with the sizes that it was checked with."""
    from benchbox.graph.graph import graph_from_file

    return graph_from_file(
        root / artifact.path,
        batch=batch,
        named={spec.name: tuple(size or 0 for size in spec.sample_shape) for spec in artifact.inputs},
        axes={spec.name: spec.batch_axis for spec in artifact.inputs},
        opened=True,
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
    options: tuple[str, ...] = (),
    derivation: Derivation = USUAL,
    say: Callable[[str], None] = lambda _: None,
) -> Built:
    """The engine of a network, its ONNX file exported and checked first if needed; both from caches if undamaged."""
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
        options=options,
        say=say,
    )


def graph_from_source(
    source: ModelSource,
    *,
    batch: int | None = None,
    root: Path,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Graph, str]:
    """The graph that a network's cost is counted on, and the sha256 of the file that it was read from.

    That is the user's own ONNX file, or the exported one if it exists, else the structure without weights.
    """
    from benchbox.export.foreign import sizes_of_source
    from benchbox.graph.graph import graph_from_proto
    from benchbox.graph.inner_batch import inner_batches
    from benchbox.graph.structure import proto_from_file

    path, sha256 = _counted_file(source, root=root, say=say)
    proto, sizes = proto_from_file(path), sizes_of_source(source, batch)
    try:
        return graph_from_proto(proto, path, sizes, opened=True), sha256
    except ArtifactError:
        if sizes.batch is not None or source.kind is not SourceKind.ONNX:
            raise
        for inner in inner_batches(proto, path, sizes):
            with contextlib.suppress(BenchboxError):
                graph = graph_from_proto(proto, path, replace(sizes, batch=inner.size), opened=True)
                say(f"counted at a batch of {inner.size}, which is fixed inside: {inner.where}")
                return graph, sha256
        raise


def precision_costs_from_source(
    source: ModelSource,
    *,
    precisions: Sequence[Precision],
    derivation: Derivation = USUAL,
    batch: int | None = None,
    root: Path,
    say: Callable[[str], None] = lambda _: None,
) -> PaperCosts:
    """What a network costs analytically in its file's precision and in others; nothing is calibrated or written.

    Args:
        source: of the network; an ONNX file in a low precision has a cost in that one only.
        precisions: to count it in.
        derivation: excluded nodes and the type of the rest, for precisions that it applies to.
        batch: of the count.
        root: project root.
        say: receives what is being done, one line at a time.

    Raises:
        UsageError: the file is in another precision.
        ArtifactError: the graph cannot be counted, cast or quantised.
    """
    from benchbox.cost.counting import cost_from_graph
    from benchbox.cost.precision.precisions import precision_cost
    from benchbox.export.foreign import sizes_of_source
    from benchbox.export.precision.contents import contents_of
    from benchbox.export.precision.weightless import structure_in_precision
    from benchbox.graph.graph import graph_from_proto
    from benchbox.graph.structure import proto_from_file

    path, sha256 = _counted_file(source, root=root, say=say)
    structure = proto_from_file(path)
    sizes = sizes_of_source(source, batch)
    protos = {
        precision: structure_in_precision(structure, precision, derivation.for_precision(precision))
        for precision in precisions
    }
    given = graph_from_proto(structure, path, sizes)
    cost = cost_from_graph(given, model=source.name, sha256=sha256)
    is_fp32 = contents_of(structure).precision is Precision.FP32

    def counted(graph: Graph, precision: Precision) -> PrecisionCost:
        return precision_cost(
            graph,
            given if is_fp32 else None,
            model=source.name,
            sha256=sha256,
            precision=precision.value,
            variant=derivation.for_precision(precision).variant,
        )

    costs = tuple(counted(graph_from_proto(proto, path, sizes), precision) for precision, proto in protos.items())
    return PaperCosts(cost=cost, fp32=counted(given, Precision.FP32) if is_fp32 else None, precisions=costs)


def _counted_file(source: ModelSource, *, root: Path, say: Callable[[str], None]) -> tuple[Path, str]:
    """The file that a network is counted on, and its sha256."""
    from benchbox.export.outline import structure_from_source
    from benchbox.export.reuse import cached_artifact
    from benchbox.store.artifact_files import sha256_of

    if source.kind is SourceKind.ONNX:
        path = Path(source.reference)
        return path, sha256_of(path) if path.is_file() else ""
    if source.weights is not None:
        artifact: OnnxArtifact | None = onnx_from_source(source, precision=Precision.FP32, root=root, say=say)
    else:
        artifact = cached_artifact(source, precision=Precision.FP32, root=root)
    with sizes_as_asked(source, root):
        path = root / artifact.path if artifact else structure_from_source(source, root=root, say=say)
    return path, artifact.sha256 if artifact else sha256_of(path)


def cost_from_source(
    source: ModelSource,
    *,
    batch: int | None = None,
    allow_unknown: bool = False,
    root: Path,
    say: Callable[[str], None] = lambda _: None,
) -> NetworkCost:
    """What a network costs analytically at one batch size, counted on its ONNX structure."""
    from benchbox.cost.counting import cost_from_graph

    graph, sha256 = graph_from_source(source, batch=batch, root=root, say=say)
    return cost_from_graph(graph, model=source.name, sha256=sha256, allow_unknown=allow_unknown)
