"""Which networks of earlier nights can still be run?

A copy of every network that a good night measured, so that it can be measured again beside the one that took its place:
users' files are overwritten, and factories are exported anew. ``engines/kept/<network>.onnx`` is a file that holds all
of itself; ``engines/kept/<network>/`` has one with external data, and that data beside it under the names that it is
read by. ``<network>.json`` has the options of the command line that say its input sizes, and the sha256 of every file.
Copies, not links: a file that is overwritten in place would take a link with it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from benchbox.errors import StoreError
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.identity import network_from
from benchbox.store.artifact_files import artifacts_under, sha256_of
from benchbox.store.atomic import draft_of

FOLDER = Path("engines") / "kept"
_FILE = "network.onnx"

FilesBeside = Callable[[Path], Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A network that can be run: its file, relative to the root where it lies below it, and its options."""

    path: Path
    options: tuple[str, ...] = ()


def known_artifacts(root: Path) -> dict[str, OnnxArtifact]:
    """The artifacts under a root by their networks in one word (``schema/identity.py``)."""
    return {
        network_from(artifact.sha256, artifact.weights_sha256) or "": artifact for artifact in artifacts_under(root)
    }


def find_kept(root: Path, network: str, artifacts: Mapping[str, OnnxArtifact]) -> Kept | None:
    """The network in that word, from what was kept or as it was exported; None where it is gone or damaged."""
    if (kept := _kept(root, network)) is not None:
        return kept
    artifact = artifacts.get(network)
    if artifact is None or not _is_file_of(root / artifact.path, artifact.sha256):
        return None
    return Kept(path=Path(artifact.path), options=options_of(artifact))


def _kept(root: Path, network: str) -> Kept | None:
    alone, folder = root / FOLDER / f"{network}.onnx", root / FOLDER / network
    try:
        card = json.loads((root / FOLDER / f"{network}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        card = []
    if not isinstance(card, dict):  # a file alone, whose card is the options
        options = tuple(map(str, card))
        return Kept(path=FOLDER / alone.name, options=options) if _is_file_of(alone, network) else None
    files, options = card.get("files"), card.get("options", [])
    if not files or not all(_is_file_of(folder / name, sha256) for name, sha256 in files.items()):
        return None
    return Kept(path=FOLDER / network / _FILE, options=tuple(options))


def _is_file_of(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path) == sha256


def options_of(artifact: OnnxArtifact) -> tuple[str, ...]:
    """The options that say the input sizes of an artifact made from a file; none where PyTorch built it."""
    if not artifact.source.endswith(".onnx"):
        return ()
    shapes = [] if artifact.asked_shape is None else [_text(artifact.asked_shape)]
    shapes += [f"{name}={_text(sizes)}" for name, sizes in artifact.choice.named]
    found = [word for shape in shapes for word in ("--input", shape)]
    found += [word for name, axis in artifact.choice.batch_axes for word in ("--batch-axis", f"{name}={axis}")]
    return (*found, *(("--inputs", artifact.choice.samples) if artifact.choice.samples else ()))


def keep(
    root: Path, networks: Collection[str], artifacts: Mapping[str, OnnxArtifact], *, files_beside: FilesBeside
) -> tuple[str, ...]:
    """Keeps these networks, and forgets all others; returns those that could not be kept.

    Args:
        root: project root.
        networks: each in one word.
        artifacts: at hand, by the same words.
        files_beside: the names of the files with external data of an ONNX file, relative to it.

    Raises:
        StoreError: the folder cannot be written.
    """
    folder = root / FOLDER
    lost = []
    try:
        for path in folder.glob("*"):
            if path.stem not in networks:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for network in networks:
            found = find_kept(root, network, artifacts)
            there = found is not None and folder in (root / found.path).parents
            if not there and (found is None or not _keep(root, network, found, files_beside)):
                lost.append(network)
    except OSError as error:
        raise StoreError("networks cannot be kept", values=f"{folder}: {error.strerror or error}") from error
    return tuple(lost)


def _keep(root: Path, network: str, found: Kept, files_beside: FilesBeside) -> bool:
    """Copies a network; False where what lies beside it cannot be copied to beside the copy."""
    path, target = root / found.path, root / FOLDER
    names = files_beside(path)
    if any(PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts for name in names):
        return False
    if not all((path.parent / name).is_file() for name in names):
        return False
    files = {_FILE: path, **{name: path.parent / name for name in names}}
    card: object = list(found.options)
    if names:
        card = {"options": card, "files": {name: sha256_of(file) for name, file in files.items()}}
    with draft_of(target / f"{network}.json") as draft:
        draft.write_text(json.dumps(card), encoding="utf-8")
    for name, file in files.items():
        with draft_of(target / network / name if names else target / f"{network}.onnx") as draft:
            shutil.copyfile(file, draft)
    return True


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
