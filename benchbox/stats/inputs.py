"""Which inputs is a network given when its outputs or its speed are looked at?

Seeded random values, the same on every machine: sample ``i`` of input ``name`` depends on the seed, ``i``
and the name only. Never zeros: constant data switches fewer transistors and takes other branches. Real samples, where
there are some, are taken in turn.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchbox.schema.artifact import Drawn, TensorSpec, Values
from benchbox.schema.record import FedInput
from benchbox.tensor_types import array_type, kind_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DRAWN_BY_TYPE = {"f": "seeded, standard normal", "b": "seeded, fair coins"}


def seeded_arrays(
    specs: Sequence[TensorSpec], *, seed: int, samples: int, first: int = 0
) -> dict[str, NDArray[np.generic]]:
    """Inputs for ``samples`` samples, stacked along the batch axis of each.

    Floating-point inputs are standard normal (what normalised images look like), booleans are fair coins, integers are
    what the spec says of its values, else 0 or 1.

    Args:
        specs: the inputs; every dimension but that of the batch must be known.
        seed: of the whole set.
        samples: how many.
        first: index of the first sample, so that disjoint sets can be drawn from one seed.
    """
    return arrays_of_samples(specs, seed=seed, numbers=range(first, first + samples))


def arrays_of_samples(
    specs: Sequence[TensorSpec], *, seed: int, numbers: Sequence[int]
) -> dict[str, NDArray[np.generic]]:
    """The inputs of these samples, by their numbers, as one batch.

    An input without a batch axis belongs to all samples and is always the same; where no input has one, the first
    number is that of the inference.
    """
    alone = all(spec.batch_axis is None for spec in specs)
    return {spec.name: _batch(spec, seed, numbers, numbers[0] if alone else 0) for spec in specs}


def _batch(spec: TensorSpec, seed: int, numbers: Sequence[int], inference: int) -> NDArray[np.generic]:
    if spec.batch_axis is None:
        return _sample(spec, seed=seed, index=inference)
    drawn = {number: _sample(spec, seed=seed, index=number) for number in dict.fromkeys(numbers)}
    return np.stack([drawn[number] for number in numbers], axis=spec.batch_axis)


def stream(seed: int, *words: str | int) -> np.random.Generator:
    """A random stream of its own for these words: the same everywhere, independent of other words' streams."""
    digest = hashlib.sha256("\x1f".join(str(word) for word in (seed, *words)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def fed_in_words(spec: TensorSpec) -> str:
    """What an input is fed."""
    if spec.values is not None:
        return spec.values.text
    return _DRAWN_BY_TYPE.get(kind_of(spec.dtype), "assumed: 0 or 1")


def fed_inputs(specs: Sequence[TensorSpec], *, batch: int) -> tuple[FedInput, ...]:
    """What a record says of the inputs of one inference."""
    return tuple(_fed(spec.at_batch(batch)) for spec in specs)


def _fed(spec: TensorSpec) -> FedInput:
    known = spec.values
    assumed = known.drawn is Drawn.ASSUMED if known is not None else kind_of(spec.dtype) in "iu"
    return FedInput(
        name=spec.name,
        dtype=spec.dtype,
        shape=tuple(size or 0 for size in spec.shape),
        batch_axis=spec.batch_axis,
        values=fed_in_words(spec),
        assumed=assumed,
        size=known.size if known is not None else "",
    )


def _sample(spec: TensorSpec, *, seed: int, index: int) -> NDArray[np.generic]:
    shape = tuple(size if size is not None else 1 for size in spec.sample_shape)
    dtype, values = array_type(spec.dtype), spec.values
    if values is not None and values.drawn is Drawn.FILE:
        stored = _stored(values.path, Path(values.path).stat().st_mtime_ns)[spec.name]
        return np.asarray(stored[index % len(stored)], dtype=dtype)
    if values is not None and values.constant is not None:
        return np.full(shape, values.constant, dtype=dtype)
    drawn = stream(seed, "input", spec.name, index)
    if values is not None and values.ranges:
        return _by_place(spec, values, shape, drawn)
    return _drawn(spec, shape, drawn, None if values is None else (values.low, values.high))


def _drawn(
    spec: TensorSpec, shape: tuple[int, ...], drawn: np.random.Generator, span: tuple[int, int] | None
) -> NDArray[np.generic]:
    """Numbers of a range, where integers are drawn; else as the type says."""
    dtype, values = array_type(spec.dtype), spec.values
    rows = values is not None and values.drawn is Drawn.ROWS and span is not None  # floats may be rows too
    if kind_of(spec.dtype) not in "iub" and not rows:
        return drawn.standard_normal(shape, dtype=np.float32).astype(dtype)
    low, high = span or (0, 2)
    return drawn.integers(low, high, size=shape).astype(dtype)


def _by_place(
    spec: TensorSpec, values: Values, shape: tuple[int, ...], drawn: np.random.Generator
) -> NDArray[np.generic]:
    """A sample whose places along an axis, of the batch axis too, have a range each."""
    before = spec.batch_axis is not None and spec.batch_axis < values.axis
    axis = values.axis - before
    rest = (*shape[:axis], *shape[axis + 1 :])
    return np.stack([_drawn(spec, rest, drawn, span) for span in values.ranges], axis=axis)


@functools.lru_cache(maxsize=2)
def _stored(path: str, changed_ns: int) -> dict[str, NDArray[np.generic]]:
    """The arrays of an .npz file, read once as long as it does not change."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
