"""In which order does a network become its accuracy on labelled pictures?

    source -> ONNX file -> engine, where one is needed -> a worker that runs the pictures -> results/accuracy/

Like ``jobs/run.py`` this holds the order of the stages and nothing else.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchbox.jobs.cases import Case, require_runnable
from benchbox.jobs.prepare import graph_precision, onnx_from_source
from benchbox.jobs.run import engine_of_case
from benchbox.machine.environment import capture
from benchbox.measure.accuracy import AccuracyRequest, accuracy_from_pictures
from benchbox.models.pictures.labels import Labelled
from benchbox.progress import Progress
from benchbox.schema.accuracy import AccuracyResult
from benchbox.schema.derivation import Derivation
from benchbox.schema.model import ModelSource, Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.store.accuracies import append_accuracy
from benchbox.store.records import new_record_id


def accuracies_from_source(
    source: ModelSource,
    pictures: Sequence[Labelled],
    *,
    backend: str,
    precisions: Sequence[Precision],
    derivation: Derivation,
    batch: int,
    threads: int,
    root: Path,
    progress: Progress,
) -> Iterator[AccuracyResult]:
    """The accuracy of a network in each precision, as it becomes known; each is stored under the root.

    Args:
        source: the network.
        pictures: with their classes.
        backend: that runs it.
        precisions: that it runs in, one after another.
        derivation: of the precisions that are derived.
        batch: pictures at once, unless the file's own batch is fixed.
        threads: CPU threads.
        root: project root.
        progress: is called with what runs.

    Raises:
        UsageError: the backend cannot run one of the precisions, or computes nothing.
        BenchboxError: what preparing and running the network raise.
    """
    for precision in precisions:
        require_runnable(backend, precision, source)
    for precision in precisions:
        choice = derivation.for_precision(precision)
        given = graph_precision(backend, precision, choice, source=source)
        artifact = onnx_from_source(source, precision=given, root=root, derivation=choice, say=progress.say)
        size = artifact.fixed_batch or batch
        plan = MeasurementPlan(batch=size, threads=threads)
        case = Case(source=source, backend=backend, precision=precision, plan=plan, derivation=choice)
        built = engine_of_case(case, artifact, root, progress.say)
        request = AccuracyRequest(
            pictures=tuple(pictures),
            artifact=artifact,
            engine=built.engine if built else None,
            source=source,
            backend=backend,
            precision=precision,
            root=root,
            threads=threads,
            batch=size,
        )
        result = accuracy_from_pictures(request, progress=progress.step)
        now = datetime.datetime.now(datetime.UTC)
        append_accuracy(root, result, identity=new_record_id(now), environment=capture().hash, at=now)
        yield result
