"""How do many record files become a few parts, without a moment at which a record is missing?

New parts are written beside the old ones, read again, and made durable; then the manifest is replaced in one step, and
only then are the files and parts that they replace removed. Killed before the step, the old state holds; after it, what
remains of the old is a copy, which readers count once and the next compaction removes.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchbox.errors import StoreError
from benchbox.store.atomic import draft_of, locked
from benchbox.store.documents import headline_from_json
from benchbox.store.parts import compacted
from benchbox.store.parts.compacted import PartEntry
from benchbox.store.parts.part import CONTENT, DIGEST, DOCUMENT, Part
from benchbox.store.parts.part_draft import PartDraft, PartRow, digest_of
from benchbox.store.records import checked_content, single_files
from benchbox.store.selection import texts_of

if TYPE_CHECKING:
    import pyarrow

# A part below the least size is written anew together with what is new; none grows beyond the other.
LEAST_PART_BYTES, MOST_PART_BYTES = 128 << 20, 480 << 20
_ANY_BYTES = 1 << 62
# By environment first. A question is mostly of one machine, and a row group is read whole for one record in it: with
# the case first, each case of a machine would be in a row group of its own among those of all other machines.
_SORTED_BY = ("env", "model", "backend", "precision", "batch", "device", "started_at", "id")
# So many row groups are held while parts are merged: a part is read in another order than it has where it is of an
# older version, and otherwise a row group or two of each part at a time.
_HELD_GROUPS = 32
LOCK = ".compact.lock"
_KEYS_AT_ONCE = 4096
_SOURCE, _ROW = "source", "row"

Step = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Compaction:
    """What a compaction did.

    ``moved`` files became rows, ``copies`` were rows already and are removed, ``left`` are files that stay as they are,
    with the reason. ``parts`` are those written, ``rewritten`` the number of rows in them that came from older parts.
    """

    moved: int
    copies: int
    rewritten: int
    parts: tuple[PartEntry, ...]
    left: tuple[tuple[Path, str], ...]


def compact(
    root: Path,
    *,
    step: Step = lambda _, __, ___: None,
    everything: bool = False,
    least_bytes: int = LEAST_PART_BYTES,
    most_bytes: int = MOST_PART_BYTES,
) -> Compaction:
    """Moves the records that have a file each into parts.

    Args:
        root: project root.
        step: is called with (done, in all, what).
        everything: large parts are written anew too, so that all are in one order.
        least_bytes: a part below it is written anew.
        most_bytes: no part grows much beyond it.

    Raises:
        StoreError: another compaction runs, or the folder cannot be written.
    """
    folder = root / compacted.FOLDER
    try:
        with locked(folder / LOCK, waiting=None) as mine:
            if not mine:
                raise StoreError(
                    "another compaction runs in this store", values=str(folder), remedy="wait until it has ended"
                )
            return _compact(root, folder, step, _ANY_BYTES if everything else least_bytes, most_bytes)
    except OSError as error:
        raise StoreError(
            "records cannot be compacted",
            values=f"{folder}: {error.strerror or error}",
            remedy="nothing is lost: the files stay; free the path and repeat it",
        ) from error


def _compact(root: Path, folder: Path, step: Step, least_bytes: int, most_bytes: int) -> Compaction:
    files = single_files(root)
    kept, small = _split(folder, compacted.read_manifest(folder), least_bytes)
    remove_strays(folder, (*kept, *small))
    copies, left = _copies([compacted.opened(folder / entry.file) for entry in (*kept, *small)], files)
    twice = {*copies, *(path for path, _ in left)}
    keys, moved, unreadable = _keys(files, twice, step)
    left += unreadable
    if not moved and (not small or (len(small) == 1 and least_bytes < _ANY_BYTES)):
        _remove(copies)
        return Compaction(moved=0, copies=len(copies), rewritten=0, parts=(), left=tuple(left))

    sources: list[Path | Part] = [*moved, *(compacted.opened(folder / entry.file) for entry in small)]
    keys += [_keys_of_part(part, number) for number, part in enumerate(sources) if isinstance(part, Part)]
    written = tuple(_written(folder, sources, _in_order(keys), step, most_bytes))
    swap_manifest(folder, (*kept, *written))
    _remove([*moved, *copies])
    replaced = {entry.file for entry in small} - {entry.file for entry in written}
    _remove([folder / name for name in sorted(replaced)])
    return Compaction(
        moved=len(moved),
        copies=len(copies),
        rewritten=sum(entry.rows for entry in small),
        parts=written,
        left=tuple(left),
    )


def _split(
    folder: Path, entries: Sequence[PartEntry], least_bytes: int
) -> tuple[tuple[PartEntry, ...], tuple[PartEntry, ...]]:
    """Parts that stay, and those that are written anew; raises StoreError where one is damaged."""
    for entry in entries:
        try:
            compacted.opened(folder / entry.file)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"the part {folder / entry.file} cannot be read",
                values=str(error).splitlines()[0],
                remedy="'benchbox store check --set-aside' saves what can be read of it",
            ) from error
    small = tuple(entry for entry in entries if entry.size_bytes < least_bytes)
    return tuple(entry for entry in entries if entry not in small), small


def remove_strays(folder: Path, entries: Sequence[PartEntry]) -> None:
    """Removes what killed compactions left: drafts, and parts that the manifest does not name."""
    named = {entry.file for entry in entries}
    for path in folder.glob("part-*.parquet"):
        if path.name not in named:
            path.unlink(missing_ok=True)
    for path in (*folder.glob(".part-*"), *folder.glob(f".{compacted.MANIFEST}.*")):
        path.unlink(missing_ok=True)


def _copies(parts: Sequence[Part], files: Sequence[Path]) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Of files whose ids are in parts: those that hold the same bytes, and the others with the reason."""
    same: list[Path] = []
    others: list[tuple[Path, str]] = []
    names = {path.stem for path in files}
    rows = {name: (part, row) for part in parts for name, row in part.rows_of(names).items()}
    for path in files:
        if path.stem in rows:
            part, row = rows[path.stem]
            if part.cell(row, path.stem, DIGEST) == digest_of(path.read_bytes()):
                same.append(path)
            else:
                others.append((path, f"another record of this id is in {part.path.name}"))
    return same, others


