"""How is one file of many records read: which of its rows are meant, and what do they hold?

A row has the values that records are selected by (``--where``), the record's JSON, and the bytes of the file that it
was, with their sha256. Rows are sorted by environment, case and time: a series lies in a row
group or two, and what one machine measured in few.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbox.schema.identity import CASE_FIELDS
from benchbox.schema.record import RECORD_SCHEMA, Status
from benchbox.store.selection import KEYS, Condition, predicate

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

DOCUMENT, CONTENT, DIGEST, SIZE = "document", "content", "digest", "size"
# In a part's metadata: the version of records whose keys its index has.
INDEX_KEY = b"benchbox.index"
_HELD_COLUMNS = 4


def within(patterns: Sequence[str], ends: tuple[str, str]) -> bool:
    """Whether something that fits a pattern can lie between two words, by what stands before its first wildcard."""
    return any(_within(pattern, ends) for pattern in patterns)


def _within(pattern: str, ends: tuple[str, str]) -> bool:
    start = pattern[: next((place for place, letter in enumerate(pattern) if letter in "*?["), len(pattern))]
    if start == pattern:
        return ends[0] <= pattern <= ends[1]
    return ends[0][: len(start)] <= start <= ends[1][: len(start)]


class Part:
    """A file of many records, read a column of a row group at a time."""

    def __init__(self, path: Path) -> None:
        import numpy as np
        import pyarrow.parquet as pq

        self.path = path
        metadata = pq.read_metadata(path)
        few = [key for key in KEYS if key not in {"id", "started_at"} and key in metadata.schema.names]
        self._file = pq.ParquetFile(path, metadata=metadata, read_dictionary=few, page_checksum_verification=True)
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._starts: list[int] = [0, *np.cumsum(sizes).tolist()]
        self._columns = self._file.schema_arrow.names
        self._indexed = (metadata.metadata or {}).get(INDEX_KEY) == RECORD_SCHEMA.encode()
        self._rows: dict[str, int] | None = None

    @property
    def groups(self) -> tuple[range, ...]:
        """The rows of each row group."""
        return tuple(map(range, self._starts, self._starts[1:]))

    def rows_matching(self, conditions: Sequence[Condition]) -> NDArray[np.int64]:
        """Rows that meet the conditions, in order; all where the index is of another version of records."""
        import numpy as np

        known = [entry for entry in conditions if entry[0] in self._columns] if self._indexed else []
        groups = [group for group in range(len(self.groups)) if all(self._may_hold(group, *entry) for entry in known)]
        ranges = [np.arange(self._starts[group], self._starts[group + 1]) for group in groups]
        rows = np.concatenate(ranges) if ranges else np.zeros(0, dtype=np.int64)
        for key, patterns in known:
            codes, values = self._codes(key, rows)
            fits = predicate(patterns)
            rows = rows[np.array([fits(value) for value in values], dtype=bool)[codes]] if len(rows) else rows
        return rows

    def _may_hold(self, group: int, key: str, patterns: Sequence[str]) -> bool:
        ends = self._file.metadata.row_group(group).column(self._columns.index(key)).statistics
        return ends is None or not ends.has_min_max or within(patterns, (_text(ends.min), _text(ends.max)))

    def newest(self, rows: NDArray[np.int64]) -> list[int]:
        """Which of these rows count for their case and environment.

        The newest with numbers, else the newest; and those with numbers of the last sweep that measured the case, whose
        other passes may be elsewhere.
        """
        import numpy as np

        if not self._indexed or not len(rows):
            return list(range(len(rows)))
        case = np.zeros(len(rows), dtype=np.int64)
        for key in [key for key in (*CASE_FIELDS, "env") if key in self._columns]:
            codes, values = self._codes(key, rows)
            if len(values) > 1:
                case = np.unique(case * len(values) + codes, return_inverse=True)[1]
        status, known = self._codes("status", rows)
        measured = np.array([value == Status.OK.value for value in known])[status]
        age = np.lexsort((self._ranks("id", rows), self._ranks("started_at", rows)))
        kept = np.zeros(len(rows), dtype=bool)
        kept[_last_of_each(case, measured, age)] = True
        if "sweep" not in self._columns:  # written before sweeps were in the index
            return np.flatnonzero(kept | measured).tolist()
        sweep, names = self._codes("sweep", rows)
        swept = measured & np.array([bool(name) for name in names])[sweep]
        last = _last_of_each(case, swept, age)
        kept |= swept & (sweep == sweep[last][case])
        return np.flatnonzero(kept).tolist()

    def _codes(self, key: str, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[str]]:
        """A number for each value, and the values by number."""
        import numpy as np
        import pyarrow as pa

        if not len(rows):
            return np.zeros(0, dtype=np.int64), []
        column, places = self._read_for(key, rows)
        if not pa.types.is_dictionary(column.type):
            values, codes = np.unique(np.array(_picked(column.to_pylist(), places)), return_inverse=True)
            return codes.astype(np.int64), values.tolist()
        column = column.unify_dictionaries().combine_chunks()
        # By DLPack: to_numpy() loads pandas.
        codes = np.from_dlpack(column.indices).astype(np.int64)
        return codes if places is None else codes[places], column.dictionary.to_pylist()

    def _ranks(self, key: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """A number for each value, in the order of the values."""
        import numpy as np

        return np.unique(np.array(self.texts(key, rows)), return_inverse=True)[1].astype(np.int64)

    def ends(self, key: str) -> tuple[str, str]:
        """The smallest and the largest value of a column."""
        import pyarrow as pa
        import pyarrow.compute as pc

        both = pc.min_max(self.column(key).cast(pa.string()))
        return both["min"].as_py(), both["max"].as_py()

    def ids(self, rows: NDArray[np.int64]) -> list[str]:
        """The ids of these rows."""
        return self.texts("id", rows) if len(rows) else []

    def texts(self, key: str, rows: NDArray[np.int64]) -> list[str]:
        """The values of a column at these rows, which are in order."""
        column, places = self._read_for(key, rows)
        return _picked(column.to_pylist(), places)

    def column(self, key: str) -> pyarrow.ChunkedArray:
        """A column of all rows."""
        return self._file.read(columns=[key]).column(0)

    def _read_for(self, key: str, rows: NDArray[np.int64]) -> tuple[pyarrow.ChunkedArray, NDArray[np.int64] | None]:
        """A column of the row groups that have these rows, and where the rows are in it, None if they are all of it.

        Nothing here uses Arrow's functions on arrays: loading them takes longer than reading a series.
        """
        import numpy as np

        ends = np.searchsorted(rows, self._starts)
        groups = np.flatnonzero(np.diff(ends)).tolist()
        column = self._file.read_row_groups(groups, columns=[key]).column(0)
        if len(column) == len(rows):
            return column, None
        sizes = np.diff(self._starts)[groups]
        before = np.repeat(np.array(self._starts)[groups] - np.cumsum(sizes) + sizes, np.diff(ends)[groups])
        return column, rows - before

    def rows_of(self, names: Collection[str]) -> dict[str, int]:
        """The rows of the records of these ids, of those that are here."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not names:
            return {}
        ids = self.column("id")
        rows: list[int] = pc.indices_nonzero(pc.is_in(ids, pa.array(sorted(names)))).to_pylist()
        return {ids[row].as_py(): row for row in rows}

    def names(self, prefix: str) -> Iterator[tuple[str, Path]]:
        """The name of each record's file, and its path here."""
        import numpy as np

        rows = np.arange(self._starts[-1])
        columns = [self.texts(key, rows) for key in ("env", "started_at", "id")]
        for row, (env, at, name) in enumerate(zip(*columns, strict=True)):
            file = f"{name}.parquet"
            yield f"{prefix}/env={env}/date={at[:10]}/{file}", self.path / f"{row:08d}" / file

    def row_by_id(self) -> dict[str, int]:
        """All rows by the ids of their records."""
        import numpy as np

        if self._rows is None:
            self._rows = {name: row for row, name in enumerate(self.ids(np.arange(self._starts[-1])))}
        return self._rows

    def cell(self, row: int, name: str, column: str) -> Any:
        """One value of the record of that id in that row."""
        group = bisect.bisect_right(self._starts, row) - 1
        if not 0 <= row < self._starts[-1]:
            raise ValueError(f"{self.path} has {self._starts[-1]} rows, not {row}")
        at = row - self._starts[group]
        stored = _column(self, group, "id")[at].as_py()
        if stored != name:
            raise ValueError(f"row {row} is the record {stored}")
        return _column(self, group, column)[at].as_py()

    def read(self, group: int, column: str) -> pyarrow.Array:
        """A column of a row group, from the file."""
        found = self._file.read_row_group(group, columns=[column], use_threads=False).column(0)
        return found.combine_chunks() if found.num_chunks != 1 else found.chunk(0)


@functools.lru_cache(maxsize=_HELD_COLUMNS)
def _column(part: Part, group: int, column: str) -> pyarrow.Array:
    return part.read(group, column)


def _picked(values: list[str], places: NDArray[np.int64] | None) -> list[str]:
    return values if places is None else [values[place] for place in places.tolist()]


def _last_of_each(
    case: NDArray[np.int64], preferred: NDArray[np.bool_], by_age: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Of each case, in their order, the place of the newest preferred row, else of the newest.

    Args:
        case: of each row, from 0 without gaps.
        preferred: of each row.
        by_age: the places of the rows, oldest first.
    """
    import numpy as np

    order = by_age[np.lexsort((preferred[by_age], case[by_age]))]  # stable: within these by age
    last: NDArray[np.int64] = order[np.append(case[order][1:] != case[order][:-1], True)]
    return last


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
