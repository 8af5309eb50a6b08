"""Where are exported networks kept, and which of them can be used again?

``engines/onnx/<model>-<precision>-<recipe>.onnx`` with its expected outputs ``.expected.npz``, its own outputs for the
same samples ``.outputs.npz``, and its artifact ``.json``, which is written last: an artifact exists exactly when its
JSON does. What is damaged, or of an older version, is made again.

``engines/structure/<model>-<recipe>.onnx`` is a network without weights, enough to count what it costs.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.errors import StoreError
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import Precision
from benchbox.store.atomic import draft_of
from benchbox.store.documents import artifact_from_document, document_from_artifact

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

FOLDER = Path("engines") / "onnx"
STRUCTURES = Path("engines") / "structure"
RECIPE_DIGITS = 12
_SETTLED_S = 2


@dataclass(frozen=True, kw_only=True)
class ArtifactPaths:
    """Where an artifact's files lie, relative to the project root."""

    onnx: str
    expected: str
    outputs: str
    card: str


def artifact_paths(*, model: str, precision: Precision, recipe: str) -> ArtifactPaths:
    """The places of an artifact's files; names may hold dots, so suffixes are added, never replaced."""
    stem = f"{FOLDER}/{model}-{precision}-{recipe[:RECIPE_DIGITS]}"
    return ArtifactPaths(
        onnx=f"{stem}.onnx", expected=f"{stem}.expected.npz", outputs=f"{stem}.outputs.npz", card=f"{stem}.json"
    )


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hex; a file that has not changed is read once per process.

    A file is the same if its path, inode, size and time of change are. One that changed less than ``_SETTLED_S`` ago
    may change again within one tick of the file system's clock, so its sha256 is not kept.
    """
    seen = path.stat()
    if time.time_ns() - max(seen.st_mtime_ns, seen.st_ctime_ns) < _SETTLED_S * 1_000_000_000:
        return _hashed(path)
    return _kept_sha256(path.resolve(), seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


@functools.lru_cache(maxsize=256)
def _kept_sha256(path: Path, *_: int) -> str:
    return _hashed(path)


def _hashed(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_artifact(
    root: Path, *, model: str, precision: Precision, recipe: str, say: Callable[[str], None] = lambda _: None
) -> OnnxArtifact | None:
    """The artifact of a recipe if all its files are there and its ONNX file has the right sha256, else None.

    ``say`` receives why one is not usable although its card is there: it is made again.
    """
    card = root / artifact_paths(model=model, precision=precision, recipe=recipe).card
    if not card.is_file():
        return None
    try:
        artifact = read_artifact(card)
    except StoreError as error:
        say(f"the artifact {card.name} is made again: {' '.join((error.values or error.what).split())}")
        return None
    others = [name for name in (artifact.expected_path, artifact.outputs_path) if name is not None]
    path = root / artifact.path
    missing = [name for name in (artifact.path, *others) if not (root / name).is_file()]
    if missing:
        fault = f"{Path(missing[0]).name} is missing"
    elif artifact.recipe != recipe:
        fault = "its recipe differs"
    elif sha256_of(path) != artifact.sha256:
        fault = f"{path.name} is damaged (its sha256 differs)"
    else:
        return artifact
    say(f"the artifact {card.name} is made again: {fault}")
    return None


def artifacts_under(root: Path, *, say: Callable[[str], None] = lambda _: None) -> tuple[OnnxArtifact, ...]:
    """Every artifact under a root, by file name.

    ``say`` receives a warning for each card that is damaged or of another version; it is left out.
    """
    found = []
    for card in sorted((root / FOLDER).glob("*.json")):
        try:
            found.append(read_artifact(card))
        except StoreError as error:
            say(f"warning: {error.what}, it is left out: {' '.join(error.values.split())}")
    return tuple(found)


def read_artifact(card: Path) -> OnnxArtifact:
    """The artifact that a JSON file describes; raises StoreError if it is damaged or of another version."""
    try:
        document = json.loads(card.read_text())
        if not isinstance(document, dict):
            raise ValueError(f"it holds a {type(document).__name__}, not an object")
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the artifact {card} cannot be read", values=str(error), remedy="delete it; it is made again when needed"
        ) from error
    return artifact_from_document(document, origin=f"the artifact {card}")


def write_artifact(
    artifact: OnnxArtifact,
    root: Path,
    *,
    expected: Mapping[str, np.ndarray] | None,
    outputs: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes the expected outputs and the file's own, where there are any, then the JSON.

    The ONNX file must lie at its path already.

    Raises:
        StoreError: the folder cannot be written.
    """
    import numpy as np

    card = root / artifact_paths(model=artifact.model, precision=artifact.precision, recipe=artifact.recipe).card
    try:
        for path, arrays in ((artifact.expected_path, expected), (artifact.outputs_path, outputs)):
            if path is not None and arrays is not None:
                with draft_of(root / path) as draft, draft.open("wb") as file:
                    np.savez(file, **arrays)  # type: ignore[arg-type]
        with draft_of(card) as draft:
            draft.write_text(json.dumps(document_from_artifact(artifact), indent=2) + "\n")
    except OSError as error:
        raise unwritable(card, error) from error


def structure_path(root: Path, *, model: str, recipe: str) -> Path:
    """Where a network's structure is kept; it need not be there."""
    return root / STRUCTURES / f"{model}-{recipe[:RECIPE_DIGITS]}.onnx"


def write_structure(path: Path, data: bytes) -> None:
    """Writes a structure whole or not at all; raises StoreError where the folder cannot be written."""
    try:
        with draft_of(path) as draft:
            draft.write_bytes(data)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> StoreError:
    """The error for a place under engines/ that cannot be written."""
    return StoreError(
        "the exported network cannot be written",
        values=f"{path}: {error.strerror or error}",
        remedy="choose another --root, or free the path",
    )
