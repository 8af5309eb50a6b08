"""Which records does ``--where key=value`` mean?"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

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
_VARIANT = "variant"
_BY_TIME = frozenset({"id", "started_at"})
_MOST_LISTED = 8


# A key, and the patterns of which one must fit its value.
Condition = tuple[str, tuple[str, ...]]


def conditions_from_words(words: Sequence[str]) -> tuple[Condition, ...]:
    """What "key=value" words ask for: keys in order, each once, with the patterns that its value may fit.

    Several values of one key are alternatives ("model=a,b", or "model=a" and "model=b"); keys must all hold. After a
    comma another key may follow ("model=a,b,batch=1").

    Raises:
        UsageError: an unknown key, a word without "=" or without a value.
    """
    found: dict[str, dict[str, None]] = {}
    for word in words:
        for key, patterns in _keyed(word):
            found.setdefault(key, {}).update(dict.fromkeys(patterns))
    return tuple((key, tuple(patterns)) for key, patterns in found.items())


def _keyed(word: str) -> Iterator[Condition]:
    """The conditions in one word."""
    values: dict[str, list[str]] = {}
    key = ""
    for piece in word.split(","):
        name, equals, value = piece.partition("=")
        # What excludes nodes of a network has an equals sign and commas in its value: "variant=exclude=a,b".
        if equals and (name.strip() in _VALUES or key != _VARIANT):
            key = _known_key(name.strip())
            values.setdefault(key, [])
        else:
            value = piece
        if not key:
            raise _not_a_condition(word)
        values[key] += [value.strip()] if value.strip() else []
    for name, patterns in values.items():
        if not patterns:
            raise _not_a_condition(word)
        whole = [",".join(patterns)] if name == _VARIANT and len(patterns) > 1 else []
        yield name, (*patterns, *whole)


def _not_a_condition(word: str) -> UsageError:
    return UsageError(
        "--where takes KEY=VALUE", values=f"got '{word}'", remedy=f"several: KEY=A,B; keys: {', '.join(KEYS)}"
    )


def _known_key(key: str) -> str:
    if key not in _VALUES:
        raise UsageError(
            f"records have no '{key}' to select by", values=suggestion(key, KEYS), remedy=f"keys: {', '.join(KEYS)}"
        )
    return key


def matching(record: Record, conditions: Sequence[Condition]) -> bool:
    """Whether every condition holds; patterns are those of file names (``resnet*``)."""
    return all(predicate(patterns)(_VALUES[key](record)) for key, patterns in conditions)


def predicate(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a text fits one of the patterns."""
    return functools.partial(_fits, patterns)


def _fits(patterns: Sequence[str], text: str) -> bool:
    return any(fnmatch.fnmatchcase(text, pattern) for pattern in patterns)


def escape(text: str) -> str:
    """The pattern that only this text fits."""
    return re.sub(r"([*?[])", r"[\1]", text)


def texts_of(record: Record) -> dict[str, str]:
    """What conditions are held against: the value of every key."""
    return {key: text(record) for key, text in _VALUES.items()}


def values_of(key: str, records: Iterable[Record]) -> tuple[str, ...]:
    """The values of a key in these records, each once, in alphabetical order."""
    return tuple(sorted({_VALUES[key](record) for record in records}))


def none_match(stored: int, words: Sequence[str]) -> str:
    """That nothing fits: "none of 41 records match model=resnet99"."""
    if not stored:
        return "no records; 'benchbox run' makes some"
    return f"none of {stored} record{'s' * (stored != 1)} match{'es' * (stored == 1)} {' '.join(words)}"


def hints_for(words: Sequence[str], records: Sequence[Record], *, found: Sequence[Record] = ()) -> tuple[str, ...]:
    """What may be wrong with conditions: a line for each value that no record has, with what is nearest to it.

    Args:
        words: as ``conditions_from_words`` takes them.
        records: all that are stored.
        found: those that the conditions fit: what fits one of them is right.
    """
    if not records:
        return ()
    lines = []
    conditions = conditions_from_words(words)
    for key, patterns in conditions:
        if key == _VARIANT and any(predicate(patterns)(value) for value in values_of(key, records)):
            continue  # its commas may be part of the value
        unknown = [pattern for pattern in patterns if not _seen(key, pattern, found)]
        known = sorted(values_of(key, records), key=_in_order) if unknown else []
        lines += [
            f"no record has {key}={pattern}: {_nearest(key, pattern, known)}"
            for pattern in unknown
            if not any(map(predicate((pattern,)), known))
        ]
    if not lines and not found and len(conditions) > 1:
        return ("each of these fits some records, but no record fits all of them",)
    return tuple(lines)


def _seen(key: str, pattern: str, records: Sequence[Record]) -> bool:
    fits = predicate((pattern,))
    return any(fits(_VALUES[key](record)) for record in records)


def _in_order(value: str) -> tuple[float, str]:
    """Numbers by their size, before words."""
    try:
        return float(value), value
    except ValueError:
        return math.inf, value


def _nearest(key: str, pattern: str, known: Sequence[str]) -> str:
    """The nearest value that there is, else which ones there are."""
    named = [value for value in known if value]
    if not named:
        return f"none has a value of {key}"
    if near := suggestion(pattern, named):
        return near
    if len(named) <= _MOST_LISTED:
        return f"there {'is' if len(named) == 1 else 'are'} {', '.join(named)}"
    if key in _BY_TIME:
        return f"there are {named[0]} to {named[-1]}"
    return f"there are {', '.join(named[:_MOST_LISTED])} and {len(named) - _MOST_LISTED} more"
