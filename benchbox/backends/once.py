"""What does a network give for some inputs, run once and never timed?

Files are checked and ranges are observed through ONNX Runtime's CPU provider, opened ``exact``: it computes what the
graph says, on all CPUs that this process may use. Files from elsewhere are judged by it, unoptimised.
``opened_session`` and ``infer_once`` serve every backend.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.backends.base import BACKENDS, Backend, OpenRequest, Session
from benchbox.backends.probing import probe_of
from benchbox.errors import EnvironmentLackError
from benchbox.limits import effective_cpus
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.model import Precision

if TYPE_CHECKING:
    import numpy as np

EVALUATOR = "onnxruntime"


def evaluate_graph(
    path: Path,
    feeds: Iterable[Mapping[str, np.ndarray]],
    *,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    precision: Precision,
    unoptimised: bool = False,
) -> Iterator[dict[str, np.ndarray]]:
    """The outputs of an ONNX file for each feed, by name.

    Args:
        path: of the file.
        feeds: inputs by name, all of the shapes of ``inputs``.
        inputs: with their batch size.
        outputs: with their shapes at that batch size; sizes that are not known are None.
        precision: what the graph is in, which decides how far it may be optimised.
        unoptimised: nothing is optimised, on one thread: sums are in one order only, and each node is computed as the
            file has it.

    Raises:
        EnvironmentLackError: ONNX Runtime is not installed.
        ArtifactError: it cannot load the file.
    """
    backend = BACKENDS.get(EVALUATOR)
    state = probe_of(backend)
    if not state.usable:
        raise EnvironmentLackError(
            "graphs are evaluated with ONNX Runtime, which cannot run here", values=state.reason, remedy=state.remedy
        )
    request = OpenRequest(
        precision=precision,
        threads=1 if unoptimised else effective_cpus(),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        onnx_path=path,
        exact=True,
        unoptimised=unoptimised,
    )
    with opened_session(backend, request) as session:
        for feed in feeds:
            yield infer_once(session, feed)


@contextlib.contextmanager
def opened_session(backend: Backend, request: OpenRequest) -> Iterator[Session]:
    """A session that is closed at the end; raises what ``Backend.open`` does."""
    session = backend.open(request)
    try:
        yield session
    finally:
        session.close()


def infer_once(session: Session, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs of one inference on slot 0, by name."""
    session.upload(0, arrays)
    session.enqueue(0)
    session.synchronize()
    return session.download(0)
