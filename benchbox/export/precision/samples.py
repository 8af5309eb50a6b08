"""Which samples is a network calibrated on?

Images through the evaluation recipe of the network, arrays as they are, or seeded synthetic inputs. A digest of
everything that decides the samples is known before any of them is loaded.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TypeVar

import numpy as np

from benchbox.errors import ArtifactError, UsageError
from benchbox.models.pictures.images import picture_files, recipe_from_source
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.model import ModelSource
from benchbox.stats.batches import sample_in
from benchbox.stats.inputs import seeded_arrays
from benchbox.store.artifact_files import sha256_of
from benchbox.tensor_types import array_type

_T = TypeVar("_T")
_A = TypeVar("_A")
SYNTHETIC_SAMPLES = 32
# Sample numbers of their own: a network is not calibrated on what it is checked on.
FIRST_SYNTHETIC = 1_000_000
MOST_SAMPLES = 512
_ARRAYS = frozenset({".npy", ".npz"})


@dataclass(frozen=True, kw_only=True)
class CalibrationData:
    """Samples for calibration, not loaded yet: their origin in words, and a digest of all that decides them.

    ``axes`` is the axis along which the samples of an input are stacked, None where one array serves all samples.
    ``folder`` is the absolute path that was given for them, "" if none was.
    """

    text: str
    synthetic: bool
    digest: str
    samples: int
    axes: Mapping[str, int | None]
    load: Callable[[], Iterator[Mapping[str, np.ndarray]]]
    folder: str = ""

    def batches(self, size: int) -> Iterator[dict[str, np.ndarray]]:
        """The samples in order, stacked; the last batch is filled up from the first samples."""
        first: list[Mapping[str, np.ndarray]] = []
        waiting: list[Mapping[str, np.ndarray]] = []
        for sample in self.load():
            if len(first) < size:
                first.append(sample)
            waiting.append(sample)
            if len(waiting) == size:
                yield _stacked(waiting, self.axes)
                waiting = []
        if waiting:
            spare = [first[index % len(first)] for index in range(size - len(waiting))]
            yield _stacked([*waiting, *spare], self.axes)


def require_there(choice: str) -> Path:
    """The path of calibration data with something usable in it; else a UsageError, before anything is exported."""
    path = Path(choice)
    if not path.exists():
        raise UsageError(
            f"there is no calibration data {choice}", remedy="give a folder of images or arrays, or a .npy or .npz file"
        )
    if not _array_files(path) and not _pictures(path):
        raise UsageError(
            f"there is nothing to calibrate on in {choice}",
            values="no images (.jpg, .png, ...) and no arrays (.npy, .npz)",
            remedy="leave --calibration out for seeded synthetic inputs, which are flagged",
        )
    return path


def _array_files(path: Path) -> tuple[Path, ...]:
    if path.is_file():
        return (path,) if path.suffix.lower() in _ARRAYS else ()
    return tuple(sorted(file for file in path.rglob("*") if file.suffix.lower() in _ARRAYS and file.is_file()))


def _pictures(path: Path) -> tuple[Path, ...]:
    return picture_files(path) if path.is_dir() else ()


def data_from_choice(
    choice: str | None, *, source: ModelSource, inputs: Sequence[TensorSpec], seed: int
) -> CalibrationData:
    """The calibration data that ``--calibration`` names; seeded synthetic inputs for None.

    Args:
        choice: a folder of pictures, a folder of .npy or .npz files, one such file, or None.
        source: the network, for its image recipe.
        inputs: of the network, the batch first.
        seed: of synthetic samples.

    Raises:
        UsageError: no such path, nothing usable in it, pictures for a network that does not take pictures.
        ArtifactError: a file that cannot be read, of another shape, or with NaN or infinity in it (on loading).
    """
    if choice is None:
        return _synthetic(inputs, seed)
    path = require_there(choice)
    if not inputs:
        raise UsageError(
            f"{source.name} has no inputs",
            values=f"there is nothing to feed {choice} to",
            remedy="leave --calibration out: its tensors are observed as they are",
        )
    files = _array_files(path)
    data = _from_arrays(files, inputs) if files else _from_pictures(_pictures(path), source, inputs)
    return replace(data, folder=str(path.absolute()))


def _synthetic(inputs: Sequence[TensorSpec], seed: int) -> CalibrationData:
    def load() -> Iterator[dict[str, np.ndarray]]:
        for index in range(SYNTHETIC_SAMPLES):
            drawn = seeded_arrays(inputs, seed=seed, samples=1, first=FIRST_SYNTHETIC + index)
            yield {spec.name: sample_in(drawn[spec.name], spec.batch_axis, 0) for spec in inputs}

    shapes = ", ".join(f"{spec.name} {spec.dtype} {spec.sample_shape} {spec.values}" for spec in inputs)
    text = f"seeded synthetic inputs (standard normal, seed {seed})"
    return CalibrationData(
        text=text,
        synthetic=True,
        digest=hashlib.sha256(f"{text}; {shapes}; {SYNTHETIC_SAMPLES}".encode()).hexdigest(),
        samples=SYNTHETIC_SAMPLES,
        axes=_axes(inputs),
        load=load,
    )


def _from_pictures(files: Sequence[Path], source: ModelSource, inputs: Sequence[TensorSpec]) -> CalibrationData:
    if len(inputs) != 1:
        raise UsageError(
            f"{source.name} has several inputs",
            values=", ".join(spec.name for spec in inputs),
            remedy="calibrate it on .npz files with one array per input",
        )
    spec = inputs[0]
    recipe = recipe_from_source(source, tuple(size or 1 for size in spec.sample_shape))
    chosen = _spread(files)

    def load() -> Iterator[dict[str, np.ndarray]]:
        for file in chosen:
            yield {spec.name: recipe.array_from_file(file).astype(array_type(spec.dtype))}

    return CalibrationData(
        text=f"{len(chosen)} of {len(files)} images; {recipe.text}",
        synthetic=False,
        digest=_digest(chosen, f"{recipe.text}; Pillow {_pillow()}"),
        samples=len(chosen),
        axes=_axes(inputs),
        load=load,
    )


def _pillow() -> str:
    """The version of what decodes and resizes pictures, "" where it is missing, which loading reports."""
    try:
        return importlib.metadata.version("pillow")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _from_arrays(files: Sequence[Path], inputs: Sequence[TensorSpec]) -> CalibrationData:
    places = [(file, index) for file in files for index in range(_samples_in(file, inputs))]
    chosen = _spread(places)

    def load() -> Iterator[dict[str, np.ndarray]]:
        for file, group in itertools.groupby(chosen, key=lambda place: place[0]):
            arrays = _arrays_in(file, inputs)
            for _, index in group:
                yield {name: array[index] for name, array in arrays.items()}

    return CalibrationData(
        text=f"{len(chosen)} of {len(places)} samples in {len(files)} array files",
        synthetic=False,
        digest=_digest(files, str(len(chosen))),
        samples=len(chosen),
        axes=_axes(inputs),
        load=load,
    )


@dataclass(frozen=True, kw_only=True)
class _Header:
    """Type and shape of a stored array."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]


