"""On which samples, and at which batch sizes, is a file from elsewhere asked what it gives?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchbox.errors import ArtifactError
from benchbox.export.check_set import CheckSet, check_batches
from benchbox.export.feeds import with_samples
from benchbox.export.foreign import ForeignGraph, graph_from_file, sizes_of_source
from benchbox.export.judging import Judged, judged_outputs, mixes_samples
from benchbox.export.randomness import random_nodes
from benchbox.export.reuse import Cache
from benchbox.schema.artifact import BatchRange, TensorSpec
from benchbox.schema.model import ModelSource
from benchbox.stats.batches import inferences_in, joined, specs_of_outputs


def judged_at_some_batch(
    path: Path, graph: ForeignGraph, cache: Cache
) -> tuple[ForeignGraph, CheckSet, Judged, tuple[str, ...]]:
    """As ``_judged_file``; a graph that fails at larger batches is taken as one of a batch of 1, with a warning."""
    warnings = graph.contents.warnings
    try:
        return (graph, *_judged_file(path, graph, cache), warnings)
    except ArtifactError:
        if graph.fixed_batch is not None or cache.batch is not None:
            raise
    graph = graph_from_file(path, sizes=sizes_of_source(cache.recipe.source, batch=1))
    warnings = (*warnings, "its inputs take any batch, but the graph runs at a batch of 1 only")
    return (graph, *_judged_file(path, graph, cache), warnings)


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
