"""Where are records kept, and how are they read again?

One immutable Parquet file per measured case, under ``results/records/env=<hash>/date=<day>/<id>.parquet``: a row per
trial with its raw samples, and the record itself as JSON in the file's metadata, so that reading records reads only the
ends of files. Files are written beside their place and renamed: a reader never sees half of one, and an existing record
is never touched.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbox.errors import StoreError
from benchbox.schema.record import Record
from benchbox.schema.trial import Pass, Trial
from benchbox.store.atomic import draft_of
from benchbox.store.documents import (
    document_from_energy,
    document_from_loadgen,
    document_from_outputs,
    document_from_record,
    energy_from_document,
    loadgen_from_document,
    outputs_from_document,
    record_from_document,
)

if TYPE_CHECKING:
    import pyarrow

FOLDER = Path("results") / "records"
METADATA_KEY = b"benchbox.record"
# A store that holds this file is one of tests: it takes records of a simulated device and no others.
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
        StoreError: the place cannot be written, a record of this id exists, or a record of a simulated device would
            come among measurements.
    """
    import pyarrow.parquet as pq

    _require_same_kind(root, record)

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
    """Keeps what tests simulate and what was measured apart."""
    if record.evidence is None:
        return  # nothing ran, so there is no number to mistake
    marked = (root / SIMULATION_MARK).exists()
    if record.evidence.simulated and not marked:
        raise StoreError(
            "a simulated device measures nothing: its record is not stored",
            values=f"{record.evidence.device}",
            remedy="remove the simulation from PYTHONPATH",
        )
    if marked and not record.evidence.simulated:
        raise StoreError(
            "this store is for simulated records only",
            values=f"{root / SIMULATION_MARK} exists",
            remedy="choose another --root",
        )


def record_files(root: Path) -> tuple[Path, ...]:
    """The files of all records under a root, oldest first."""
    return tuple(sorted((root / FOLDER).glob("env=*/date=*/*.parquet"), key=lambda path: path.name))


def records_under(root: Path) -> Iterator[Record]:
    """All records under a root, oldest first; a damaged file raises StoreError that names it."""
    for path in record_files(root):
        yield read_record(path)


def record_files_of(place: str, root: Path) -> tuple[Path, ...]:
    """The records that a user means, oldest first.

    Args:
        place: a record's file, a folder with records somewhere below it, or the beginning of record ids under the root.
        root: project root.

    Raises:
        StoreError: there is no such record.
    """
    path = Path(place)
    if path.is_file():
        return (path,)
    if path.is_dir():
        found = tuple(sorted(path.rglob("*.parquet"), key=lambda file: file.name))
    else:
        found = tuple(file for file in record_files(root) if file.stem.startswith(place))
    if not found:
        raise StoreError(
            f"there is no record at {place}",
            values=f"neither a file, nor a folder with records, nor the beginning of an id under {root / FOLDER}",
            remedy="'benchbox report' lists what is stored",
        )
    return found


def read_record(path: Path) -> Record:
    """The record in a file.

    Raises:
        StoreError: the file is missing, truncated, not a record, or of a newer version.
    """
    import pyarrow.parquet as pq

    with _readable(path):
        metadata = pq.read_schema(path).metadata or {}
        if METADATA_KEY not in metadata:
            raise StoreError(
                f"{path} is no record of benchbox", values=f"it lacks the metadata {METADATA_KEY.decode()}"
            )
        document = json.loads(metadata[METADATA_KEY])
    return record_from_document(document, origin=str(path))


def read_trials(path: Path) -> list[dict[str, Any]]:
    """The rows of a record's file: one dict per trial with its raw samples (``warmup_ns``, ``samples_ns``)."""
    import pyarrow.parquet as pq

    with _readable(path):
        rows: list[dict[str, Any]] = pq.read_table(path, partitioning=None).to_pylist()
    return rows


