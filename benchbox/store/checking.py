"""Is everything under a root whole: records, artifacts, engines?"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchbox.errors import StoreError
from benchbox.store.accuracies import FOLDER as ACCURACIES
from benchbox.store.accuracies import read_accuracy
from benchbox.store.artifact_files import FOLDER as ARTIFACTS
from benchbox.store.artifact_files import read_artifact, sha256_of
from benchbox.store.engines import FOLDER as ENGINES
from benchbox.store.engines import kept_engine
from benchbox.store.external import weights_fault
from benchbox.store.layers import layer_files, read_layers
from benchbox.store.parts import compacted
from benchbox.store.parts.saving import fault_of_file, fault_of_rows, remake_manifest, rows_of_part, save_rows
from benchbox.store.records import place_fault, read_record, read_trials, single_files

DAMAGED = Path("results") / "damaged"
# What cannot be made again, and is set aside where it is damaged.
_OWN = frozenset({"records", "accuracies", "layers"})


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A file that is not what it should be; ``record`` where it is one of those that can be set aside."""

    path: Path
    reason: str
    record: bool


@dataclass(frozen=True, kw_only=True)
class Checked:
    """How many files of each kind were read, and what is wrong."""

    counts: dict[str, int]
    faults: tuple[Fault, ...]


def check_store(root: Path, *, step: Callable[[int, int], None] = lambda _, __: None) -> Checked:
    """Reads everything whole.

    Args:
        root: project root.
        step: is called with (done, in all).
    """
    checks = {
        "records": _records,
        "accuracies": _accuracies,
        "layers": _layers,
        "artifacts": _artifacts,
        "engines": _engines,
    }
    files = {kind: tuple(check(root)) for kind, check in checks.items()}
    total = sum(count for found in files.values() for _, count, _ in found)
    faults: dict[Path, Fault] = {}
    done = 0
    for kind, found in files.items():
        for path, count, check in found:
            step(done, total)
            done += count
            reason = check()
            if reason and path not in faults:
                faults[path] = Fault(path=path, reason=reason, record=kind in _OWN)
    step(total, total)
    counts = {kind: sum(count for _, count, _ in found) for kind, found in files.items()}
    return Checked(counts=counts, faults=tuple(faults.values()))


def set_aside(root: Path, fault: Fault) -> Path:
    """Moves a damaged record out of the way, to the same place below ``results/damaged/``.

    Of a part with many records, those that are whole have files again first.

    Raises:
        StoreError: it cannot be moved.
    """
    target = root / DAMAGED / fault.path.relative_to(root / "results")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if fault.path == root / compacted.FOLDER / compacted.MANIFEST:
            shutil.copyfile(fault.path, target)
            remake_manifest(root)
            return target
        if compacted.is_part(fault.path):
            save_rows(root, fault.path)
            if not fault.path.exists():
                return target
        fault.path.replace(target)
    except OSError as error:
        raise StoreError(
            "the damaged file cannot be moved", values=f"{fault.path}: {error.strerror or error}"
        ) from error
    return target


# A file, the number of records and the like that it stands for, and what finds its fault.
_Checks = Iterator[tuple[Path, int, Callable[[], str]]]


def _records(root: Path) -> _Checks:
    seen: dict[str, Path] = {}
    for path in single_files(root):
        twin = seen.setdefault(path.stem, path)
        yield path, 1, functools.partial(_fault_of_record, path, twin)
    folder = root / compacted.FOLDER
    try:
        entries = compacted.read_manifest(folder)
    except StoreError as error:
        reason = f"{error.values}; its parts may be whole"
        yield folder / compacted.MANIFEST, 0, functools.partial(str, reason)
        return
    for entry in entries:
        part = folder / entry.file
        yield part, 0, functools.partial(fault_of_file, folder, entry)
        for rows in rows_of_part(part):
            yield part, len(rows), functools.partial(fault_of_rows, part, rows)


def _fault_of_record(path: Path, twin: Path) -> str:
    if twin != path:
        return f"it is stored twice: {twin}"
    try:
        record = read_record(path)
        read_trials(path)
    except StoreError as error:
        return " ".join((error.values or error.what).split())
    return place_fault(path, record)


def _accuracies(root: Path) -> _Checks:
    for path in sorted((root / ACCURACIES).glob("*.json")):
        yield path, 1, functools.partial(_fault_of_accuracy, path)


def _fault_of_accuracy(path: Path) -> str:
    lines: list[str] = []
    read_accuracy(path, warn=lines.append)
    return lines[0] if lines else ""


def _layers(root: Path) -> _Checks:
    for path in layer_files(root):
        yield path, 1, functools.partial(_fault_of_layers, path)


def _fault_of_layers(path: Path) -> str:
    lines: list[str] = []
    read_layers(path, warn=lines.append)
    return lines[0] if lines else ""


def _artifacts(root: Path) -> _Checks:
    for card in sorted((root / ARTIFACTS).glob("*.json")):
        yield card, 1, functools.partial(_fault_of_artifact, root, card)


def _fault_of_artifact(root: Path, card: Path) -> str:
    try:
        artifact = read_artifact(card)
    except StoreError as error:
        return " ".join((error.values or error.what).split())
    path = root / artifact.path
    if not path.is_file():
        return f"{artifact.path} is missing"
    if sha256_of(path) != artifact.sha256:
        return f"{artifact.path} is damaged (its sha256 differs)"
    return "" if artifact.weights_sha256 is None else weights_fault(path, artifact.weights_sha256)


def _engines(root: Path) -> _Checks:
    for folder in sorted(path for path in (root / ENGINES).glob("*") if path.is_dir() and path != root / ARTIFACTS):
        for card in sorted(folder.glob("*.json")):
            yield card, 1, functools.partial(_fault_of_engine, root, card)


def _fault_of_engine(root: Path, card: Path) -> str:
    try:
        json.loads(card.read_text())
    except (OSError, ValueError) as error:
        return str(error)
    kept = kept_engine(card.with_name(card.name.removesuffix(".json")), root)
    return kept.fault if kept is not None else ""
