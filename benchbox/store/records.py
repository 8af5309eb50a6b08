"""Where are records kept, and how are they read again?

One immutable Parquet file per measured case, under ``results/records/env=<hash>/date=<day>/<id>.parquet``: a row per
trial with its raw samples, and the record itself as JSON in the file's metadata, so that reading records reads only the
ends of files. Files are written beside their place and renamed: a reader never sees half of one, and an existing record
is never touched.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import gc
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from benchbox.errors import StoreError, UsageError
from benchbox.schema.record import Record
from benchbox.schema.trial import Trial
from benchbox.store.arrow_arrays import array_of
from benchbox.store.atomic import draft_of
from benchbox.store.columns import columns_of_samples, row_from_trial, trial_from_row
from benchbox.store.documents import document_from_record, headline_from_json, record_from_document
from benchbox.store.migrations import raise_row
from benchbox.store.parts import compacted
from benchbox.store.selection import Condition

if TYPE_CHECKING:
    import pyarrow

T = TypeVar("T")

FOLDER = Path("results") / "records"
METADATA_KEY = b"benchbox.record"
# The key as Thrift writes it, and the header of the field behind it: number 1 further, a string.
_KEY_IN_FOOTER = bytes([len(METADATA_KEY)]) + METADATA_KEY + b"\x18"
_TAIL = 1 << 15
# So many records are kept out of every later search for garbage too: one takes as long as a fifth of reading them.
_MANY = 1000
# A store with this file is for tests: it takes records of the simulated GPU and no others.
SIMULATION_MARK = Path("results") / "SIMULATED"


def new_record_id(moment: datetime.datetime) -> str:
    """A unique name that sorts by time: 20261123T165501Z-9f3a2c1b."""
    return f"{moment.astimezone(datetime.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def check_writable(root: Path) -> None:
    """Raises StoreError unless records can be written under the root: found out before anything is measured."""
    folder = root / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unwritable(folder, error) from error


def append(root: Path, record: Record, trials: Sequence[Trial]) -> Path:
    """Writes one record with its trials and returns the file.

    Raises:
        StoreError: the place cannot be written, a record of this id exists, or the record is of the simulated GPU.
    """
    import pyarrow.parquet as pq

    _require_same_kind(root, record)
    if record.plan.injected_delay:
        raise StoreError(
            "what was slowed down on purpose is not stored",
            values=f"plan.injected_delay {record.plan.injected_delay:g}",
            remedy="only 'benchbox gate --selftest' injects a delay",
        )

    day = record.started_at[:10]
    target = root / FOLDER / f"env={record.environment.hash}" / f"date={day}" / f"{record.id}.parquet"
    if target.exists():
        raise StoreError(
            f"the record {record.id} exists already", values=str(target), remedy="records are never changed"
        )
    table = _table(record, trials)
    try:
        with draft_of(target) as draft:
            pq.write_table(table, draft, compression="zstd")
    except OSError as error:
        raise _unwritable(target, error) from error
    return target


def _require_same_kind(root: Path, record: Record) -> None:
    """Keeps records of the tests' simulated GPU out of the stores of measurements, and measurements out of theirs."""
    if record.evidence is None:
        return  # nothing ran, so there is no number to mistake
    marked = (root / SIMULATION_MARK).exists()
    if record.evidence.simulated and not marked:
        raise StoreError(
            "records of the simulated GPU are not stored",
            values=record.evidence.device,
            remedy="remove the simulation from PYTHONPATH",
        )
    if marked and not record.evidence.simulated:
        raise StoreError(
            "this store is for simulated records only",
            values=f"{root / SIMULATION_MARK} exists",
            remedy="choose another --root",
        )


def record_files(root: Path, conditions: Sequence[Condition] = (), *, newest: bool = False) -> tuple[Path, ...]:
    """The records under a root, oldest first: their files, or their paths in parts (``store/parts/compacted.py``).

    Args:
        root: project root.
        conditions: as of ``--where``: compacted records that do not meet them are left out, files are listed all.
        newest: of compacted records those that count for each case and environment now are enough (``Part.newest``).
    """
    return listed_records(root, conditions, newest=newest).paths


