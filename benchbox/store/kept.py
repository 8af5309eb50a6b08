"""Which networks of earlier nights can still be run?

``engines/kept/<sha256>.onnx``: a copy of every network that a good night measured, so that it can be measured again
beside the one that took its place: users' files are overwritten, and factories are exported anew. ``<sha256>.json`` has
the options of the command line that say its input sizes. Copies, not links: a file that is overwritten in place would
take a link with it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from benchbox.errors import StoreError
from benchbox.schema.artifact import OnnxArtifact
from benchbox.store.artifact_files import artifacts_under, sha256_of
from benchbox.store.atomic import draft_of

FOLDER = Path("engines") / "kept"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A network that can be run: its file, relative to the root where it lies below it, and its options."""

    path: Path
    options: tuple[str, ...] = ()


def known_artifacts(root: Path) -> dict[str, OnnxArtifact]:
    """The artifacts under a root by the sha256 of their files."""
    return {artifact.sha256: artifact for artifact in artifacts_under(root)}


def find_kept(root: Path, sha256: str, artifacts: dict[str, OnnxArtifact]) -> Kept | None:
    """The network of that content, from what was kept or as it was exported; None where it is gone or damaged."""
    path = root / FOLDER / f"{sha256}.onnx"
    if path.is_file() and sha256_of(path) == sha256:
        options: tuple[str, ...] = ()
        with contextlib.suppress(OSError, ValueError):
            options = tuple(map(str, json.loads(path.with_suffix(".json").read_text())))
        return Kept(path=FOLDER / path.name, options=options)
    artifact = artifacts.get(sha256)
    if artifact is None or not (root / artifact.path).is_file() or sha256_of(root / artifact.path) != sha256:
        return None
    return Kept(path=Path(artifact.path), options=options_of(artifact))


def options_of(artifact: OnnxArtifact) -> tuple[str, ...]:
    """The options that say the input sizes of an artifact made from a file; none where PyTorch built it."""
    if not artifact.source.endswith(".onnx"):
        return ()
    shapes = [] if artifact.asked_shape is None else [_text(artifact.asked_shape)]
    shapes += [f"{name}={_text(sizes)}" for name, sizes in artifact.choice.named]
    found = [word for shape in shapes for word in ("--input", shape)]
    found += [word for name, axis in artifact.choice.batch_axes for word in ("--batch-axis", f"{name}={axis}")]
    return (*found, *(("--inputs", artifact.choice.samples) if artifact.choice.samples else ()))


def keep(root: Path, sha256s: Collection[str], artifacts: dict[str, OnnxArtifact]) -> tuple[str, ...]:
    """Keeps the networks of these contents, and forgets all others; returns those that could not be kept.

    Raises:
        StoreError: the folder cannot be written.
    """
    folder = root / FOLDER
    lost = []
    try:
        for path in folder.glob("*"):
            if path.stem not in sha256s:
                path.unlink()
        for sha256 in sha256s:
            found = find_kept(root, sha256, artifacts)
            if found is None:
                lost.append(sha256)
            elif found.path.parent != FOLDER:
                with draft_of(folder / f"{sha256}.json") as draft:
                    draft.write_text(json.dumps(found.options))
                with draft_of(folder / f"{sha256}.onnx") as draft:
                    shutil.copyfile(root / found.path, draft)
    except OSError as error:
        raise StoreError("networks cannot be kept", values=f"{folder}: {error.strerror or error}") from error
    return tuple(lost)


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
