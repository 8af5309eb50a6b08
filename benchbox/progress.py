"""How do long stages report what they do, without knowing who shows it?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Say = Callable[[str], None]
"""Shows one line that stays."""
Step = Callable[[float, float, str], None]
"""Shows that so many steps of so many are finished, and what runs now."""


class Progress(Protocol):
    """What shows the progress of a command."""

    def say(self, text: str) -> None:
        """Shows one line that stays."""
        ...

    def step(self, done: float, total: float, text: str) -> None:
        """Shows that ``done`` of ``total`` steps are finished, and that ``text`` runs now."""
        ...