def listed_records(root: Path, conditions: Sequence[Condition] = (), *, newest: bool = False) -> compacted.Selected:
    """As ``record_files``, with the number of records there are: of compacted ones, those that meet the conditions."""
    return _with_compacted(single_files(root), [root / compacted.FOLDER], conditions, newest=newest)


def count_records(root: Path) -> int:
    """How many records there are, whether they can be read or not."""
    return len(single_files(root)) + sum(entry.rows for entry in compacted.read_manifest(root / compacted.FOLDER))


def _with_compacted(
    files: Sequence[Path], folders: Iterable[Path], conditions: Sequence[Condition] = (), *, newest: bool = False
) -> compacted.Selected:
    names = {path.stem for path in files}
    found = [compacted.selected(folder, conditions, without=names, newest=newest) for folder in folders]
    paths = sorted((*files, *(path for one in found for path in one.paths)), key=lambda path: path.name)
    return compacted.Selected(paths=tuple(paths), count=len(files) + sum(one.count for one in found))


def single_files(root: Path) -> tuple[Path, ...]:
    """The records that have a file each, oldest first."""
    return tuple(sorted((root / FOLDER).glob("env=*/date=*/*.parquet"), key=lambda path: path.name))


def files_below(folder: Path) -> tuple[Path, ...]:
    """The records somewhere below a folder, oldest first, those in parts too; or a file, or what a part holds."""
    if folder.is_file():
        return compacted.paths_in(folder) if compacted.is_part(folder) else (folder,)
    files = [path for path in folder.rglob("*.parquet") if not compacted.is_part(path)]
    folders = [path.parent for path in sorted(folder.rglob(f"{compacted.FOLDER.name}/{compacted.MANIFEST}"))]
    if folder.name == compacted.FOLDER.name and (folder / compacted.MANIFEST).is_file():
        folders.append(folder)
    return _with_compacted(files, folders).paths


def records_under(root: Path) -> Iterator[Record]:
    """All records under a root, oldest first; a damaged file raises StoreError that names it."""
    for path in record_files(root):
        yield read_record(path)


def readable_records(
    paths: Iterable[Path], *, warn: Callable[[str], None], read: Callable[[Path], Record] | None = None
) -> list[tuple[Path, Record]]:
    """The records that can be read among these files, each damaged one named in a warning.

    Args:
        paths: record files.
        warn: receives one line per damaged file.
        read: ``read_record``, unless ``read_headline`` is enough.

    Raises:
        StoreError: there are files and none can be read.
    """
    return _readable_parts(((path, functools.partial(read or read_record, path)) for path in paths), warn)


def readable_trials(
    records: Iterable[tuple[Path, Record]], *, warn: Callable[[str], None]
) -> list[tuple[Path, tuple[Record, tuple[Trial, ...]]]]:
    """The same records with their trials; those whose rows are damaged are named and left out. Raises as above."""
    return _readable_parts(((path, functools.partial(_with_trials, path, record)) for path, record in records), warn)


def _with_trials(path: Path, record: Record) -> tuple[Record, tuple[Trial, ...]]:
    return record, trials_from_file(path, record)


def _readable_parts(parts: Iterable[tuple[Path, Callable[[], T]]], warn: Callable[[str], None]) -> list[tuple[Path, T]]:
    listed = list(parts)
    read_so_far: dict[int, T] = {}
    errors: dict[int, StoreError] = {}
    with _no_collections():
        for place in sorted(range(len(listed)), key=lambda place: compacted.order_of(listed[place][0])):
            try:
                read_so_far[place] = listed[place][1]()
            except StoreError as error:
                errors[place] = error
        if len(read_so_far) > _MANY:
            gc.freeze()
    if errors and not read_so_far:
        raise errors[min(errors)]
    for line in _lines_of((listed[place][0], errors[place]) for place in sorted(errors)):
        warn(f"warning: skipped: {line}")
    return [(listed[place][0], read_so_far[place]) for place in sorted(read_so_far)]


def _lines_of(errors: Iterable[tuple[Path, StoreError]]) -> list[str]:
    """A line for each damaged file, and one for all records of a part that are unreadable for one reason."""
    counts: dict[tuple[str, str], int] = {}
    for path, error in errors:
        reason = " ".join(error.values.split())
        what = f"records in {path.parents[1]} cannot be read" if compacted.is_compacted(path) else error.what
        counts[what, reason] = counts.get((what, reason), 0) + 1
    return [
        f"{count} {what}: {reason}" if what.startswith("records in ") else f"{what}: {reason}"
        for (what, reason), count in counts.items()
    ]


