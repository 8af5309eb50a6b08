"""Where are engines kept, which of them can be used again, and which are of no use any more?

``engines/<backend>/<model>-<precision>-<key>.engine`` with the builder's ``.log``, the measured tactics ``.timing``
where there are any, and its artifact ``.json``, which is written last: an engine exists exactly when its JSON does. The
key is the sha256 of everything that decides the engine, so that the same engine is never built twice. A runtime that
compiles kernels when it loads an engine keeps them beside it, ``<stem>.<target>.<version>.kernels``; tactics that
builds share are ``tactics-<GPU>-<version>.cache``.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from benchbox.errors import StoreError
from benchbox.schema.engine import KERNELS, EngineArtifact, EngineRecipe
from benchbox.store.artifact_files import sha256_of
from benchbox.store.atomic import draft_of, drafts_of, locked
from benchbox.store.documents import document_from_engine, engine_from_document
from benchbox.store.external import weights_fault

FOLDER = Path("engines")
KEY_DIGITS = 16
SUFFIXES = (".engine", ".log", ".timing", ".json")
_OURS = re.compile(rf"\.?(?P<stem>.+-[0-9a-f]{{{KEY_DIGITS}}})\.(engine|log|timing|json|lock|.+\.kernels)(\..+)?$")
_TACTICS = re.compile(r"tactics-.+-(?P<version>\d[^-]*)\.cache$")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A card under engines/ and what is wrong with its engine, "" if it can be used; no artifact if damaged."""

    card: Path
    artifact: EngineArtifact | None
    fault: str


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A file that was deleted, its size and why it was of no use."""

    path: Path
    size_bytes: int
    reason: str


def key_of(recipe: EngineRecipe) -> str:
    """The sha256 of a recipe, in hex."""
    return hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode()).hexdigest()


def engine_stem(root: Path, *, backend: str, model: str, precision: str, key: str) -> Path:
    """Path of an engine's files without the suffix."""
    return root / FOLDER / backend / f"{model}-{precision}-{key[:KEY_DIGITS]}"


def beside(stem: Path, suffix: str) -> Path:
    """One of an engine's files; names may hold dots, so the suffix is added, never replaced."""
    return stem.with_name(stem.name + suffix)


def kept_engine(stem: Path, root: Path) -> Kept | None:
    """The stored engine of a stem, its digest checked; None if there is none."""
    card = beside(stem, ".json")
    if not card.is_file():
        return None
    try:
        artifact = engine_from_document(json.loads(card.read_text()), origin=f"the engine {card}")
    except (OSError, ValueError, StoreError) as error:
        reason = error.values if isinstance(error, StoreError) else str(error)
        return Kept(card=card, artifact=None, fault=f"its artifact is damaged ({' '.join(reason.split())})")
    path = root / artifact.path
    if key_of(artifact.recipe) != artifact.key:
        fault = "its artifact is damaged (the key does not belong to the recipe)"
    elif not path.is_file():
        fault = "its file is missing"
    elif path.stat().st_size != artifact.size_bytes:
        fault = f"its file is damaged ({path.stat().st_size} bytes, {artifact.size_bytes} were written)"
    elif sha256_of(path) != artifact.sha256:
        fault = "its file is damaged (the sha256 differs)"
    else:
        fault = ""
    return Kept(card=card, artifact=artifact, fault=fault)


def kept_engines(root: Path, *, backends: Iterable[str]) -> Iterator[Kept]:
    """Every engine of these backends under a root, by backend and name."""
    for backend in backends:
        for card in sorted((root / FOLDER / backend).glob("*.json")):
            kept = kept_engine(card.with_name(card.name.removesuffix(".json")), root)
            if kept is not None:
                yield kept


def faults_of(kept: Kept, root: Path, *, versions: Mapping[str, str]) -> str:
    """Why an engine is of no use any more, "" if it is.

    Args:
        kept: the engine as it lies there.
        root: project root.
        versions: installed version of each backend; engines of a backend that is not in it are left alone.
    """
    if kept.fault or kept.artifact is None:
        return kept.fault
    recipe = kept.artifact.recipe
    installed = versions.get(recipe.backend)
    if installed is not None and installed != recipe.backend_version:
        return f"it was built by version {recipe.backend_version}, installed is {installed}"
    onnx = root / kept.artifact.onnx_path
    if not onnx.is_file() or sha256_of(onnx) != recipe.onnx_sha256:
        return "the ONNX file that it was built from is gone or has changed"
    if recipe.weights_sha256 is not None and (fault := weights_fault(onnx, recipe.weights_sha256)):
        return f"it was built from other weights: {fault}"
    return ""


def shared_tactics(root: Path, recipe: EngineRecipe) -> Path:
    """Where the tactics of all builds with one version on one kind of GPU are kept."""
    device = re.sub(r"[^A-Za-z0-9]+", "-", recipe.device).strip("-")
    return root / FOLDER / recipe.backend / f"tactics-{device}-{recipe.backend_version}.cache"


def write_tactics(path: Path, content: bytes) -> None:
    """Replaces the shared tactics; raises StoreError where the folder cannot be written.

    Of two builds that end at once the later one's are kept: the other's are measured again when they are needed.
    """
    try:
        with draft_of(path, durable=False) as draft:
            draft.write_bytes(content)
    except OSError as error:
        raise unwritable_engine(path, error) from error


