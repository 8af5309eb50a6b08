"""How is a part of many records written, and made sure of before anything relies on it?"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from benchbox.errors import StoreError
from benchbox.schema.record import RECORD_SCHEMA
from benchbox.store.parts.compacted import PartEntry
from benchbox.store.parts.part import CONTENT, DIGEST, DOCUMENT, INDEX_KEY, SIZE, Part
from benchbox.store.selection import KEYS

if TYPE_CHECKING:
    import pyarrow

GROUP_ROWS = 1024
_GROUP_BYTES = 64 << 20
_HASHED_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class PartRow:
    """A record on its way into a part.

    ``texts`` are the values that it is selected by, ``document`` its JSON, ``content`` the bytes of its file and
    ``digest`` their sha256.
    """

    texts: Mapping[str, str]
    document: bytes
    content: bytes
    digest: str


class PartDraft:
    """A part being written, beside its place; nothing remains of it unless it is finished."""

    def __init__(self, folder: Path) -> None:
        import pyarrow.parquet as pq

        self._folder = folder
        self._path = folder / f".part-{os.getpid()}-{secrets.token_hex(4)}"
        self._rows: list[PartRow] = []
        self._bytes = 0
        self._digests: list[str] = []
        self._writer = pq.ParquetWriter(
            self._path,
            _schema(),
            compression="zstd",
            use_dictionary=[key for key in KEYS if key not in {"id", "started_at"}],
            write_statistics=list(KEYS),
            write_page_checksum=True,
        )

    def __enter__(self) -> PartDraft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        self._path.unlink(missing_ok=True)

    @property
    def size_bytes(self) -> int:
        """What is written so far, without the rows of the last row group."""
        return self._path.stat().st_size

    def add(self, row: PartRow) -> None:
        """Adds a record; those of one case belong after each other."""
        self._rows.append(row)
        self._bytes += len(row.content) + len(row.document)
        if len(self._rows) >= GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        self._writer.write_table(_table(self._rows), row_group_size=len(self._rows))
        self._digests += [row.digest for row in self._rows]
        self._rows, self._bytes = [], 0

    def finished(self) -> PartEntry:
        """Puts the part in its place once its bytes have reached the disk and were read back.

        Raises:
            StoreError: what was read back is not what was written.
        """
        self._flush()
        self._writer.close()
        with self._path.open("rb") as written:
            os.fsync(written.fileno())
        self._verify()
        entry = entry_of(self._path)
        self._path.replace(self._folder / entry.file)
        return entry

    def _verify(self) -> None:
        part = Part(self._path)
        at = 0
        for group in range(len(part.groups)):
            part.read(group, DOCUMENT)
            for content in part.read(group, CONTENT):
                if digest_of(content.as_py()) != self._digests[at]:
                    raise StoreError(
                        "a part was not written as it should be",
                        values=f"row {at} of {self._path} differs",
                        remedy="nothing was replaced; look after the disk and repeat it",
                    )
                at += 1
        if at != len(self._digests):
            raise StoreError("a part was not written as it should be", values=f"{at} of {len(self._digests)} rows")


def entry_of(path: Path) -> PartEntry:
    """What a manifest says of a part, from the file; its name follows from its digest."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_HASHED_AT_ONCE):
            digest.update(piece)
    part = Part(path)
    return PartEntry(
        file=f"part-{digest.hexdigest()[:20]}.parquet",
        sha256=digest.hexdigest(),
        size_bytes=path.stat().st_size,
        rows=part.groups[-1].stop if part.groups else 0,
        models=part.ends("model"),
        ids=part.ends("id"),
        envs=part.ends("env"),
    )


def digest_of(content: bytes) -> str:
    """The sha256 of a record's file."""
    return hashlib.sha256(content).hexdigest()


def _schema() -> pyarrow.Schema:
    import pyarrow as pa

    columns = {key: pa.string() for key in KEYS}
    columns |= {SIZE: pa.int64(), DIGEST: pa.string(), DOCUMENT: pa.binary(), CONTENT: pa.binary()}
    return pa.schema(columns, metadata={INDEX_KEY: RECORD_SCHEMA.encode()})


def _table(rows: list[PartRow]) -> pyarrow.Table:
    import pyarrow as pa

    columns = {key: [row.texts[key] for row in rows] for key in KEYS}
    columns[SIZE] = [len(row.content) for row in rows]  # type: ignore[misc]
    columns[DIGEST] = [row.digest for row in rows]
    columns[DOCUMENT] = [row.document for row in rows]  # type: ignore[misc]
    columns[CONTENT] = [row.content for row in rows]  # type: ignore[misc]
    schema = _schema()
    return pa.table([pa.array(columns[field.name], field.type) for field in schema], schema=schema)
