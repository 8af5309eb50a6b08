"""What of compacted records is damaged, and how is the rest saved?"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchbox.errors import StoreError
from benchbox.store.atomic import draft_of, locked
from benchbox.store.parts import compacted
from benchbox.store.parts.compacted import PartEntry
from benchbox.store.parts.compacting import LOCK, swap_manifest
from benchbox.store.parts.part import CONTENT, DIGEST, Part
from benchbox.store.parts.part_draft import digest_of, entry_of
from benchbox.store.records import FOLDER, read_record, read_trials

_READ_AT_ONCE = 1 << 20
_NAMED = 3


def fault_of_file(folder: Path, entry: PartEntry) -> str:
    """Why a part is not the file that the manifest names, "" if it is."""
    digest = hashlib.sha256()
    try:
        with (folder / entry.file).open("rb") as file:
            while piece := file.read(_READ_AT_ONCE):
                digest.update(piece)
    except OSError as error:
        return f"{entry.rows} records are lost: {error.strerror or error}"
    if digest.hexdigest() == entry.sha256:
        return ""
    whole = sum(1 for _ in _whole_rows(folder / entry.file))
    return f"its sha256 differs; {whole} of its {entry.rows} records are whole"


def rows_of_part(path: Path) -> tuple[range, ...]:
    """The rows of each row group; none where the part cannot be opened."""
    return () if compacted.fault_of_part(path) else compacted.opened(path).groups


def fault_of_rows(path: Path, rows: range) -> str:
    """Which records of these rows cannot be read, and why; "" if all can."""
    found: list[str] = []
    try:
        names = compacted.opened(path).ids(np.arange(rows.start, rows.stop))
    except (OSError, ValueError) as error:
        return f"rows {rows.start} to {rows.stop - 1} cannot be read: {str(error).splitlines()[0]}"
    for row, name in zip(rows, names, strict=True):
        place = path / f"{row:08d}" / f"{name}.parquet"
        try:
            if read_record(place).id != name:
                found.append(f"{name}: it holds another record")
            read_trials(place)
            if digest_of(compacted.content_of(place)) != compacted.digest_at(place):
                found.append(f"{name}: its sha256 differs")
        except (StoreError, OSError, ValueError) as error:
            said = error.values or error.what if isinstance(error, StoreError) else str(error)
            found.append(f"{name}: {' '.join(said.split())}")
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return "; ".join(found[:_NAMED]) + more


def save_rows(root: Path, path: Path) -> None:
    """Gives the whole records of a damaged part files again, and takes the part off the manifest.

    Raises:
        OSError: as the file system does.
        StoreError: a compaction runs.
    """
    folder = root / compacted.FOLDER
    with _alone(folder):
        for name, content in _whole_rows(path):
            target = root / FOLDER / name
            if not target.exists():
                with draft_of(target) as draft:
                    draft.write_bytes(content)
        swap_manifest(folder, [entry for entry in compacted.read_manifest(folder) if entry.file != path.name])


def remake_manifest(root: Path) -> None:
    """Makes a damaged manifest anew from the parts that are there; errors as above.

    A part that a killed compaction had replaced, and not yet removed, is left out: others have all of its records.
    """
    folder = root / compacted.FOLDER
    with _alone(folder):
        parts = [path for path in folder.glob("part-*.parquet") if not compacted.fault_of_part(path)]
        chosen: list[PartEntry] = []
        seen: set[str] = set()
        for entry in sorted(map(entry_of, parts), key=lambda entry: -entry.rows):
            ids = compacted.opened(folder / entry.file).row_by_id().keys()
            if not ids <= seen:
                chosen.append(entry)
                seen |= ids
        swap_manifest(folder, chosen)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with locked(folder / LOCK, waiting=None) as mine:
        if not mine:
            raise StoreError("a compaction runs in this store", values=str(folder), remedy="wait until it has ended")
        yield


def _whole_rows(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names of files and their bytes, of every record whose digest is right."""
    if compacted.fault_of_part(path):
        return
    part = Part(path)
    for group, rows in enumerate(part.groups):
        try:
            columns = [part.read(group, key) for key in ("env", "started_at", "id", CONTENT, DIGEST)]
        except (OSError, ValueError):
            continue
        for at in range(len(rows)):
            env, moment, name, content, digest = (column[at].as_py() for column in columns)
            if digest_of(content) == digest:
                yield f"env={env}/date={moment[:10]}/{name}.parquet", content
