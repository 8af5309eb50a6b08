"""How does a network become an ONNX structure without weights, which is all that counting needs?

The way is the one of the real export (``module/tracing.py``, ``module/canonical.py``), so that the nodes are those of
the deployed file; only the weights are single numbers repeated, which are neither drawn, nor checked, nor written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchbox.export.module.canonical import canonicalise
from benchbox.export.module.tracing import traced
from benchbox.export.reuse import recipe_of
from benchbox.schema.model import ModelSource, Precision, SourceKind
from benchbox.store.artifact_files import structure_path, write_structure


def structure_from_source(source: ModelSource, *, root: Path, say: Callable[[str], None] = lambda _: None) -> Path:
    """Path of the ONNX file without weights, from the cache where nothing that decides it has changed.

    Args:
        source: of the zoo or a factory; a factory's structure is made anew each time: its code is not in the recipe.
        root: project root; the file lies under ``engines/structure``.
        say: receives what is being done.

    Raises:
        ArtifactError: the network cannot be exported.
        StoreError: the folder cannot be written.
        EnvironmentLackError, UsageError: the module cannot be built.
    """
    from benchbox.models.building import outline_from_source

    path = structure_path(root, model=source.name, recipe=recipe_of(source, seed=0).digest(Precision.FP32))
    if source.kind is SourceKind.ZOO and path.is_file():
        return path
    say("building the network")
    network = outline_from_source(source)
    say("exporting its structure to ONNX")
    made = traced(network, name=source.name, weights=False)
    canonicalise(made.proto, made.network.module, name=source.name)
    write_structure(path, made.proto.SerializeToString(deterministic=True))
    return path