def _keys(
    files: Sequence[Path], twice: set[Path], step: Step
) -> tuple[list[pyarrow.Table], list[Path], list[tuple[Path, str]]]:
    """What files are sorted by, in tables; the files; and those that stay because they cannot be read whole."""
    tables: list[pyarrow.Table] = []
    moved: list[Path] = []
    left: list[tuple[Path, str]] = []
    names: set[str] = set()
    rows: list[dict[str, Any]] = []
    for done, path in enumerate(files):
        step(done, len(files), "reading")
        if path in twice:
            continue
        try:
            if path.stem in names:
                raise StoreError("", values="it is stored twice")
            texts = texts_of(checked_content(path)[0])
        except StoreError as error:
            left.append((path, " ".join((error.values or error.what).split())))
            continue
        names.add(path.stem)
        rows.append({**{key: texts[key] for key in _SORTED_BY}, _SOURCE: len(moved), _ROW: 0})
        moved.append(path)
        if len(rows) >= _KEYS_AT_ONCE:
            tables.append(_key_table(rows))
            rows = []
    return [*tables, *([_key_table(rows)] if rows else [])], moved, left


def _key_table(rows: list[dict[str, Any]]) -> pyarrow.Table:
    import pyarrow as pa

    columns = {key: pa.array([row[key] for row in rows], pa.string()) for key in _SORTED_BY}
    columns["batch"] = pa.array([int(row["batch"]) for row in rows], pa.int64())
    places = {key: pa.array([row[key] for row in rows], pa.int64()) for key in (_SOURCE, _ROW)}
    return pa.table({**columns, **places})


def _keys_of_part(part: Part, number: int) -> pyarrow.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = np.arange(part.groups[-1].stop if part.groups else 0)
    columns = {key: part.column(key).cast(pa.string()) for key in _SORTED_BY}
    columns["batch"] = pc.cast(columns["batch"], pa.int64())
    return pa.table({**columns, _SOURCE: pa.array(np.full(len(rows), number)), _ROW: pa.array(rows)})


def _in_order(keys: list[pyarrow.Table]) -> list[tuple[int, int]]:
    """(source, row) of every record, by environment, case and time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.concat_tables(keys)
    order = pc.sort_indices(table, sort_keys=[(key, "ascending") for key in _SORTED_BY])
    places = table.select([_SOURCE, _ROW]).take(order)
    return list(zip(places[_SOURCE].to_numpy().tolist(), places[_ROW].to_numpy().tolist(), strict=True))


def _written(
    folder: Path, sources: Sequence[Path | Part], order: Sequence[tuple[int, int]], step: Step, most_bytes: int
) -> Iterator[PartEntry]:
    """Writes the records into parts and yields their entries."""
    read = functools.lru_cache(_HELD_GROUPS)(_group_of)
    cursors = [_Cursor(source, read) if isinstance(source, Part) else source for source in sources]
    with contextlib.ExitStack() as stack:
        draft: PartDraft | None = None
        for done, (source, row) in enumerate(order):
            step(done, len(order), "writing")
            if draft is None:
                draft = stack.enter_context(PartDraft(folder))
            draft.add(_row(cursors[source], row))
            if draft.size_bytes >= most_bytes:
                yield draft.finished()
                draft = None
        if draft is not None:
            yield draft.finished()


class _Cursor:
    """A part's records, read mostly in their order."""

    def __init__(self, part: Part, read: Callable[[Part, int], tuple[pyarrow.Array, ...]]) -> None:
        self._part = part
        self._read = read
        self._group, self._rows = -1, range(0)

    def at(self, row: int) -> tuple[bytes, bytes, str]:
        """JSON, file and digest of a record."""
        if row not in self._rows:
            self._group, self._rows = next((at, rows) for at, rows in enumerate(self._part.groups) if row in rows)
        document, content, digest = (
            column[row - self._rows.start].as_py() for column in self._read(self._part, self._group)
        )
        return document, content, digest


def _group_of(part: Part, group: int) -> tuple[pyarrow.Array, ...]:
    return tuple(part.read(group, name) for name in (DOCUMENT, CONTENT, DIGEST))


def _row(source: Path | _Cursor, row: int) -> PartRow:
    if isinstance(source, _Cursor):
        document, content, digest = source.at(row)
        return PartRow(
            texts=texts_of(headline_from_json(document, origin="a part")),
            document=document,
            content=content,
            digest=digest,
        )
    record, document, content = checked_content(source, samples=False)
    return PartRow(texts=texts_of(record), document=document, content=content, digest=digest_of(content))


def swap_manifest(folder: Path, entries: Sequence[PartEntry]) -> None:
    """Makes these parts the ones that count, in one step that outlasts a power cut."""
    ordered = sorted(entries, key=lambda entry: (entry.models, entry.ids, entry.file))
    document = {"schema": compacted.SCHEMA, "parts": [asdict(entry) for entry in ordered]}
    _sync(folder)
    with draft_of(folder / compacted.MANIFEST) as draft:
        draft.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    _sync(folder)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
