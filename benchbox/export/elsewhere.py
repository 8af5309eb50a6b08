"""How is an engine that somebody else built measured as it is?

``net.plan`` is run unchanged. With ``net.onnx`` beside it its outputs are compared with those of that file, as those of
any engine; without, its inputs and outputs are what the engine says, and nobody knows what it should compute.
"""

from __future__ import annotations

from pathlib import Path

from benchbox.backends.base import BACKENDS, EngineBackend, EngineReader
from benchbox.errors import UsageError
from benchbox.schema.artifact import BatchRange, OnnxArtifact, fixed_batch
from benchbox.schema.engine import BUILT_ELSEWHERE, EngineArtifact, EngineBorder, EngineMemory, EngineRecipe
from benchbox.schema.model import ModelSource, Precision
from benchbox.store.artifact_files import sha256_of

UNCHECKED = "it is an engine from elsewhere, and there is no {onnx} beside it to compare with"
_SAMPLES = 4


def onnx_beside(source: ModelSource) -> Path | None:
    """The ONNX file beside an engine, of the same name; None where there is none."""
    path = Path(source.reference).with_suffix(".onnx")
    return path if path.is_file() else None


def border_of(source: ModelSource, backend: str) -> EngineBorder:
    """What an engine says of itself, loaded in a process of its own.

    Raises:
        UsageError: the backend runs no engines, or not such inputs and outputs.
        ArtifactError: the runtime refuses the engine: another version, another GPU.
    """
    found = BACKENDS.get(backend)
    if not isinstance(found, EngineBackend) or not isinstance(found, EngineReader):
        raise UsageError(
            f"{backend} runs no engines", values=source.reference, remedy="use --backend tensorrt or tensorrt-rtx"
        )
    return found.border(Path(source.reference).absolute())


def artifact_without_onnx(source: ModelSource, border: EngineBorder, precision: Precision) -> OnnxArtifact:
    """An artifact of what an engine alone says; its path is the engine's, its outputs are unchecked.

    Raises UsageError for what is said of its inputs: nothing says what they mean.
    """
    choice = source.inputs
    if source.input_shape is not None or choice.named or choice.batch_axes or choice.samples:
        raise UsageError(
            "an engine has the inputs that it was built with",
            values=f"{source.reference}: {', '.join(f'{spec.name} {spec.shape}' for spec in border.inputs)}",
            remedy="leave --input, --batch-axis and --inputs out, or put its ONNX file beside it",
        )
    path = Path(source.reference).absolute()
    size = fixed_batch(border.inputs)
    beside = path.with_suffix(".onnx").name
    return OnnxArtifact(
        model=source.name,
        source=source.reference,
        precision=precision,
        opset=0,
        path=str(path),
        sha256=source.digest,
        size_bytes=path.stat().st_size,
        params=None,
        batch=BatchRange() if size is None else BatchRange(minimum=size, optimum=size, maximum=size),
        inputs=border.inputs,
        outputs=border.outputs,
        exporter="",
        evaluator="",
        expected_by="",
        expected_path=None,
        expected_samples=_SAMPLES,
        seed=0,
        recipe=source.digest,
        hops=(),
        unchecked=UNCHECKED.format(onnx=beside),
        weights_from="in an engine from elsewhere",
    )


def engine_from_elsewhere(
    source: ModelSource, border: EngineBorder, *, precision: Precision, batch: int
) -> EngineArtifact:
    """The artifact of an engine's file as it is; how it was built is not known."""
    path = Path(source.reference).absolute()
    sha256 = sha256_of(path)
    return EngineArtifact(
        key=sha256,
        model=source.name,
        source=source.reference,
        weights=None,
        precision=precision,
        batch=BatchRange(minimum=batch, optimum=batch, maximum=batch),
        recipe=EngineRecipe(
            onnx_sha256="",
            weights_sha256=None,
            backend=border.backend,
            backend_version=border.version,
            targets=(),
            device=border.device,
            profiles=(),
            flags=(BUILT_ELSEWHERE,),
            timing_cache_sha256=None,
        ),
        onnx_path="",
        path=str(path),
        sha256=sha256,
        size_bytes=path.stat().st_size,
        log_path="",
        timing_cache_path=None,
        build_s=0.0,
        layers=0,
        memory=EngineMemory(),
        warnings=(),
        built_at="",
    )
