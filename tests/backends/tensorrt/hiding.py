"""A vendor's module with some of its features hidden, as another version or product would have it."""

from __future__ import annotations

import types
from typing import Any


class Hiding:
    """Everything of a module or class except the dotted names that are hidden."""

    def __init__(self, real: Any, *hidden: str) -> None:
        self._real = real
        self._hidden = hidden

    def __getattr__(self, name: str) -> Any:
        if name in self._hidden:
            raise AttributeError(name)
        deeper = tuple(entry.partition(".")[2] for entry in self._hidden if entry.startswith(f"{name}."))
        found = getattr(self._real, name)
        return Hiding(found, *deeper) if deeper else found

    def __call__(self, *arguments: Any) -> Any:
        return self._real(*arguments)


def module_hiding(real: types.ModuleType, *hidden: str) -> Any:
    """The module without these names."""
    return Hiding(real, *hidden)
