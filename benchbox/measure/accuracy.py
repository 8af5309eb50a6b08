"""How often is a network right on labelled pictures, through any backend and precision?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchbox.backends.base import BACKENDS, OpenRequest
from benchbox.errors import ArtifactError, UsageError
from benchbox.models.pictures.images import ImageRecipe, recipe_from_source
from benchbox.models.pictures.labels import Labelled
from benchbox.progress import Step
from benchbox.schema.accuracy import AccuracyResult, Share
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import ModelSource, Precision
from benchbox.stats.interval import wilson_interval

if TYPE_CHECKING:
    from benchbox.backends.base import Session

TOP = 5


def accuracy_from_pictures(
    pictures: Sequence[Labelled],
    *,
    artifact: OnnxArtifact,
    source: ModelSource,
    backend: str,
    precision: Precision,
    root: Path,
    threads: int,
    batch: int = 8,
    progress: Step = lambda _, __, ___: None,
) -> AccuracyResult:
    """Top-1 and top-5 of a network; the scores are its first output.

    Args:
        pictures: with the index of their class.
        artifact: the checked ONNX file of the network in this precision.
        source: the network.
        backend: that runs it.
        precision: that it is asked to run in.
        root: project root.
        threads: CPU threads.
        batch: pictures at once, unless the file's batch is fixed.
        progress: is told (pictures done, in all, what runs).

    Raises:
        ArtifactError: pictures that cannot be read, an input that is none, scores that are not finite.
        UsageError: a label that the network has no score for.
    """
    if len(artifact.inputs) != 1:
        raise UsageError(f"{artifact.model} has several inputs", values="accuracy is of networks with one picture in")
    spec, scores = artifact.inputs[0], artifact.outputs[0]
    recipe = recipe_from_source(source, tuple(size or 1 for size in spec.shape[1:]))
    classes = _classes(artifact, pictures)
    size = spec.shape[0] or batch
    session = BACKENDS.get(backend).open(_request(artifact, source, backend, precision, root, threads, size))
    firsts = fives = done = 0
    try:
        for part in _parts(pictures, size):
            made = _scores(session, part, recipe, spec.name, spec.dtype, scores.name, size)
            labels = np.array([picture.label for picture in part])
            best = np.argsort(-made, axis=1, kind="stable")[:, :TOP]
            firsts += int((best[:, 0] == labels).sum())
            fives += int((best == labels[:, None]).any(axis=1).sum())
            done += len(part)
            progress(done, len(pictures), f"{done} of {len(pictures)} pictures")
        evidence = session.evidence()
    finally:
        session.close()
    return AccuracyResult(
        model=artifact.model,
        backend=backend,
        precision=precision,
        variant=artifact.variant,
        samples=len(pictures),
        classes=classes,
        top1=_share(firsts, len(pictures)),
        top5=_share(fives, len(pictures)),
        recipe=recipe.text,
        onnx_sha256=artifact.sha256,
        evidence=evidence,
    )


def _classes(artifact: OnnxArtifact, pictures: Sequence[Labelled]) -> int:
    shape = artifact.outputs[0].shape
    if len(shape) != 2 or not shape[1]:
        raise ArtifactError(f"{artifact.model} gives no scores per class", values=f"its first output has shape {shape}")
    highest = max(pictures, key=lambda picture: picture.label)
    if highest.label >= shape[1]:
        raise UsageError(
            f"{artifact.model} has no score for class {highest.label}",
            values=f"{shape[1]} classes; {highest.path.parent.name} is class {highest.label}",
            remedy="check the folder, or give the classes with --labels",
        )
    return shape[1]


def _request(
    artifact: OnnxArtifact,
    source: ModelSource,
    backend: str,
    precision: Precision,
    root: Path,
    threads: int,
    size: int,
) -> OpenRequest:
    consumes = BACKENDS.get(backend).consumes

    def module() -> Any:
        from benchbox.models.sources import module_from_source

        return module_from_source(source, seed=artifact.seed)

    return OpenRequest(
        precision=precision,
        threads=threads,
        inputs=tuple(spec.at_batch(size) for spec in artifact.inputs),
        outputs=tuple(spec.at_batch(size) for spec in artifact.outputs),
        onnx_path=root / artifact.path if consumes == "onnx" else None,
        module=module if consumes == "module" else None,
        fallback=artifact.fallback,
    )


def _parts(pictures: Sequence[Labelled], size: int) -> Iterator[Sequence[Labelled]]:
    for first in range(0, len(pictures), size):
        yield pictures[first : first + size]


def _scores(
    session: Session,
    part: Sequence[Labelled],
    recipe: ImageRecipe,
    name: str,
    dtype: str,
    output: str,
    size: int,
) -> np.ndarray:
    arrays = [recipe.array_from_file(picture.path) for picture in part]
    filled = arrays + [arrays[0]] * (size - len(arrays))
    session.upload(0, {name: np.stack(filled).astype(dtype)})
    session.enqueue(0)
    session.synchronize()
    made = np.asarray(session.download(0)[output])[: len(part)]
    if not np.isfinite(made).all():
        raise ArtifactError(
            "the network gives scores that are not finite",
            values=f"for one of {', '.join(picture.path.name for picture in part[:3])}",
            remedy="the precision may not hold its activations; try another, or --exclude",
        )
    return made


def _share(right: int, samples: int) -> Share:
    low, high = wilson_interval(right, samples)
    return Share(value=right / samples, low=low, high=high)
