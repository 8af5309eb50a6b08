"""On which samples, and at which batch sizes, is a file from elsewhere asked what it gives?"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError, BenchboxError, SizesError
from benchbox.export.check_set import CheckSet, check_batches
from benchbox.export.feeds import with_samples
from benchbox.export.foreign import ForeignGraph, graph_from_file, sizes_of_source
from benchbox.export.judging import Judged, judged_outputs, mixes_samples
from benchbox.export.randomness import random_nodes
from benchbox.export.reuse import Cache
from benchbox.graph.border import Sizes
from benchbox.graph.graph import graph_from_proto
from benchbox.graph.inner_batch import InnerBatch, inner_batches
from benchbox.graph.structure import proto_from_file
from benchbox.schema.artifact import BatchRange, TensorSpec
from benchbox.schema.model import ModelSource
from benchbox.stats.batches import inferences_in, joined, specs_of_outputs

if TYPE_CHECKING:
    import onnx

# Each is an inference that fails or not; the likeliest sizes come first.
_MOST_TRIED = 3


def judged_at_some_batch(
    path: Path, graph: ForeignGraph, cache: Cache
) -> tuple[ForeignGraph, CheckSet, Judged, tuple[str, ...]]:
    """As ``_judged_file``; a graph that fails at larger batches is taken at the one that is fixed inside, or at 1.

    So is one that the runtime fails on, and a less strict judge does not: states of one sample that it broadcasts. That
    is a warning. Raises ArtifactError where it runs at none of them.
    """
    warnings = graph.contents.warnings
    lax: tuple[ForeignGraph, CheckSet, Judged, tuple[str, ...]] | None = None
    failure: ArtifactError | None = None
    settled = graph.fixed_batch is not None or cache.batch is not None
    try:
        check, judged = _judged_file(path, graph, cache)
        lax = graph, check, judged, warnings
        if settled or not judged.failed:
            return lax
    except ArtifactError as error:
        if settled:
            raise
        failure = error
    tried = _batches_to_try(path, cache)
    for batch in tried:
        at_size = graph_from_file(path, sizes=sizes_of_source(cache.recipe.source, batch=batch.size))
        try:
            check, judged = _judged_file(path, at_size, cache)
        except ArtifactError as error:
            failure = error if batch.size == 1 or failure is None else failure
            continue
        if lax is not None and judged.failed:
            continue
        words = f"its inputs take any batch, but the graph runs at a batch of {batch.size} only"
        return at_size, check, judged, (*warnings, f"{words}: {batch.where}" if batch.where else words)
    if lax is not None:
        return lax
    assert failure is not None, "the first judgement is there, or why it is not"
    sizes = " or ".join(str(batch.size) for batch in tried)
    raise (SizesError if isinstance(failure, SizesError) else ArtifactError)(
        failure.what,
        values=f"{failure.values}\nnor does it run at a batch of {sizes}",
        remedy=f"{failure.remedy}; where a size is fixed inside, export it again with that size free",
    ) from failure


def _batches_to_try(path: Path, cache: Cache) -> tuple[InnerBatch, ...]:
    """What constants inside say the batch is; after the certain ones 1, after that what shapes allow and 1 may not."""
    sizes, alone = sizes_of_source(cache.recipe.source), InnerBatch(size=1, where="")
    try:
        structure = proto_from_file(path)
    except BenchboxError:  # a graph that is not counted may run
        return (alone,)
    inner = inner_batches(structure, path, sizes)
    certain = [batch for batch in inner if batch.certain]
    others = (
        batch for batch in inner if not batch.certain and _fits(structure, path, replace(sizes, batch=batch.size))
    )
    return (*certain, alone, *itertools.islice(others, _MOST_TRIED))


def _fits(structure: onnx.ModelProto, path: Path, sizes: Sizes) -> bool:
    """Whether the shapes of a graph fit together at these sizes."""
    try:
        graph_from_proto(structure, path, sizes, opened=True)
    except BenchboxError:
        return False
    return True


def _judged_file(path: Path, graph: ForeignGraph, cache: Cache) -> tuple[CheckSet, Judged]:
    """What a file is checked on, with its outputs as they were seen, and what they should be."""
    inputs = with_real_samples(graph.inputs, cache.recipe.source)
    batches = check_batches(cache.batch or BatchRange(), graph.fixed_batch)
    names = tuple(spec.name for spec in graph.outputs)
    unseen = tuple(TensorSpec(name=name, dtype="float32", shape=(None,), batch_axis=None) for name in names)
    check = CheckSet(inputs=inputs, outputs=unseen, batches=batches, seed=cache.recipe.seed)
    judged = judged_outputs(path, check)
    if judged.outputs is None:
        return replace(check, outputs=graph.outputs), judged
    made = inferences_in(judged.outputs, names, len(batches))
    counted = any(spec.batch_axis is not None for spec in inputs)
    outputs = specs_of_outputs(made, names, batches=batches, counted=counted, open_axes=graph.data_dependent)
    check, expected = replace(check, outputs=outputs), joined(made, outputs)
    if not random_nodes(graph.proto) and mixes_samples(path, check, judged, expected, graph.contents.precision):
        check = check.by_inference()
        expected = joined(made, check.outputs)
    return check, replace(judged, outputs=expected)


def with_real_samples(inputs: tuple[TensorSpec, ...], source: ModelSource) -> tuple[TensorSpec, ...]:
    """The inputs, fed from the file that the user gave, if there is one; raises what ``with_samples`` raises."""
    return with_samples(inputs, Path(source.inputs.samples)) if source.inputs.samples else inputs
