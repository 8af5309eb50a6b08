"""Help fits the terminal, and uses its width."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
SPEC = importlib.util.spec_from_file_location("write_cli", DOCS / "write_cli.py")
assert SPEC is not None
assert SPEC.loader is not None
write_cli = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(write_cli)


def test_the_help_of_every_command_fits_100_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples are lines that nothing folds; click leaves two columns free."""
    monkeypatch.setattr(write_cli, "WIDTH", 98)
    wide = [line for name in ["", *write_cli.command_names()] for line in write_cli.help_text(name).splitlines()]
    assert [line for line in wide if len(line) > 98] == []


@pytest.mark.parametrize(("columns", "longest"), [(80, 78), (100, 98), (200, 108)])
def test_help_is_as_wide_as_the_terminal(
    columns: int, longest: int, benchbox: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for command in ((), ("report",)):
        lines = benchbox(*command, "--help").out.splitlines()
        assert longest - 12 < max(map(len, lines)) <= longest