def trials_from_file(path: Path, record: Record) -> tuple[Trial, ...]:
    """The trials of a measured record's file; what they say about their process is the record's evidence."""
    if record.evidence is None:
        return ()
    return tuple(
        Trial(
            number=row["number"],
            pass_=Pass(row["purpose"]),
            started_at=row["started_at"],
            duration_s=row["duration_s"],
            evidence=record.evidence,
            clock=row["clock"],
            warmup_ns=tuple(row["warmup_ns"]),
            samples_ns=tuple(row["samples_ns"]),
            # records from before devices were measured have no such columns
            gpu_ns=tuple(row.get("gpu_ns") or ()),
            enqueue_ns=tuple(row.get("enqueue_ns") or ()),
            h2d_ns=tuple(row.get("h2d_ns") or ()),
            d2h_ns=tuple(row.get("d2h_ns") or ()),
            device_bytes=json.loads(row.get("device_bytes") or "{}"),
            # records from before warm-ups were judged
            settled=row.get("settled") is not False,
            steady_from=row.get("steady_from") or 0,
            floor_ns=row.get("floor_ns") or 0,
            gpu_floor_ns=row.get("gpu_floor_ns") or 0,
            host_bytes=json.loads(row.get("host_bytes") or "{}"),
            load_s=row.get("load_s") or 0.0,
            window_ns=row["window_ns"],
            # records from before a device's own window was kept
            device_window_ns=row.get("device_window_ns") or 0,
            like=row.get("like") or "",
            stopped_by=row["stopped_by"],
            peak_host_bytes=row["peak_host_bytes"],
            counters=json.loads(row["counters"]),
            energy=energy_from_document(json.loads(row["energy"]), origin=str(path)) if row.get("energy") else None,
            outputs=outputs_from_document(json.loads(row["outputs"]), origin=str(path)) if row.get("outputs") else None,
            loadgen=loadgen_from_document(json.loads(row["load"]), origin=str(path)) if row.get("load") else None,
        )
        for row in read_trials(path)
    )


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what reading a damaged file raises into a StoreError that names it."""
    try:
        yield
    except (OSError, ValueError) as error:  # pyarrow's errors are one or the other
        raise StoreError(
            f"the record {path} cannot be read",
            values=str(error).splitlines()[0] if str(error) else type(error).__name__,
            remedy="restore it from a copy, or delete it",
        ) from error


def _table(record: Record, trials: Sequence[Trial]) -> pyarrow.Table:
    import pyarrow as pa

    schema = pa.schema(
        [
            ("record_id", pa.string()),
            ("model", pa.string()),
            ("backend", pa.string()),
            ("precision", pa.string()),
            ("batch", pa.int64()),
            ("mode", pa.string()),
            ("device", pa.string()),
            ("status", pa.string()),
            ("number", pa.int64()),
            ("purpose", pa.string()),
            ("started_at", pa.string()),
            ("duration_s", pa.float64()),
            ("clock", pa.string()),
            ("warmup_ns", pa.list_(pa.int64())),
            ("samples_ns", pa.list_(pa.int64())),
            ("gpu_ns", pa.list_(pa.int64())),
            ("enqueue_ns", pa.list_(pa.int64())),
            ("h2d_ns", pa.list_(pa.int64())),
            ("d2h_ns", pa.list_(pa.int64())),
            ("window_ns", pa.int64()),
            ("device_window_ns", pa.int64()),
            ("like", pa.string()),
            ("stopped_by", pa.string()),
            ("peak_host_bytes", pa.int64()),
            ("device_bytes", pa.string()),
            ("settled", pa.bool_()),
            ("steady_from", pa.int64()),
            ("floor_ns", pa.int64()),
            ("gpu_floor_ns", pa.int64()),
            ("host_bytes", pa.string()),
            ("load_s", pa.float64()),
            ("counters", pa.string()),
            ("energy", pa.string()),
            ("outputs", pa.string()),
            ("load", pa.string()),
        ],
        metadata={METADATA_KEY: json.dumps(document_from_record(record), allow_nan=False).encode()},
    )
    return pa.Table.from_pylist([_row(record, trial) for trial in trials], schema=schema)


def _row(record: Record, trial: Trial) -> dict[str, Any]:
    key = record.key
    return {
        "record_id": record.id,
        "model": key.model,
        "backend": key.backend,
        "precision": key.precision.value,
        "batch": key.batch,
        "mode": key.mode.value,
        "device": key.device,
        "status": record.status.value,
        "number": trial.number,
        "purpose": trial.pass_.value,
        "started_at": trial.started_at,
        "duration_s": trial.duration_s,
        "clock": trial.clock,
        "warmup_ns": list(trial.warmup_ns),
        "samples_ns": list(trial.samples_ns),
        "gpu_ns": list(trial.gpu_ns),
        "enqueue_ns": list(trial.enqueue_ns),
        "h2d_ns": list(trial.h2d_ns),
        "d2h_ns": list(trial.d2h_ns),
        "window_ns": trial.window_ns,
        "device_window_ns": trial.device_window_ns,
        "like": trial.like,
        "stopped_by": trial.stopped_by,
        "peak_host_bytes": trial.peak_host_bytes,
        "device_bytes": json.dumps(dict(trial.device_bytes)),
        "settled": trial.settled,
        "steady_from": trial.steady_from,
        "floor_ns": trial.floor_ns,
        "gpu_floor_ns": trial.gpu_floor_ns,
        "host_bytes": json.dumps(dict(trial.host_bytes)),
        "load_s": trial.load_s,
        "counters": json.dumps(dict(trial.counters)),
        "energy": json.dumps(document_from_energy(trial.energy)) if trial.energy else None,
        "outputs": json.dumps(document_from_outputs(trial.outputs)) if trial.outputs else None,
        "load": json.dumps(document_from_loadgen(trial.loadgen)) if trial.loadgen else None,
    }


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        "records cannot be written",
        values=f"{path}: {error.strerror or error}",
        remedy="choose another --root, or free the path",
    )