def _samples_in(file: Path, inputs: Sequence[TensorSpec]) -> int:
    """How many samples an array file has, by the headers of its arrays; their data stay on disk."""
    try:
        if file.suffix.lower() == ".npz":
            with zipfile.ZipFile(file) as archive:
                headers = {name.removesuffix(".npy"): _header(archive.open(name)) for name in archive.namelist()}
        else:
            headers = {inputs[0].name: _header(file.open("rb"))}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _unreadable(file, error) from error
    found = _by_input(headers, inputs, file)
    counts = {spec.name: _samples_of(found[spec.name], spec, file) for spec in inputs}
    if len(set(counts.values())) != 1 or not min(counts.values()):
        raise ArtifactError(
            f"{file} does not have the same number of samples for every input",
            values=", ".join(f"{name} {found[name].shape}" for name in counts),
        )
    return counts[inputs[0].name]


def _header(file: IO[bytes]) -> _Header:
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with file:
        version = np.lib.format.read_magic(file)
        if version not in readers:
            raise ValueError(f"arrays of version {version[0]}.{version[1]} have fields")
        shape, _, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    return _Header(dtype=dtype, shape=shape)


def _arrays_in(file: Path, inputs: Sequence[TensorSpec]) -> dict[str, np.ndarray]:
    """The arrays of a file by input, the samples first, in the types of the inputs; checked to be finite."""
    try:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            stored = {inputs[0].name: loaded}
        else:
            with loaded:
                stored = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _unreadable(file, error) from error
    found = _by_input(stored, inputs, file)
    return {spec.name: _finite(found[spec.name], spec, file) for spec in inputs}


