"""What the source of the package must look like."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "benchbox"
SOURCES = sorted(PACKAGE.rglob("*.py"))
BANNED_NAMES = {"util", "utils", "helper", "helpers", "common", "misc", "core", "constants", "stuff", "tools"}
MAX_LINES = 400
MAX_FUNCTION_LINES = 60

everywhere = pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


@everywhere
def test_no_file_is_too_long(source: Path) -> None:
    lines = len(source.read_text().splitlines())
    assert lines <= MAX_LINES, f"{lines} lines"


@everywhere
def test_names_say_what_is_inside(source: Path) -> None:
    assert not {source.stem, source.parent.name} & BANNED_NAMES


@everywhere
def test_modules_classes_and_public_functions_are_documented(source: Path) -> None:
    tree = ast.parse(source.read_text())
    assert ast.get_docstring(tree), "the module does not say which question it answers"
    missing = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            if _is_nested(tree, node):
                continue
            if ast.get_docstring(node) is None and not _is_override(node):
                missing.append(f"{node.name} (line {node.lineno})")
    assert not missing


def _is_override(node: ast.ClassDef | ast.FunctionDef) -> bool:
    """What overrides a documented method has its documentation there."""
    return any(isinstance(decorator, ast.Name) and decorator.id == "override" for decorator in node.decorator_list)


def _is_nested(tree: ast.Module, wanted: ast.ClassDef | ast.FunctionDef) -> bool:
    """Functions inside functions, members of private classes and nn.Module.forward are not public."""
    for outer in ast.walk(tree):
        if isinstance(outer, ast.FunctionDef) and outer is not wanted and wanted in ast.walk(outer):
            return True
        if isinstance(outer, ast.ClassDef) and wanted in outer.body:
            return outer.name.startswith("_") or wanted.name == "forward"
    return False


@everywhere
def test_no_function_is_longer_than_a_screen(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.FunctionDef):
            docstring = ast.get_docstring(node, clean=False) or ""
            length = (node.end_lineno or 0) - node.lineno - docstring.count("\n")
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


@everywhere
def test_nothing_is_left_unfinished(source: Path) -> None:
    found = re.findall(r"TODO|FIXME|XXX|NotImplementedError|print\(\"debug", source.read_text())
    assert not found


@everywhere
def test_only_the_command_line_ends_the_process(source: Path) -> None:
    if source == PACKAGE / "cli" / "__init__.py":
        return
    calls = [
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"sys.exit", "exit", "quit"}
    ]
    assert not calls


def test_tracked_text_names_no_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    banned = re.compile(r"/(?:work|root|home/[a-z]+|farm)/[a-z]|files\.python" + "hosted|registry\\.np" + "mjs")
    offenders = []
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".yml", ".txt", ".csv", ".json"} and path.exists():
            offenders += [f"{name}: {line}" for line in path.read_text().splitlines() if banned.search(line)]
    assert not offenders
