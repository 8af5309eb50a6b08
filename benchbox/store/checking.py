"""Is everything under a root whole: records, artifacts, engines?"""

from __future__ import annotations

import json
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
from benchbox.store.layers import layer_files, read_layers
from benchbox.store.records import read_record, read_trials, record_files

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
    total = sum(len(found) for found in files.values())
    faults: list[Fault] = []
    done = 0
    for kind, found in files.items():
        for path, check in found:
            step(done, total)
            done += 1
            reason = check()
            if reason:
                faults.append(Fault(path=path, reason=reason, record=kind in _OWN))
    step(total, total)
    return Checked(counts={kind: len(found) for kind, found in files.items()}, faults=tuple(faults))


def set_aside(root: Path, fault: Fault) -> Path:
    """Moves a damaged record out of the way, to the same place below ``results/damaged/``.

    Raises:
        StoreError: it cannot be moved.
    """
    target = root / DAMAGED / fault.path.relative_to(root / "results")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fault.path.replace(target)
    except OSError as error:
        raise StoreError(
            "the damaged file cannot be moved", values=f"{fault.path}: {error.strerror or error}"
        ) from error
    return target


_Checks = Iterator[tuple[Path, Callable[[], str]]]


def _records(root: Path) -> _Checks:
    seen: dict[str, Path] = {}
    for path in record_files(root):
        twin = seen.setdefault(path.stem, path)
        yield path, lambda path=path, twin=twin: _fault_of_record(path, twin)  # type: ignore[misc]


def _fault_of_record(path: Path, twin: Path) -> str:
    if twin != path:
        return f"it is stored twice: {twin}"
    try:
        record = read_record(path)
        read_trials(path)
    except StoreError as error:
        return " ".join((error.values or error.what).split())
    places = {"id": (path.stem, record.id), "env": (path.parts[-3], f"env={record.environment.hash}")}
    places["date"] = (path.parts[-2], f"date={record.started_at[:10]}")
    wrong = [f"{name} {holds}, stored as {stored}" for name, (stored, holds) in places.items() if stored != holds]
    return f"it lies in the wrong place: {'; '.join(wrong)}" if wrong else ""


def _accuracies(root: Path) -> _Checks:
    for path in sorted((root / ACCURACIES).glob("*.json")):
        yield path, lambda path=path: _fault_of_accuracy(path)  # type: ignore[misc]


def _fault_of_accuracy(path: Path) -> str:
    lines: list[str] = []
    read_accuracy(path, warn=lines.append)
    return lines[0] if lines else ""


def _layers(root: Path) -> _Checks:
    for path in layer_files(root):
        yield path, lambda path=path: _fault_of_layers(path)  # type: ignore[misc]


def _fault_of_layers(path: Path) -> str:
    lines: list[str] = []
    read_layers(path, warn=lines.append)
    return lines[0] if lines else ""


def _artifacts(root: Path) -> _Checks:
    for card in sorted((root / ARTIFACTS).glob("*.json")):
        yield card, lambda card=card: _fault_of_artifact(root, card)  # type: ignore[misc]


def _fault_of_artifact(root: Path, card: Path) -> str:
    try:
        artifact = read_artifact(card)
    except StoreError as error:
        return " ".join((error.values or error.what).split())
    path = root / artifact.path
    if not path.is_file():
        return f"{artifact.path} is missing"
    return "" if sha256_of(path) == artifact.sha256 else f"{artifact.path} is damaged (its sha256 differs)"


def _engines(root: Path) -> _Checks:
    for folder in sorted(path for path in (root / ENGINES).glob("*") if path.is_dir() and path != root / ARTIFACTS):
        for card in sorted(folder.glob("*.json")):
            yield card, lambda card=card: _fault_of_engine(root, card)  # type: ignore[misc]


def _fault_of_engine(root: Path, card: Path) -> str:
    try:
        json.loads(card.read_text())
    except (OSError, ValueError) as error:
        return str(error)
    kept = kept_engine(card.with_name(card.name.removesuffix(".json")), root)
    return kept.fault if kept is not None else ""
