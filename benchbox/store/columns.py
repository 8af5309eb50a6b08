"""Which columns do raw samples have in a record's file?

One column for every stored field of ``Trial``, by its type, and one for every field of the case's identity: numbers,
words and lists of numbers as such, everything else as JSON. A new field of either needs no line here.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, cast, get_args, get_type_hints

from benchbox.schema.identity import CaseIdentity, identity_of
from benchbox.schema.record import Record
from benchbox.schema.trial import Evidence, Trial
from benchbox.store.documents import plain, value_from_plain

if TYPE_CHECKING:
    import pyarrow

_SCALARS: dict[Any, str] = {int: "int64", float: "float64", str: "string", bool: "bool_"}
_NUMBERS = tuple[int, ...]


def columns_of_samples() -> list[tuple[str, pyarrow.DataType]]:
    """Names and types of the columns."""
    import pyarrow as pa

    def arrow_type(kind: Any) -> pyarrow.DataType:
        if kind == _NUMBERS:
            return pa.list_(pa.int64())
        return getattr(pa, _SCALARS.get(kind, "string"))()

    fields = [*_fields(CaseIdentity), *_fields(Trial)]
    named = {_column(name): arrow_type(_without_none(kind)) for name, kind in fields}
    return [("record_id", pa.string()), ("status", pa.string()), *named.items()]


def row_from_trial(record: Record, trial: Trial) -> dict[str, Any]:
    """The row of one trial of a record."""
    identity = identity_of(record)
    parts = ((identity, _fields(CaseIdentity)), (trial, _fields(Trial)))
    values = {_column(name): _cell(getattr(part, name), kind) for part, fields in parts for name, kind in fields}
    return {"record_id": record.id, "status": record.status.value, **values}


def trial_from_row(row: Mapping[str, Any], *, evidence: Evidence, origin: str) -> Trial:
    """The trial of a row of this version; what older versions did not store has its default.

    Args:
        row: of a record's file.
        evidence: of the record.
        origin: the file, for the StoreError that damage raises.
    """
    values: dict[str, Any] = {"evidence": evidence}
    for name, kind in _fields(Trial):
        cell = row.get(_column(name))
        if cell is not None:
            values[name] = _value(cell, kind, origin)
    missing = [
        field.name
        for field in dataclasses.fields(Trial)
        if field.name not in values
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"a row lacks {', '.join(missing)}")
    return Trial(**values)


@functools.cache
def _fields(kind: type) -> tuple[tuple[str, Any], ...]:
    """Names and types of a dataclass's stored fields."""
    hints = get_type_hints(kind)
    return tuple(
        (field.name, hints[field.name]) for field in dataclasses.fields(kind) if field.metadata.get("stored", True)
    )


def _column(name: str) -> str:
    return name.rstrip("_")  # ``pass`` is a keyword of Python, not of files


def _without_none(kind: Any) -> Any:
    if isinstance(kind, UnionType):
        (rest,) = (part for part in get_args(kind) if part is not NoneType)
        return rest
    return kind


def _cell(value: Any, kind: Any) -> Any:
    kind = _without_none(kind)
    if value is None or kind in _SCALARS:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        value = {key: number for key, number in plain(value).items() if number is not None}  # NaN: not measured
    return list(value) if kind == _NUMBERS else json.dumps(plain(value), allow_nan=False)


def _value(cell: Any, kind: Any, origin: str) -> Any:
    kind = _without_none(kind)
    if kind in _SCALARS:
        return cell
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(cell)
    if kind == _NUMBERS:
        return tuple(cell)
    return cast(Any, value_from_plain(kind, json.loads(cell), origin=origin))
