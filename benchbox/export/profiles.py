"""Which input shapes must an engine accept?"""

from __future__ import annotations

from benchbox.errors import UsageError
from benchbox.schema.artifact import BatchRange, OnnxArtifact, TensorSpec
from benchbox.schema.engine import ShapeProfile


def settled_batch(artifact: OnnxArtifact, asked: BatchRange | None) -> BatchRange:
    """The batch sizes of an engine: what was asked for, else the fixed size of the file, else 1.

    Raises UsageError for a range that the file's fixed batch size contradicts, or one without an upper end.
    """
    fixed = artifact.inputs[0].shape[0]
    if asked is None:
        size = fixed or 1
        return BatchRange(minimum=size, optimum=size, maximum=size)
    if asked.maximum is None:
        raise UsageError("an engine needs a largest batch size", remedy="give it: --batch 1:8:32")
    if fixed is not None and (asked.minimum, asked.maximum) != (fixed, fixed):
        raise UsageError(
            f"{artifact.model} has a fixed batch size",
            values=f"the file is made for {fixed}, got {asked.minimum}:{asked.optimum}:{asked.maximum}",
            remedy=f"leave --batch out, or ask for --batch {fixed}",
        )
    return asked


def profiles_from_inputs(inputs: tuple[TensorSpec, ...], batch: BatchRange) -> tuple[ShapeProfile, ...]:
    """One profile per input; an input whose batch is fixed keeps it."""
    assert batch.maximum is not None, "settled_batch refuses a range without an upper end"
    return tuple(
        ShapeProfile(
            input=spec.name,
            minimum=_shape(spec, batch.minimum),
            optimum=_shape(spec, batch.optimum),
            maximum=_shape(spec, batch.maximum),
        )
        for spec in inputs
    )


def _shape(spec: TensorSpec, batch: int) -> tuple[int, ...]:
    first, *rest = spec.shape
    return (first or batch, *(size for size in rest if size is not None))
