"""What does a backend need to open a network, at a batch size?"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from benchbox.backends.base import BACKENDS, OpenRequest
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.engine import EngineArtifact, RuntimeEngines
from benchbox.schema.model import ModelSource, Precision
from benchbox.store.engines import FOLDER, KEY_DIGITS


def open_request(
    artifact: OnnxArtifact,
    *,
    source: ModelSource,
    engine: EngineArtifact | None,
    backend: str,
    precision: Precision,
    threads: int,
    batch: int,
    root: Path,
) -> OpenRequest:
    """The request for a plain session: one slot, nothing inspected.

    Args:
        artifact: the network's ONNX file in the precision that the backend is given.
        source: the network, for backends that run PyTorch modules.
        engine: for backends that run one.
        backend: that opens it.
        precision: that it is to compute in.
        threads: CPU threads.
        batch: samples of an inference.
        root: project root.
    """
    consumes = BACKENDS.get(backend).consumes

    def module() -> Any:
        from benchbox.models.building import module_from_source

        return module_from_source(source, seed=artifact.seed)

    path = root / artifact.path
    made_of = "\n".join((artifact.sha256, artifact.recipe, artifact.weights_sha256 or "", str(batch)))
    stem = f"{artifact.model}-{precision}-b{batch}-{hashlib.sha256(made_of.encode()).hexdigest()[:KEY_DIGITS]}"
    return OpenRequest(
        precision=precision,
        threads=threads,
        inputs=tuple(spec.at_batch(batch) for spec in artifact.inputs),
        outputs=tuple(spec.at_batch(batch) for spec in artifact.outputs),
        onnx_path=path if consumes == "onnx" else None,
        engine_path=root / engine.path if engine else None,
        module=module if consumes == "module" else None,
        fallback=artifact.fallback,
        engine_flags=engine.recipe.flags if engine else (),
        kept=RuntimeEngines(
            folder=(root / FOLDER / backend / stem).absolute(), onnx_path=artifact.path, onnx_sha256=artifact.sha256
        ),
    )
