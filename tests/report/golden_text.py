"""How texts are held against those that are kept, letter by letter."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

WIDTH = 100
FOLDER = Path(__file__).with_name("golden_tables")
TABLE = re.compile(r"^.*\n─[─ ]+\n(?:.+\n)*", flags=re.MULTILINE)


def on_a_narrow_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of a hundred columns, wherever somebody asks."""
    for place in ("report.screen", "report.views.doctor", "report.views.history", "fleet.text"):
        monkeypatch.setattr(f"benchbox.{place}.screen_width", lambda: WIDTH)


def require_golden(name: str, text: str, *, width: int | None = WIDTH) -> None:
    """The text is the kept one, and no line is wider than the screen; BENCHBOX_GOLDEN=write keeps it."""
    kept = FOLDER / f"{name}.txt"
    text = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    if os.environ.get("BENCHBOX_GOLDEN") == "write":
        kept.write_text(text, encoding="utf-8")
    assert width is None or max(map(len, text.splitlines())) <= width, max(text.splitlines(), key=len)
    assert text == kept.read_text(encoding="utf-8")
