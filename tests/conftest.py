"""What every test may lean on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Ran:
    """One command's exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document it must be."""
        return json.loads(self.out)


@pytest.fixture
def benchbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a command line in this process under an empty project root."""
    from benchbox.cli import exit_status

    monkeypatch.setenv("BENCHBOX_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        status = exit_status(arguments)
        out, err = capfd.readouterr()
        return Ran(status, out, err)

    return run


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Flags that make a run as short as it can be and still be one."""
    return ("--quick", "--trials", "2", "--max-time", "0.05", "--threads", "1")
