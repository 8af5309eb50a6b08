"""Does every check of this folder belong to a part of ``make test-gpu``?"""

from __future__ import annotations

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
