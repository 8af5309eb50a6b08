"""How are the outputs of several inferences put together, and the samples of a batch taken out again?

Outputs with a batch axis are joined along it, sample by sample. An output that belongs to no sample (the boxes that a
detector found in all pictures, a sum over the batch) stays as each inference gave it: ``name#0``, ``name#1``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from benchbox.schema.artifact import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.generic]]


def joined(made: Sequence[Arrays], specs: Sequence[TensorSpec]) -> dict[str, NDArray[np.generic]]:
    """The outputs of all inferences, in order.

    Args:
        made: the outputs of each inference by name.
        specs: of the outputs.
    """
    found = {}
    for spec in specs:
        parts = [np.asarray(part[spec.name]) for part in made]
        if spec.batch_axis is None:
            found.update({f"{spec.name}#{number}": part for number, part in enumerate(parts)})
        else:
            found[spec.name] = np.concatenate(parts, axis=spec.batch_axis)
    return found


def empty_outputs(stored: Arrays, names: Sequence[str]) -> tuple[str, ...]:
    """Names of the outputs that have no element in any inference, of what ``joined`` gave."""

    def size(name: str) -> int:
        whole = stored.get(name)
        parts = [whole] if whole is not None else [stored[key] for key in stored if key.rpartition("#")[0] == name]
        return sum(part.size for part in parts)

    return tuple(name for name in names if size(name) == 0)


def inferences_in(stored: Arrays, names: Sequence[str], count: int) -> list[dict[str, NDArray[np.generic]]]:
    """The outputs of each inference again, where none of them has a batch axis."""
    return [{name: stored[f"{name}#{number}"] for name in names} for number in range(count)]


def samples_of(
    stored: Arrays, specs: Sequence[TensorSpec], *, samples: NDArray[np.integer], inferences: int
) -> dict[str, NDArray[np.generic]]:
    """Of joined outputs those of some samples, in the order of the samples, and of the first inferences.

    Args:
        stored: what ``joined`` gave.
        specs: of the outputs.
        samples: their numbers.
        inferences: how many.
    """
    found = {}
    for spec in specs:
        if spec.batch_axis is None:
            names = [f"{spec.name}#{number}" for number in range(inferences)]
            found.update({name: stored[name] for name in names if name in stored})
        else:
            found[spec.name] = np.take(stored[spec.name], samples, axis=spec.batch_axis)
    return found


def sample_in(array: NDArray[np.generic], axis: int | None, number: int) -> NDArray[np.generic]:
    """One sample of a batch; the array itself where none of its axes counts samples."""
    return array if axis is None else np.asarray(array.take(number, axis=axis))


def specs_of_outputs(
    made: Sequence[Arrays],
    names: Sequence[str],
    *,
    batches: Sequence[int],
    counted: bool,
    open_axes: Mapping[str, Sequence[int]],
) -> tuple[TensorSpec, ...]:
    """Types, shapes and batch axes of outputs, from inferences of known batch sizes.

    Args:
        made: outputs of at least two inferences.
        names: of the outputs.
        batches: samples of each inference.
        counted: whether any input has a batch axis.
        open_axes: by name, axes whose sizes may differ from inference to inference even where these do not.
    """
    found = (_spec(name, [np.asarray(part[name]) for part in made], batches, counted=counted) for name in names)
    return tuple(_opened(spec, open_axes.get(spec.name, ())) for spec in found)


def _opened(spec: TensorSpec, axes: Sequence[int]) -> TensorSpec:
    axes = [axis for axis in axes if axis != spec.batch_axis]
    if not axes:
        return spec
    shape = tuple(None if place in axes else size for place, size in enumerate(spec.shape))
    return replace(spec, shape=shape, batch_axis=None)


def _spec(name: str, parts: Sequence[NDArray[np.generic]], batches: Sequence[int], *, counted: bool) -> TensorSpec:
    shapes = [part.shape for part in parts]
    dtype, rank = parts[0].dtype.name, parts[0].ndim
    if any(len(shape) != rank for shape in shapes):
        return TensorSpec(name=name, dtype=dtype, shape=(None,), batch_axis=None)
    alike = [len({shape[axis] for shape in shapes}) == 1 for axis in range(rank)]
    free = len(set(batches)) > 1
    for axis in range(rank) if counted else ():
        rest = all(same for other, same in enumerate(alike) if other != axis)
        if rest and all(shape[axis] == size for shape, size in zip(shapes, batches, strict=True)):
            sizes = tuple(None if place == axis and free else size for place, size in enumerate(shapes[0]))
            return TensorSpec(name=name, dtype=dtype, shape=sizes, batch_axis=axis)
    sizes = tuple(size if same else None for size, same in zip(shapes[0], alike, strict=True))
    return TensorSpec(name=name, dtype=dtype, shape=sizes, batch_axis=None)
