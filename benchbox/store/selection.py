"""Which records does ``--where key=value`` mean?"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from benchbox.errors import UsageError
from benchbox.registry import suggestion
from benchbox.schema.identity import CaseIdentity, identity_of, sweep_id_of
from benchbox.schema.record import Record


def _text_of_case(name: str, record: Record) -> str:
    """A field of a case as a condition names it: numbers without needless zeros, "" for what the case does not have."""
    value = getattr(identity_of(record), name)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


_VALUES: Mapping[str, Callable[[Record], str]] = {
    **{field.name: functools.partial(_text_of_case, field.name) for field in dataclasses.fields(CaseIdentity)},
    "status": lambda record: record.status.value,
    "env": lambda record: record.environment.hash,
    "id": lambda record: record.id,
    "started_at": lambda record: record.started_at,
    "sweep": sweep_id_of,
}
KEYS = tuple(_VALUES)


def conditions_from_words(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(key, pattern) pairs from "key=value" words; an unknown key or a word without "=" raises UsageError."""
    pairs = []
    for word in words:
        key, equals, pattern = word.partition("=")
        if not equals or not pattern:
            raise UsageError("--where takes KEY=VALUE", values=f"got '{word}'", remedy=f"keys: {', '.join(KEYS)}")
        if key not in _VALUES:
            raise UsageError(
                f"records have no '{key}' to select by", values=suggestion(key, KEYS), remedy=f"keys: {', '.join(KEYS)}"
            )
        pairs.append((key, pattern))
    return tuple(pairs)


def matching(record: Record, conditions: Sequence[tuple[str, str]]) -> bool:
    """Whether every condition holds; patterns are those of file names (``resnet*``)."""
    return all(predicate(pattern)(_VALUES[key](record)) for key, pattern in conditions)


def predicate(pattern: str) -> Callable[[str], bool]:
    """Whether a text fits a pattern."""
    return functools.partial(_fits, pattern)


def _fits(pattern: str, text: str) -> bool:
    return fnmatch.fnmatchcase(text, pattern)


def escape(text: str) -> str:
    """The pattern that only this text fits."""
    return re.sub(r"([*?[])", r"[\1]", text)


def texts_of(record: Record) -> dict[str, str]:
    """What conditions are held against: the value of every key."""
    return {key: text(record) for key, text in _VALUES.items()}


def values_of(key: str, records: Iterable[Record]) -> tuple[str, ...]:
    """The values of a key in these records, each once, in alphabetical order."""
    return tuple(sorted({_VALUES[key](record) for record in records}))


def require_some(found: int, stored: int, words: Sequence[str]) -> None:
    """Raises UsageError where conditions fit none of the stored records."""
    if not found:
        raise UsageError(none_match(stored, words), remedy="'benchbox report' lists what is stored")


def none_match(stored: int, words: Sequence[str]) -> str:
    """That nothing fits: "none of 41 records match model=resnet99"."""
    if not stored:
        return "no records; 'benchbox run' makes some"
    return f"none of {stored} record{'s' * (stored != 1)} match{'es' * (stored == 1)} {' '.join(words)}"
