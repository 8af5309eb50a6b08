"""Where are exported networks kept, and which of them can be used again?

``engines/onnx/<model>-<precision>-<recipe>.onnx`` with its reference outputs ``.npz``, what it made of the
same samples itself (``.outputs.npz``), and its artifact ``.json``, which is written last: an artifact exists exactly
when its JSON does.

``engines/structure/<model>-<recipe>.onnx`` is a network without weights, enough to count what it costs.
"""

from __future__ import annotations

import hashlib
import json
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


def artifact_stem(root: Path, *, model: str, precision: Precision, recipe: str) -> Path:
    """Path of an artifact's files without the suffix."""
    return root / FOLDER / f"{model}-{precision}-{recipe[:RECIPE_DIGITS]}"


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def found_artifact(root: Path, *, model: str, precision: Precision, recipe: str) -> OnnxArtifact | None:
    """The artifact of a recipe if it is there whole: its JSON, its file with the right sha256, its reference."""
    card = artifact_stem(root, model=model, precision=precision, recipe=recipe).with_suffix(".json")
    if not card.is_file():
        return None
    artifact = read_artifact(card)
    path = root / artifact.path
    whole = (
        artifact.recipe == recipe
        and (root / artifact.reference_path).is_file()
        and (artifact.outputs_path is None or (root / artifact.outputs_path).is_file())
        and path.is_file()
        and sha256_of(path) == artifact.sha256
    )
    return artifact if whole else None


def artifacts_under(root: Path) -> tuple[OnnxArtifact, ...]:
    """Every artifact under a root, by file name; a damaged one raises StoreError that names it."""
    return tuple(read_artifact(card) for card in sorted((root / FOLDER).glob("*.json")))


def read_artifact(card: Path) -> OnnxArtifact:
    """The artifact that a JSON file describes; raises StoreError if it is damaged."""
    try:
        document = json.loads(card.read_text())
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the artifact {card} cannot be read", values=str(error), remedy="delete it; it is made again when needed"
        ) from error
    return artifact_from_document(document, origin=f"the artifact {card}")


def write_artifact(
    artifact: OnnxArtifact,
    root: Path,
    *,
    reference: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes the reference outputs and the file's own, then the JSON; the ONNX file must lie at its path already.

    Raises:
        StoreError: the folder cannot be written.
    """
    import numpy as np

    stem = artifact_stem(root, model=artifact.model, precision=artifact.precision, recipe=artifact.recipe)
    try:
        with draft_of(root / artifact.reference_path) as draft, draft.open("wb") as file:
            np.savez(file, **reference)  # type: ignore[arg-type]
        if artifact.outputs_path is not None and outputs is not None:
            with draft_of(root / artifact.outputs_path) as draft, draft.open("wb") as file:
                np.savez(file, **outputs)  # type: ignore[arg-type]
        with draft_of(stem.with_suffix(".json")) as draft:
            draft.write_text(json.dumps(document_from_artifact(artifact), indent=2) + "\n")
    except OSError as error:
        raise unwritable(stem, error) from error


def structure_path(root: Path, *, model: str, recipe: str) -> Path:
    """Where a network's structure is kept; whether it is there is for the caller to see."""
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
