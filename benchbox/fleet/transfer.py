"""How do records get from one store to another, so that none is lost, doubled or half there?

A record's path is its name everywhere. What the other side has by name is not copied again; writing never replaces, so
two machines that push at once do no harm. What arrives is read before it is stored under its name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from benchbox.errors import StoreError
from benchbox.fleet.objects import Objects
from benchbox.store import accuracies, layers, records
from benchbox.store.atomic import draft_of
from benchbox.store.parts import compacted
from benchbox.temporary import temporary_folder

PREFIXES = (records.FOLDER.as_posix(), accuracies.FOLDER.as_posix(), layers.FOLDER.as_posix())
_SUFFIXES = (".parquet", ".json")
_RECORDS = records.FOLDER.as_posix()
# Parts are an arrangement of one machine's disk: what travels are records.
_COMPACTED = compacted.FOLDER.as_posix() + "/"


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What a transfer did: names that were copied, how many were there already, what could not be copied and why."""

    copied: tuple[str, ...]
    present: int
    faults: tuple[tuple[str, str], ...]
    size_bytes: int


Step = Callable[[int, int], None]


def record_ids(objects: Objects) -> frozenset[str]:
    """The ids of all records of a store; raises StoreError where it cannot be reached."""
    return frozenset(PurePosixPath(name).stem for name, _ in objects.names(_RECORDS))


def push(
    root: Path,
    objects: Objects,
    *,
    step: Step = lambda _, __: None,
    dry_run: bool = False,
    without: Collection[str] = (),
) -> Transfer:
    """Copies what the other side lacks.

    Args:
        root: project root.
        objects: the other side.
        step: is called with (done, in all).
        dry_run: nothing is written.
        without: ids of records that stay here.

    Raises:
        StoreError: the other side cannot be reached.
    """
    own = {name: path for name, path in _own(root).items() if path.stem not in without}
    there = {name: size for prefix in PREFIXES for name, size in objects.names(prefix)}
    copied: list[str] = []
    faults: list[tuple[str, str]] = []
    present = size_bytes = 0
    for done, (name, path) in enumerate(own.items()):
        step(done, len(own))
        if name in there:
            present += 1
            if there[name] != (here := records.size_of(path)):
                faults.append((name, f"another one is there: {there[name]} bytes, {here} here"))
            continue
        fault = fault_of(path)
        if fault:
            faults.append((name, fault))
            continue
        content = records.content_of(path)
        if dry_run or objects.write_new(name, content):
            copied.append(name)
            size_bytes += len(content)
        else:
            present += 1
    step(len(own), len(own))
    return Transfer(copied=tuple(copied), present=present, faults=tuple(faults), size_bytes=size_bytes)


def pull(
    root: Path, objects: Objects, *, step: Step = lambda _, __: None, dry_run: bool = False, since: str = ""
) -> Transfer:
    """Copies what this side lacks; arguments and errors as of ``push``.

    Args:
        root: project root.
        objects: the other side.
        step: is called with (done, in all).
        dry_run: nothing is written.
        since: the day, as 20261129, before which records are left out; "" for all.

    Raises:
        StoreError: also where this side cannot be written.
    """
    own = _own(root)
    there = {
        name: size
        for prefix in PREFIXES
        for name, size in objects.names(prefix)
        if name.endswith(_SUFFIXES)
        and not name.startswith(_COMPACTED)
        and _inside(name)
        and PurePosixPath(name).name[: len(since)] >= since
    }
    copied: list[str] = []
    faults: list[tuple[str, str]] = []
    present = size_bytes = 0
    for done, name in enumerate(sorted(there)):
        step(done, len(there))
        if name in own:
            present += 1
            if (here := records.size_of(own[name])) != there[name]:
                faults.append((name, f"another one is here: {here} bytes, {there[name]} there"))
            continue
        if dry_run:
            copied.append(name)
            size_bytes += there[name]
            continue
        content = objects.read(name)
        fault = _arrived(root, name, content)
        if fault:
            faults.append((name, fault))
            continue
        copied.append(name)
        size_bytes += len(content)
    step(len(there), len(there))
    return Transfer(copied=tuple(copied), present=present, faults=tuple(faults), size_bytes=size_bytes)


def fault_of(path: Path) -> str:
    """Why a file of records, accuracies or layers is not whole, "" if it is."""
    if path.suffix == ".json":
        lines: list[str] = []
        if path.parent.name == layers.FOLDER.name:
            layers.read_layers(path, warn=lines.append)
        else:
            accuracies.read_accuracy(path, warn=lines.append)
        return lines[0] if lines else ""
    try:
        record = records.read_record(path)
        records.read_trials(path)
    except StoreError as error:
        return f"damaged: {' '.join((error.values or error.what).split())}"
    return "" if record.id == path.stem else f"it holds the record {record.id}"


def _arrived(root: Path, name: str, content: bytes) -> str:
    """Writes what arrived under its name if it is whole; else why not."""
    target = root / name
    with temporary_folder("benchbox-pull-") as folder:
        seen = folder / target.parent.name / target.name
        seen.parent.mkdir()
        seen.write_bytes(content)
        fault = fault_of(seen)
    if fault:
        return fault
    try:
        with draft_of(target) as draft:
            draft.write_bytes(content)
    except OSError as error:
        raise StoreError(
            "records cannot be written", values=f"{target}: {error.strerror or error}", remedy="choose another --root"
        ) from error
    return ""


def _own(root: Path) -> dict[str, Path]:
    documents = [*sorted((root / accuracies.FOLDER).glob("*.json")), *layers.layer_files(root)]
    own = {PurePosixPath(path.relative_to(root)).as_posix(): path for path in (*records.single_files(root), *documents)}
    return {**dict(compacted.named_paths(root / compacted.FOLDER, _RECORDS)), **own}


def _inside(name: str) -> bool:
    """Whether a name stays below the root: others' stores may hold anything."""
    return ".." not in PurePosixPath(name).parts and not name.startswith("/")
