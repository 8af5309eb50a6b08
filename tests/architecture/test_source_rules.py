"""What the source of the package must look like, where ruff has no rule for it."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "benchbox"
SOURCES = sorted(PACKAGE.rglob("*.py"))
BANNED_NAMES = {"util", "utils", "helper", "helpers", "common", "misc", "core", "constants", "stuff", "tools"}
MAX_LINES = 500
MAX_FUNCTION_LINES = 60


@functools.cache
def _tree(source: Path) -> ast.Module:
    return ast.parse(source.read_text())


def _functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    for source in SOURCES:
        for node in ast.walk(_tree(source)):
            if isinstance(node, ast.FunctionDef):
                yield source, node


def test_no_file_is_too_long() -> None:
    lengths = {str(source): len(source.read_text().splitlines()) for source in SOURCES}
    assert {source: lines for source, lines in lengths.items() if lines > MAX_LINES} == {}


def test_names_say_what_is_inside() -> None:
    assert [source for source in SOURCES if {source.stem, source.parent.name} & BANNED_NAMES] == []


def test_no_function_is_longer_than_a_screen() -> None:
    long = []
    for source, node in _functions():
        docstring = ast.get_docstring(node, clean=False) or ""
        length = (node.end_lineno or 0) - node.lineno - docstring.count("\n")
        if length > MAX_FUNCTION_LINES:
            long.append(f"{source}: {node.name} has {length} lines")
    assert long == []


def test_nothing_is_left_unfinished() -> None:
    mark = re.compile(r"TODO|FIXME|XXX|NotImplementedError")
    assert [source for source in SOURCES if mark.search(source.read_text())] == []


def test_percentages_are_written_in_one_place() -> None:
    """ "10.4 %" with a space: benchbox/units.py turns ratios into percentages, and nothing else does."""
    by_hand = re.compile(r"%\}|[0-9:][efg]\} ?%")
    found = [
        f"{source}:{number}"
        for source in SOURCES
        if source.name != "units.py"
        for number, line in enumerate(source.read_text().splitlines(), start=1)
        if by_hand.search(line)
    ]
    assert found == []


def test_only_the_command_line_ends_the_process() -> None:
    calls = [
        f"{source}:{node.lineno}"
        for source in SOURCES
        if source != PACKAGE / "cli" / "__init__.py"
        for node in ast.walk(_tree(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"sys.exit", "exit", "quit"}
    ]
    assert calls == []


def test_tracked_text_names_no_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("runs in a git checkout only")
    banned = re.compile(r"/(?:work|root|home/[a-z]+|farm)/[a-z]|files\.python" + "hosted|registry\\.np" + "mjs")
    offenders = []
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".yml", ".txt", ".csv", ".json"} and path.exists():
            offenders += [f"{name}: {line}" for line in path.read_text().splitlines() if banned.search(line)]
    assert offenders == []
