"""Does every check of this folder belong to a part of ``make test-gpu``?"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def test_every_check_is_in_one_part_that_make_runs(request: pytest.FixtureRequest) -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    (line,) = [line for line in makefile.splitlines() if line.startswith("GPU_PARTS")]
    run = {f"gpu_{part}" for part in line.split("=")[1].split()}
    here = [item for item in request.session.items if Path(__file__).parent in item.path.parents]
    assert here
    for item in here:
        found = [mark.name for mark in item.iter_markers() if mark.name.startswith("gpu_")]
        assert len(found) == 1, item.nodeid
        assert found[0] in run, item.nodeid


def test_collecting_the_suite_needs_few_packages() -> None:
    """A machine with a GPU for minutes has pytest, numpy and torch; checks import what else they need by themselves."""
    folder = Path(__file__).parent
    ours = {"benchbox", *(path.stem for path in folder.glob("*.py")), "layer_contract"}
    known = {*sys.stdlib_module_names, *ours, "pytest", "numpy", "torch"}
    script = folder / "nvbench_products.py"  # of a process of its own, which nvbench is there for
    for path in (
        *folder.glob("*.py"),
        folder.parent / "conftest.py",
        folder.parent / "backends/cuda/layer_contract.py",
    ):
        for node in ast.parse(path.read_text()).body if path != script else ():
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= known, path
