"""Which objects of a kind exist, by name?

A registry is filled by importing every module of one package, on first use: adding a network,
a backend, a metric or a cost rule is adding a file. Duplicates raise; unknown names are answered
with the nearest known ones.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from benchbox.errors import UsageError

T = TypeVar("T")


def suggestion(unknown: str, known: Iterable[str]) -> str:
    """The sentence that helps after a misspelt name: "did you mean 'resnet50'?", or "".

    Args:
        unknown: what was asked for.
        known: every name that exists.
    """
    import difflib

    near = difflib.get_close_matches(unknown.lower(), list(known), n=3, cutoff=0.6)
    if not near:
        return ""
    return "did you mean " + " or ".join(f"'{name}'" for name in near) + "?"


def require_known(kind: str, name: str, known: Iterable[str], *, remedy: str = "") -> str:
    """The name if it is known; else a UsageError with the nearest known ones.

    Args:
        kind: the word for what is named ("model", "precision").
        name: what was asked for.
        known: every name that exists.
        remedy: the last part of the message; by default the list of known names.
    """
    names = list(known)
    if name not in names:
        raise UsageError(
            f"unknown {kind} '{name}'",
            values=suggestion(name, names),
            remedy=remedy or f"known: {', '.join(names)}",
        )
    return name


class Registry(Generic[T]):
    """Objects of one kind by name, registered by the modules of one package.

    Args:
        kind: the word for one entry in messages ("model", "backend").
        package: dotted name of the package whose modules register entries when imported.
    """

    def __init__(self, kind: str, package: str) -> None:
        self._kind = kind
        self._package = package
        self._entries: dict[str, T] = {}
        self._scanned = False

    def register(self, name: str, entry: T) -> T:
        """Adds an entry under a name and returns it; a second entry of that name is a bug and raises ValueError."""
        if name in self._entries:
            raise ValueError(f"{self._kind} '{name}' is registered twice")
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> T:
        """The entry of that name; an unknown name raises UsageError with the nearest known names."""
        self._scan()
        require_known(self._kind, name, self._entries)
        return self._entries[name]

    def names(self) -> tuple[str, ...]:
        """Every registered name, in the order of registration (files by name, entries as written)."""
        self._scan()
        return tuple(self._entries)

    def __contains__(self, name: object) -> bool:
        self._scan()
        return name in self._entries

    def __iter__(self) -> Iterator[T]:
        self._scan()
        return iter(self._entries.values())

    def _scan(self) -> None:
        if self._scanned:
            return
        self._scanned = True
        import pkgutil

        package = importlib.import_module(self._package)
        for found in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{found.name}")