def write_engine(stem: Path, *, engine: bytes | memoryview, log: str, timing_cache: bytes | None) -> str:
    """Writes the timing cache, the log and the engine of a stem, each under a temporary name first.

    It is no engine yet: ``write_card`` makes it one.

    Returns:
        The sha256 of the engine, in hex.

    Raises:
        StoreError: the folder cannot be written.
    """
    files = [(beside(stem, ".log"), log.encode()), (beside(stem, ".engine"), engine)]
    if timing_cache is not None:
        files.insert(0, (beside(stem, ".timing"), timing_cache))
    # Hashing and writing take as long as each other, and neither holds the interpreter.
    with ThreadPoolExecutor(1) as beside_writing:
        digest = beside_writing.submit(hashlib.sha256, engine)
        try:
            # A damaged engine that is replaced stops to exist before the first of its files changes.
            beside(stem, ".json").unlink(missing_ok=True)
            for path, data in files:
                with draft_of(path, durable=False) as draft:
                    draft.write_bytes(data)
        except OSError as error:
            raise unwritable_engine(stem, error) from error
    return digest.result().hexdigest()


def write_card(artifact: EngineArtifact, root: Path) -> None:
    """Writes the JSON, after which the engine exists.

    Raises:
        StoreError: the folder cannot be written.
    """
    card = (root / artifact.path).with_suffix(".json")
    try:
        with draft_of(card) as draft:
            draft.write_text(json.dumps(document_from_engine(artifact), indent=2) + "\n")
    except OSError as error:
        raise unwritable_engine(card, error) from error


@contextlib.contextmanager
def sole_builder(stem: Path, *, waiting: Callable[[], None] | None) -> Iterator[tuple[Pruned, ...] | None]:
    """Makes this process the only one that builds the engine of a stem, and sweeps up what a killed one left.

    Args:
        stem: of the engine.
        waiting: is called once if another process builds it, before waiting; None: do not wait.

    Yields:
        What was swept up; None if another process builds it and this one does not wait.

    Raises:
        StoreError: the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            mine = stack.enter_context(locked(stem.with_name(f".{stem.name}.lock"), waiting=waiting))
            swept = _removed(_leftovers(stem), "an interrupted build left it") if mine else None
        except OSError as error:
            raise unwritable_engine(stem, error) from error
        yield swept


def prune_engines(root: Path, *, backends: Iterable[str], versions: Mapping[str, str]) -> tuple[Pruned, ...]:
    """Deletes the engines that are of no use any more and what killed builds left; engines being built are left alone.

    Args:
        root: project root.
        backends: whose folders are looked at.
        versions: as for ``faults_of``.
    """
    removed: list[Pruned] = []
    for backend in backends:
        folder = root / FOLDER / backend
        found = sorted(folder.iterdir()) if folder.is_dir() else []
        names = dict.fromkeys(match["stem"] for match in map(_OURS.match, (path.name for path in found)) if match)
        for name in names:
            removed += _pruned_stem(folder / name, root, versions)
        if (installed := versions.get(backend)) is not None:
            removed += _removed(
                [path for path in found if (match := _TACTICS.match(path.name)) and match["version"] != installed],
                f"its tactics are of another version than the installed {installed}",
            )
    return tuple(removed)


def _pruned_stem(stem: Path, root: Path, versions: Mapping[str, str]) -> list[Pruned]:
    with sole_builder(stem, waiting=None) as swept:
        if swept is None:
            return []
        kept = kept_engine(stem, root)
        reason = faults_of(kept, root, versions=versions) if kept else ""
        return [*swept, *(_removed(_files(stem), reason) if reason else ())]


def _files(stem: Path) -> list[Path]:
    return [*(path for path in (beside(stem, suffix) for suffix in SUFFIXES) if path.exists()), *_kernels(stem)]


def _kernels(stem: Path) -> list[Path]:
    """Compiled kernels of a stem's engine, for whichever GPU, and drafts of them."""
    return sorted(path for path in stem.parent.glob(f"{glob.escape(stem.name)}.*") if KERNELS in path.suffixes)


def _leftovers(stem: Path) -> list[Path]:
    """Drafts, and files without the JSON that makes them an engine; only the lock's holder may ask."""
    drafts = [draft for suffix in SUFFIXES for draft in drafts_of(beside(stem, suffix))]
    drafts += [path for path in _kernels(stem) if path.suffix != KERNELS]
    if beside(stem, ".json").exists():
        return drafts
    return drafts + _files(stem)


def _removed(paths: Iterable[Path], reason: str) -> tuple[Pruned, ...]:
    """Deletes files, the JSON first: what is half removed does not exist any more."""
    removed = []
    for path in sorted(paths, key=lambda path: path.suffix != ".json"):
        removed.append(Pruned(path=path, size_bytes=path.stat().st_size, reason=reason))
        path.unlink()
    return tuple(removed)


def unwritable_engine(path: Path, error: OSError) -> StoreError:
    """The error for a place under engines/ where an engine cannot be written."""
    return StoreError(
        "the engine cannot be written",
        values=f"{path}: {error.strerror or error}",
        remedy="choose another --root, or free the path",
    )
