"""Where do records lie when there are too many for a file each, and how are they found and read there?

``results/records/compacted/manifest.json`` names the parts that count: Parquet files ``part-<sha256>.parquet`` of many
records each, sorted by environment, case and time. A row holds what records are selected by, the record's JSON, and the
bytes of the file that it was, unchanged. A record in a part has a path like a file's, as if the part were a folder:
``part-….parquet/<row>/<id>.parquet``. Whoever lists records takes the files first and reads the manifest then: a record
that is moved meanwhile is in one of them, or in both, and counts once.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbox.errors import StoreError
from benchbox.store.parts.part import CONTENT, DIGEST, DOCUMENT, SIZE, Part, within
from benchbox.store.selection import Condition

FOLDER = Path("results") / "records" / "compacted"
MANIFEST = "manifest.json"
SCHEMA = "benchbox.compacted/1"
_PART = "part-"
_OPEN_PARTS, _ATTEMPTS = 64, 5


@dataclass(frozen=True, kw_only=True)
class PartEntry:
    """A part as the manifest has it: its file, digest, size and rows, and the first and last model, id and environment.

    ``envs`` is None in manifests of before it was noted.
    """

    file: str
    sha256: str
    size_bytes: int
    rows: int
    models: tuple[str, str]
    ids: tuple[str, str]
    envs: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Selected:
    """Paths of compacted records, and how many there are that meet the conditions, listed or not."""

    paths: tuple[Path, ...]
    count: int


def read_manifest(folder: Path) -> tuple[PartEntry, ...]:
    """The parts of a folder; none where nothing was compacted. Raises StoreError where the manifest is damaged."""
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise StoreError(
                f"{path} has another version",
                values=f"schema {document['schema']!r}, expected {SCHEMA!r}",
                remedy="a newer benchbox wrote it: use that",
            )
        return tuple(_entry(fields) for fields in document["parts"])
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"the list of compacted records {path} cannot be read",
            values=f"{type(error).__name__}: {error}",
            remedy="'benchbox store check --set-aside' makes it anew from the parts",
        ) from error


def _entry(fields: dict[str, Any]) -> PartEntry:
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    return PartEntry(**plain)


def is_compacted(path: Path) -> bool:
    """Whether this is the path of a record in a part."""
    # By its text, since every record that is read is asked: parents are objects, which take ten times as long.
    return str(path).rpartition(os.sep)[0].rpartition(os.sep)[2].isdigit()  # of files it is "date=…"


def is_part(path: Path) -> bool:
    """Whether this is a part itself."""
    return path.name.startswith(_PART) and path.parent.name == FOLDER.name


def paths_in(part: Path) -> tuple[Path, ...]:
    """The records of a part, or its own path where it is damaged: reading that raises."""
    return (part,) if fault_of_part(part) else tuple(_paths(part, (), (), newest=False)[0])


def named_paths(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    """The names that the files of compacted records had, below a prefix, and their paths; damaged parts are left out.

    Raises:
        StoreError: the manifest is damaged.
    """
    for entry in read_manifest(folder):
        path = folder / entry.file
        if not fault_of_part(path):
            yield from opened(path).names(prefix)


def fault_of_part(path: Path) -> str:
    """Why a part cannot be opened, "" if it can."""
    try:
        opened(path)
    except (OSError, ValueError) as error:
        return str(error).splitlines()[0]
    return ""


def order_of(path: Path) -> tuple[str, str]:
    """Sorts paths so that records which lie together are read one after the other."""
    return (str(path.parent.parent), path.parent.name) if is_compacted(path) else ("", "")


def selected(
    folder: Path, conditions: Sequence[Condition] = (), *, without: Collection[str] = (), newest: bool = False
) -> Selected:
    """The records in the parts of a folder.

    Args:
        folder: with the manifest.
        conditions: that records must meet, as of ``--where``; what a part cannot tell is listed, so check again.
        without: ids that are not wanted.
        newest: of each case and environment the records that count now are enough (``Part.newest``).

    Raises:
        StoreError: the manifest is damaged. A damaged part is listed by its own path, and reading that raises.
    """
    for _ in range(_ATTEMPTS):
        paths: list[Path] = []
        count = 0
        try:
            for entry in read_manifest(folder):
                found, matching = _in_part(folder, entry, conditions, without, newest=newest)
                paths += found
                count += matching
        except FileNotFoundError:
            continue  # another compaction has replaced it since
        return Selected(paths=tuple(paths), count=count)
    raise StoreError(
        "the compacted records cannot be read",
        values=f"{folder / MANIFEST} names files that are not there",
        remedy="restore the folder from a copy, or pull its records again",
    )


def _in_part(
    folder: Path,
    entry: PartEntry,
    conditions: Sequence[Condition],
    without: Collection[str],
    *,
    newest: bool,
) -> tuple[list[Path], int]:
    if any(key == "model" and not within(patterns, entry.models) for key, patterns in conditions):
        return [], 0
    if any(key == "id" and not within(patterns, entry.ids) for key, patterns in conditions):
        return [], 0
    if entry.envs and any(key == "env" and not within(patterns, entry.envs) for key, patterns in conditions):
        return [], 0
    try:
        return _paths(folder / entry.file, conditions, without, newest=newest)
    except FileNotFoundError:
        raise
    except (OSError, ValueError):
        return [folder / entry.file], entry.rows


def _paths(
    path: Path, conditions: Sequence[Condition], without: Collection[str], *, newest: bool
) -> tuple[list[Path], int]:
    part = opened(path)
    rows = part.rows_matching(conditions)
    ids = part.ids(rows)
    if without:
        kept = [place for place, name in enumerate(ids) if name not in without]
        rows, ids = rows[kept], [ids[place] for place in kept]
    count = len(ids)
    if newest:
        kept = part.newest(rows)
        rows, ids = rows[kept], [ids[place] for place in kept]
    return [path / f"{row:08d}" / f"{name}.parquet" for row, name in zip(rows.tolist(), ids, strict=True)], count


def document_of(path: Path) -> bytes:
    """The JSON of a compacted record; raises as opening a file does."""
    document: bytes = _cell(path, DOCUMENT)
    return document


def content_of(path: Path) -> bytes:
    """The bytes of the file that a compacted record was; raises as opening a file does."""
    content: bytes = _cell(path, CONTENT)
    return content


def digest_at(path: Path) -> str:
    """The sha256 of that file, as it was when the record was compacted."""
    digest: str = _cell(path, DIGEST)
    return digest


def size_of(path: Path) -> int:
    """The size of that file."""
    size: int = _cell(path, SIZE)
    return size


def found_again(path: Path) -> Path | None:
    """Where the record of a file, or of a part, that is gone lies now; None where it is not compacted."""
    folder = path.parents[2] if is_compacted(path) else path.parents[2] / FOLDER.name
    for _ in range(_ATTEMPTS):
        try:
            for entry in read_manifest(folder):
                if entry.ids[0] <= path.stem <= entry.ids[1]:
                    part = opened(folder / entry.file)
                    row = part.row_by_id().get(path.stem)
                    if row is not None:
                        return part.path / f"{row:08d}" / path.name
        except FileNotFoundError:
            continue
        return None
    return None


def _cell(path: Path, column: str) -> Any:
    try:
        return opened(path.parents[1]).cell(int(path.parent.name), path.stem, column)
    except FileNotFoundError:
        again = found_again(path)
        if again is None:
            raise
        return opened(again.parents[1]).cell(int(again.parent.name), again.stem, column)


@functools.lru_cache(maxsize=_OPEN_PARTS)
def opened(path: Path) -> Part:
    """A part, open: it stays readable when its file is removed. Raises as opening a file does."""
    return Part(path)
