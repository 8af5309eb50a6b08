"""A network does not run with the sizes of its inputs: did it fail, or was the wrong thing asked for?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchbox.errors import InputsError, SizesError
from benchbox.models.zoo.zoo import spec
from benchbox.schema.model import ModelSource, SourceKind
from benchbox.store.artifact_files import artifacts_under


@contextlib.contextmanager
def sizes_as_asked(source: ModelSource, root: Path) -> Iterator[None]:
    """Turns a SizesError into an InputsError where the user said the sizes, and the network never ran with them.

    A network that was checked with these sizes before, and does not run with them now, has changed: that is a failure.
    """
    try:
        yield
    except SizesError as error:
        if not _says_sizes(source) or _ran_before(source, root):
            raise
        raise InputsError(error.what, values=error.values, remedy=error.remedy) from error


def _says_sizes(source: ModelSource) -> bool:
    """Whether the user said sizes that neither the network nor its file brings along."""
    if source.inputs.named or source.inputs.samples is not None:
        return True
    if source.kind is SourceKind.ZOO:
        return source.input_shape != spec(source.reference).input_shape
    return source.input_shape is not None


def _ran_before(source: ModelSource, root: Path) -> bool:
    """Whether a network of this name was exported and checked under the root with these sizes."""
    asked = source.input_shape, replace(source.inputs, batch=None)
    return any(
        (artifact.asked_shape, replace(artifact.choice, batch=None)) == asked
        for artifact in artifacts_under(root)
        if artifact.model == source.name
    )
