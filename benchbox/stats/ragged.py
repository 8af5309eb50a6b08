"""How are outputs kept together whose sizes depend on data, as indices of what was found?

Padded behind their end to the largest, with what the values of such outputs are not: NaN, the smallest integer, False.
Two outputs are then equal where both have values, and where both have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def stacked(parts: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
    """The parts along axis 0; where their other sizes differ, each is padded to the largest."""
    if len({part.shape[1:] for part in parts}) == 1 or len({part.ndim for part in parts}) > 1:
        return np.concatenate(parts)
    largest = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    return np.concatenate([padded(part, (len(part), *largest)) for part in parts])


def padded(array: NDArray[np.generic], shape: Sequence[int]) -> NDArray[np.generic]:
    """The array with padding behind its end to this shape; itself where it is larger somewhere, or of another rank."""
    if array.ndim != len(shape) or any(size > most for size, most in zip(array.shape, shape, strict=True)):
        return array
    if array.shape == tuple(shape):
        return array
    whole = np.full(tuple(shape), _padding(array.dtype), dtype=array.dtype)
    whole[tuple(slice(size) for size in array.shape)] = array
    return whole


def open_axes(parts: Sequence[NDArray[np.generic]]) -> tuple[int, ...]:
    """The axes behind the first along which the sizes of the parts differ."""
    sizes = zip(*(part.shape for part in parts), strict=False)
    return tuple(axis for axis, found in enumerate(sizes) if axis and len(set(found)) > 1)


def _padding(dtype: np.dtype[np.generic]) -> float | int:
    if dtype.kind == "f":
        return float("nan")
    return int(np.iinfo(dtype.name).min) if dtype.kind in "iu" else 0
