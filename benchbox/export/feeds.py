"""Do the real samples in a file fit the inputs of a network?"""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchbox.errors import InputsError
from benchbox.schema.artifact import Drawn, TensorSpec, Values
from benchbox.tensor_types import array_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REMEDY = "write it with numpy.savez(FILE, NAME=array, ...): arrays by input name, samples along their first axis"


@dataclass(frozen=True, kw_only=True)
class _Stored:
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    low: float
    high: float


def sample_shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of one sample of each array of an .npz file, by input name; raises InputsError for another file."""
    return {name: stored.shape[1:] for name, stored in _arrays_in(path, path.stat().st_mtime_ns).items()}


def require_samples(path: Path) -> None:
    """Raises InputsError where there is no such file, or no samples in it."""
    if not path.is_file():
        raise InputsError(f"there is no file {path}", remedy="--inputs takes an .npz file with arrays by input name")
    _arrays_in(path, path.stat().st_mtime_ns)


def with_samples(inputs: Sequence[TensorSpec], path: Path) -> tuple[TensorSpec, ...]:
    """The inputs, those that the file has fed from it; the others are drawn as before.

    Raises:
        InputsError: arrays that are no inputs, of another type or shape, or out of the rows of a table.
    """
    found = _arrays_in(path, path.stat().st_mtime_ns)
    if unknown := sorted(found.keys() - {spec.name for spec in inputs}):
        raise InputsError(
            f"{path} has an array '{unknown[0]}', which is not an input",
            values=f"inputs {', '.join(spec.name for spec in inputs)}",
            remedy=_REMEDY,
        )
    return tuple(_fed(spec, found, path) for spec in inputs)


def _fed(spec: TensorSpec, found: Mapping[str, _Stored], path: Path) -> TensorSpec:
    if spec.name not in found:
        return spec
    stored = found[spec.name]
    if stored.shape[1:] != spec.sample_shape:
        raise InputsError(
            f"the samples in {path} do not fit input {spec.name}",
            values=f"one of them is {stored.shape[1:]}, the input without its batch {spec.sample_shape}",
            remedy=_REMEDY,
        )
    if not np.can_cast(stored.dtype, array_type(spec.dtype), "same_kind"):
        raise InputsError(
            f"the samples in {path} do not fit input {spec.name}",
            values=f"they are {stored.dtype}, the input is {spec.dtype}",
            remedy=f"convert them: array.astype('{spec.dtype}')",
        )
    known = spec.values
    if known is not None and known.drawn is Drawn.ROWS:
        rows = known.high - known.low  # a negative index counts from the end of a table
        if stored.low < known.low - rows or stored.high >= known.high:
            raise InputsError(
                f"the samples in {path} do not fit input {spec.name}",
                values=f"they are {stored.low:g} to {stored.high:g}, the input takes {known.text}",
            )
        _require_rows_by_place(spec, known, path)
    text = f"{stored.shape[0]} samples of {path.name}, in turn"
    return replace(spec, values=Values(drawn=Drawn.FILE, text=text, path=str(path.resolve())))


def _require_rows_by_place(spec: TensorSpec, known: Values, path: Path) -> None:
    """Raises UsageError where a place along an axis is out of the rows of its own table."""
    if not known.ranges:
        return
    with np.load(path, allow_pickle=False) as file:
        array = file[spec.name]
    # In the file the samples come first; in the input they are where its batch axis is, or nowhere.
    axis = known.axis + (spec.batch_axis is None or known.axis < spec.batch_axis)
    for place, span in enumerate(known.ranges):
        numbers = array.take(place, axis=axis)
        if span is None or not numbers.size:
            continue
        low, high = span
        if numbers.min() < low - (high - low) or numbers.max() >= high:
            raise InputsError(
                f"the samples in {path} do not fit input {spec.name}",
                values=f"at place {place} of axis {known.axis} they are {numbers.min():g} to {numbers.max():g}, the "
                f"table there has rows {low} to {high - 1}",
            )


@functools.lru_cache(maxsize=4)
def _arrays_in(path: Path, changed_ns: int) -> dict[str, _Stored]:
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("it holds one array without a name")
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise InputsError(f"{path} is not a readable .npz file", values=str(error), remedy=_REMEDY) from error
    counts = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if not counts or len(set(counts.values())) != 1 or not min(counts.values()):
        raise InputsError(
            f"{path} does not have the same number of samples for every input",
            values=", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "it holds no array",
            remedy=_REMEDY,
        )
    return {name: _stored(name, array, path) for name, array in arrays.items()}


def _stored(name: str, array: NDArray[np.generic], path: Path) -> _Stored:
    if array.dtype.kind not in "fiub":
        raise InputsError(f"array {name} of {path} holds no numbers", values=f"its type is {array.dtype}")
    numbers = array.astype(np.float64) if array.dtype.kind == "b" else array
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 0.0)
    return _Stored(dtype=array.dtype, shape=array.shape, low=low, high=high)