def record_files_of(place: str, root: Path) -> tuple[Path, ...]:
    """The records that a user means, oldest first.

    Args:
        place: a record's file, a folder with records somewhere below it, or the beginning of record ids under the root.
        root: project root.

    Raises:
        UsageError: there is no such record.
    """
    path = Path(place)
    if path.is_file() or path.is_dir():
        found = files_below(path)
    else:
        found = tuple(file for file in record_files(root, [("id", (f"{place}*",))]) if file.stem.startswith(place))
    if not found:
        raise UsageError(
            f"there is no record at {place}",
            values=f"a folder without records, {path.resolve()}"
            if path.is_dir()
            else f"neither a file, nor a folder with records, nor the beginning of an id under {root / FOLDER}",
            remedy="'benchbox report' lists what is stored",
        )
    return found


def read_record(path: Path) -> Record:
    """The record in a file.

    Raises:
        StoreError: the file is missing, truncated, not a record, or of a newer version.
    """
    with _readable(path):
        return record_from_document(_document_in(path), origin=str(path))


def read_headline(path: Path) -> Record:
    """The record in a file without its evidence, proof, hops, sampling, builds and inputs: several times as fast.

    Raises:
        StoreError: as ``read_record``.
    """
    try:  # as _readable, which takes as long as the rest of this
        return headline_from_json(_json_in(path), origin=path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _document_in(path: Path) -> dict[str, Any]:
    from pydantic_core import from_json  # twice as fast as json

    document: dict[str, Any] = from_json(_json_in(path))
    return document


def _json_in(path: Path) -> bytes:
    """The record's JSON in a file, by way of the file's end where that is as this package writes it."""
    if compacted.is_compacted(path):
        return compacted.document_of(path)
    if compacted.is_part(path):
        raise ValueError(f"it is a part of many records, and damaged: {compacted.fault_of_part(path)}")
    try:
        value = _value_in_footer(path)
    except FileNotFoundError:
        again = compacted.found_again(path)
        if again is None:
            raise
        return compacted.document_of(again)
    if value is not None:
        return value
    import pyarrow.parquet as pq

    return _json_of(pq.read_schema(path).metadata, path)


def content_of(path: Path) -> bytes:
    """The bytes of a record's file, wherever the record lies by now; raises OSError as the file system does."""
    if compacted.is_compacted(path):
        return compacted.content_of(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        again = compacted.found_again(path)
        if again is None:
            raise
        return compacted.content_of(again)


def size_of(path: Path) -> int:
    """The size of a record's file, wherever the record lies by now; raises OSError as the file system does."""
    if compacted.is_compacted(path):
        return compacted.size_of(path)
    try:
        return path.stat().st_size
    except FileNotFoundError:
        again = compacted.found_again(path)
        if again is None:
            raise
        return compacted.size_of(again)


def checked_content(path: Path, *, samples: bool = True) -> tuple[Record, bytes, bytes]:
    """Headline, JSON and bytes of a record that has a file, if it is whole and in its place.

    Args:
        path: of the file.
        samples: whether its rows are read too.

    Raises:
        StoreError: it is damaged, or lies where it does not belong.
    """
    from pydantic_core import from_json

    with _readable(path):
        content = path.read_bytes()
        document = _json_in(path)
        from_json(document)  # all of it: a headline leaves parts out
        record = headline_from_json(document, origin=str(path))
        if samples:
            _table_in(content)
    if misplaced := place_fault(path, record):
        raise StoreError(f"the record {path} is not where it belongs", values=misplaced)
    return record, document, content


def place_fault(path: Path, record: Record) -> str:
    """Why a record's file does not lie where the record belongs, "" if it does."""
    places = {"id": (path.stem, record.id), "env": (path.parts[-3], f"env={record.environment.hash}")}
    places["date"] = (path.parts[-2], f"date={record.started_at[:10]}")
    wrong = [f"{name} {holds}, stored as {stored}" for name, (stored, holds) in places.items() if stored != holds]
    return f"it lies in the wrong place: {'; '.join(wrong)}" if wrong else ""


def _value_in_footer(path: Path) -> bytes | None:
    """The value behind our key in a Parquet file's footer, None where it is not found there at once.

    The footer is Thrift's compact protocol: a key and its value are two strings, each with its length before it, with
    the header of the second field in between. Opening a file with pyarrow for it takes ten times as long.
    """
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        size = os.lseek(file, 0, os.SEEK_END)
        os.lseek(file, max(0, size - _TAIL), os.SEEK_SET)
        tail = os.read(file, _TAIL)
        length = int.from_bytes(tail[-8:-4], "little")
        if tail[-4:] != b"PAR1" or length + 8 > size:
            return None
        if length + 8 > len(tail):
            os.lseek(file, size - length - 8, os.SEEK_SET)
            tail = os.read(file, length + 8)
    finally:
        os.close(file)
    footer = tail[-8 - length : -8]
    at = footer.find(_KEY_IN_FOOTER)
    if at < 0:
        return None
    at, shift, count = at + len(_KEY_IN_FOOTER), 0, 0
    while at < len(footer):
        count |= (footer[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if footer[at - 1] < 0x80:
            break
    value = footer[at : at + count]
    return value if len(value) == count else None


def read_trials(path: Path) -> list[dict[str, Any]]:
    """The rows of a record's file, with the columns of this version: one dict per trial with its raw samples."""
    with _readable(path):
        table = _table_in(content_of(path))
        schema = json.loads(_json_of(table.schema.metadata, path)).get("schema")
        return [raise_row(row, schema=schema, origin=str(path)) for row in table.to_pylist()]


def process_seconds(path: Path) -> float | None:
    """How long the processes of a record ran together, in seconds; None where none of them got to its end."""
    with _readable(path):
        table = _table_in(content_of(path), columns=["duration_s"])
        found = [value for column in table.columns for value in column.to_pylist() if value is not None]
        return float(sum(found)) if found else None


def trials_from_file(path: Path, record: Record) -> tuple[Trial, ...]:
    """The trials of a measured record's file; the evidence of each is the record's."""
    if record.evidence is None:
        return ()
    with _readable(path):
        rows = read_trials(path)
        return tuple(trial_from_row(row, evidence=record.evidence, origin=str(path)) for row in rows)


def _json_of(metadata: Mapping[bytes, bytes] | None, path: Path) -> bytes:
    """The record's JSON in the metadata of its file."""
    if not metadata or METADATA_KEY not in metadata:
        raise StoreError(f"{path} is not a record of benchbox", values=f"it lacks the metadata {METADATA_KEY.decode()}")
    return metadata[METADATA_KEY]


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what reading a damaged file raises into a StoreError that names it."""
    try:
        yield
    except (OSError, ValueError) as error:  # pyarrow's errors are one or the other
        raise _unreadable(path, error) from error


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """No search for garbage meanwhile: records hold no circles, and thousands would be looked at again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _table_in(content: bytes, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """The table in a file's bytes, or some of its columns, read by this thread alone.

    ``read_table`` would start a thread of Arrow's, whatever it is told. That thread may still hold the bytes when the
    process ends, and then aborts it: to free an object of Python's it needs the lock of an interpreter that is gone
    (https://github.com/apache/arrow/issues/34314).
    """
    import pyarrow
    import pyarrow.parquet as pq

    return pq.ParquetFile(pyarrow.BufferReader(content), pre_buffer=False).read(columns, use_threads=False)


def _unreadable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"the record {path} cannot be read",
        values=str(error).splitlines()[0] if str(error) else type(error).__name__,
        remedy="restore it from a copy, or delete it",
    )


def _table(record: Record, trials: Sequence[Trial]) -> pyarrow.Table:
    import pyarrow as pa

    document = json.dumps(document_from_record(record), allow_nan=False).encode()
    schema = pa.schema(columns_of_samples(), metadata={METADATA_KEY: document})
    rows = [row_from_trial(record, trial) for trial in trials]
    return pa.Table.from_arrays(
        [array_of([row[field.name] for row in rows], field.type) for field in schema], schema=schema
    )


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        "records cannot be written",
        values=f"{path}: {error.strerror or error}",
        remedy="choose another --root, or free the path",
    )
