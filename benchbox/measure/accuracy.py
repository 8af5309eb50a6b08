"""How often is a network right on labelled pictures, through any backend and precision?

In a worker process, as everything that runs a network: a runtime that crashes ends the worker and not the command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchbox.backends.base import BACKENDS
from benchbox.errors import ArtifactError, UsageError
from benchbox.measure.process.opening import open_request
from benchbox.measure.process.trials import run_worker
from benchbox.models.pictures.images import ImageRecipe, recipe_from_source
from benchbox.models.pictures.labels import Labelled, data_sha256_of
from benchbox.progress import Step
from benchbox.schema.accuracy import AccuracyResult, Share
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.engine import EngineArtifact
from benchbox.schema.model import ModelSource, Precision
from benchbox.stats.interval import wilson_interval

if TYPE_CHECKING:
    from benchbox.backends.base import Session

TOP = 5
# The longest that loading, or one batch of pictures, may take.
TIMEOUT_S = 600.0


@dataclass(frozen=True, kw_only=True)
class AccuracyRequest:
    """What a worker needs to know to judge a network on pictures.

    ``artifact`` is the checked ONNX file in the precision that the backend is given, ``engine`` is set for backends
    that run one. ``batch`` is how many pictures run at once.
    """

    pictures: tuple[Labelled, ...]
    artifact: OnnxArtifact
    engine: EngineArtifact | None
    source: ModelSource
    backend: str
    precision: Precision
    root: Path
    threads: int
    batch: int
    timeout_s: float = TIMEOUT_S
    interpreter: tuple[str, ...] = ()


def accuracy_from_pictures(request: AccuracyRequest, *, progress: Step = lambda _, __, ___: None) -> AccuracyResult:
    """Top-1 and top-5 of a network, from a process of its own; the scores are the network's first output.

    Args:
        request: the network and the pictures.
        progress: is called with (pictures done, in all, what runs).

    Raises:
        ArtifactError: unreadable pictures, an input that does not take pictures, scores that are not finite.
        UsageError: a label that the network has no score for, a backend that computes nothing.
        MeasurementError: the worker crashed, hung or ran out of memory.
    """
    if BACKENDS.get(request.backend).virtual:
        raise UsageError(
            f"{request.backend} computes nothing, so there is no accuracy", remedy="choose another --backend"
        )
    _recipe(request)
    _classes(request.artifact, request.pictures)
    total = len(request.pictures)
    progress(0, total, f"{total} pictures")
    answer = run_worker(request, progress=lambda done: progress(done, total, f"{done:.0f} of {total} pictures"))
    assert isinstance(answer, AccuracyResult), "a worker answers an accuracy request with its result"
    progress(total, total, f"{total} of {total} pictures")
    return answer


def result_from_request(request: AccuracyRequest, *, progress: Callable[[float], object]) -> AccuracyResult:
    """Runs all pictures in this process; ``progress`` is called with how many are done."""
    artifact, pictures, size = request.artifact, request.pictures, request.batch
    recipe, classes = _recipe(request), _classes(artifact, pictures)
    spec, scores = artifact.inputs[0], artifact.outputs[0]
    backend = BACKENDS.get(request.backend)
    backend.probe()  # loads the runtime
    session = backend.open(
        open_request(
            artifact,
            source=request.source,
            engine=request.engine,
            backend=request.backend,
            precision=request.precision,
            threads=request.threads,
            batch=size,
            root=request.root,
        )
    )
    right: list[bool] = []
    fives = done = 0
    try:
        for part in _parts(pictures, size):
            made = _scores(session, part, recipe, spec.name, spec.dtype, scores.name, size)
            labels = np.array([picture.label for picture in part])
            best = np.argsort(-made, axis=1, kind="stable")[:, :TOP]
            right += (best[:, 0] == labels).tolist()
            fives += int((best == labels[:, None]).any(axis=1).sum())
            done += len(part)
            progress(done)
        evidence = session.evidence()
    finally:
        session.close()
    return AccuracyResult(
        model=artifact.model,
        backend=request.backend,
        precision=request.precision,
        variant=artifact.variant,
        samples=len(pictures),
        classes=classes,
        top1=_share(sum(right), len(pictures)),
        top5=_share(fives, len(pictures)),
        recipe=recipe.text,
        onnx_sha256=artifact.sha256,
        evidence=evidence,
        weights_sha256=artifact.weights_sha256,
        right=f"{int(''.join('01'[hit] for hit in right), 2):x}",
        data_sha256=data_sha256_of(pictures),
    )


def _recipe(request: AccuracyRequest) -> ImageRecipe:
    artifact = request.artifact
    if len(artifact.inputs) != 1:
        raise UsageError(
            f"{artifact.model} has {len(artifact.inputs)} inputs", values="accuracy needs one input, a picture"
        )
    return recipe_from_source(request.source, tuple(size or 1 for size in artifact.inputs[0].sample_shape))


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
