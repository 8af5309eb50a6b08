"""Which records does ``--where key=value`` mean?"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence

from benchbox.errors import UsageError
from benchbox.registry import suggestion
from benchbox.schema.record import Record

_VALUES: Mapping[str, Callable[[Record], str]] = {
    "model": lambda record: record.key.model,
    "backend": lambda record: record.key.backend,
    "precision": lambda record: record.key.precision.value,
    "batch": lambda record: str(record.key.batch),
    "mode": lambda record: record.key.mode.value,
    "device": lambda record: record.key.device,
    "status": lambda record: record.status.value,
    "env": lambda record: record.environment.hash,
    "id": lambda record: record.id,
}


def conditions_from_words(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(key, pattern) pairs from "key=value" words; an unknown key or a word without "=" raises UsageError."""
    pairs = []
    for word in words:
        key, equals, pattern = word.partition("=")
        if not equals or not pattern:
            raise UsageError("--where takes KEY=VALUE", values=f"got '{word}'", remedy=f"keys: {', '.join(_VALUES)}")
        if key not in _VALUES:
            raise UsageError(
                f"records have no '{key}'", values=suggestion(key, _VALUES), remedy=f"keys: {', '.join(_VALUES)}"
            )
        pairs.append((key, pattern))
    return tuple(pairs)


def matching(record: Record, conditions: Sequence[tuple[str, str]]) -> bool:
    """Whether every condition holds; patterns are those of file names (``resnet*``)."""
    return all(fnmatch.fnmatchcase(_VALUES[key](record), pattern) for key, pattern in conditions)
