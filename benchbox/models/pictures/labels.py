"""Which class is each picture of a labelled folder?

The layout of ImageNet's validation set: one subfolder per class. Classes are numbered in the order of the subfolders'
names, as torchvision does, unless a mapping file says otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbox.errors import ArtifactError, UsageError
from benchbox.models.pictures.images import picture_files


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One picture and the index of its class among the network's scores."""

    path: Path
    label: int


def labelled_from_folder(folder: Path, *, mapping: Path | None = None) -> tuple[Labelled, ...]:
    """The pictures of a folder with their classes, class by class, in the order of their names.

    Args:
        folder: holds one subfolder per class.
        mapping: JSON object from subfolder to class index; without it the sorted subfolders are 0, 1, 2, ...

    Raises:
        UsageError: no such folder, no subfolders, no pictures, a subfolder that the mapping lacks.
        ArtifactError: an invalid mapping file.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", remedy="give one with a subfolder per class")
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if not classes:
        raise UsageError(
            f"{folder} has no subfolders", values="labels are the names of subfolders", remedy="one per class"
        )
    indices = _indices(mapping) if mapping else {name: index for index, name in enumerate(classes)}
    unknown = [name for name in classes if name not in indices]
    if unknown:
        raise UsageError(
            f"{mapping} does not say the class of every subfolder", values=f"missing: {', '.join(unknown[:10])}"
        )
    found = [Labelled(path=path, label=indices[name]) for name in classes for path in picture_files(folder / name)]
    if not found:
        raise UsageError(f"there are no pictures in {folder}", values=f"{len(classes)} subfolders, none with pictures")
    return tuple(found)


def data_sha256_of(pictures: Sequence[Labelled]) -> str:
    """What identifies labelled pictures in their order: names, sizes in bytes and classes, without reading them."""
    digest = hashlib.sha256()
    for picture in pictures:
        name = f"{picture.path.parent.name}/{picture.path.name}"
        digest.update(f"{name}\0{picture.path.stat().st_size}\0{picture.label}\n".encode())
    return digest.hexdigest()


def _indices(mapping: Path) -> dict[str, int]:
    try:
        document = json.loads(mapping.read_text())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"the mapping {mapping} cannot be read", values=str(error)) from error
    if not isinstance(document, dict) or not all(
        isinstance(index, int) and not isinstance(index, bool) and index >= 0 for index in document.values()
    ):
        raise ArtifactError(
            f"the mapping {mapping} is invalid",
            remedy='it must be a JSON object from subfolder to class index: {"n01440764": 0}',
        )
    return {str(name): index for name, index in document.items()}