def _by_input(found: Mapping[str, _A], inputs: Sequence[TensorSpec], file: Path) -> Mapping[str, _A]:
    """What a file has for each input; a lone array is the lone input's whatever its name."""
    if len(inputs) == len(found) == 1:
        return {inputs[0].name: next(iter(found.values()))}
    missing = [spec.name for spec in inputs if spec.name not in found]
    if missing:
        raise ArtifactError(
            f"{file} lacks inputs of the network",
            values=f"needs {', '.join(spec.name for spec in inputs)}; has {', '.join(found)}",
            remedy="write one array per input: numpy.savez(file, **{name: array})",
        )
    return found


def _samples_of(header: _Header, spec: TensorSpec, file: Path) -> int:
    shape = spec.sample_shape
    if header.dtype.kind not in "fiub" or shape not in (header.shape, header.shape[1:]):
        raise ArtifactError(
            f"{file} does not fit input {spec.name}",
            values=f"{header.dtype} {header.shape}; needs numbers of shape {shape} or (samples, *{shape})",
            remedy="calibration arrays are network inputs: decoded, resized, normalised, channels first",
        )
    return 1 if header.shape == shape else header.shape[0]


def _finite(array: np.ndarray, spec: TensorSpec, file: Path) -> np.ndarray:
    if not np.isfinite(array).all():
        raise ArtifactError(
            f"{file} has values that are not finite",
            values=f"{int((~np.isfinite(array)).sum())} of {array.size} for input {spec.name}",
            remedy="NaN and infinity give no range; clean the data",
        )
    return array.reshape(-1, *array.shape[array.ndim - len(spec.sample_shape) :]).astype(array_type(spec.dtype))


def _unreadable(file: Path, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"{file} is not a readable array file", values=str(error), remedy="write it with numpy.save or numpy.savez"
    )


def _spread(items: Sequence[_T]) -> list[_T]:
    """At most ``MOST_SAMPLES`` of the items, evenly spread, in order."""
    if len(items) <= MOST_SAMPLES:
        return list(items)
    return [items[index * len(items) // MOST_SAMPLES] for index in range(MOST_SAMPLES)]


def _digest(files: Sequence[Path], words: str) -> str:
    digest = hashlib.sha256(words.encode())
    for file in files:
        digest.update(sha256_of(file).encode())
    return digest.hexdigest()


def _axes(inputs: Sequence[TensorSpec]) -> dict[str, int | None]:
    return {spec.name: spec.batch_axis for spec in inputs}


def _stacked(samples: Sequence[Mapping[str, np.ndarray]], axes: Mapping[str, int | None]) -> dict[str, np.ndarray]:
    stacked = {}
    for name, first in samples[0].items():
        axis = axes[name]
        stacked[name] = first if axis is None else np.stack([sample[name] for sample in samples], axis=axis)
    return stacked
