"""``benchbox gate --bisect`` and ``--against DIR``: a slow commit is found in a repository of sixteen."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_nights import level, nights
from sample_records import trials

from benchbox.schema.record import Status
from benchbox.schema.trial import Trial
from benchbox.store.records import append


def runs(value: float, seed: int) -> tuple[Trial, ...]:
    timed, _ = trials()
    factors = np.exp(0.003 * np.random.default_rng(seed).standard_normal(8))
    return tuple(
        dataclasses.replace(timed, number=place, samples_ns=(round(1e9 * value * factor),) * 3)
        for place, factor in enumerate(factors)
    )


def measured(root: Path, value: float, seed: int, **fields: Any) -> None:
    (entry,) = nights([value], flags=())
    second = f"{seed % 60:02d}"
    entry = dataclasses.replace(
        entry, id=f"20260101T0217{second}Z-{seed:08d}", started_at=f"2026-01-01T02:17:{second}+00:00", **fields
    )
    append(root, entry, runs(value, seed))


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    ran = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize("bad", [11, pytest.param(2, marks=pytest.mark.nightly)])
def test_git_bisect_finds_the_slow_commit(bad: int, tmp_path: Path) -> None:
    """Sixteen commits of a program that is stood in for by the record of its measurement; one cannot be built."""
    toy, root, good = (tmp_path / name for name in ("toy", "root", "good"))
    toy.mkdir()
    root.mkdir()
    git(toy, "init")
    broken = 7  # in the middle: git looks there first
    for number in range(16):
        value = 1e-3 * (1 + 0.002 * (number % 3)) * (1.12 if number >= bad else 1)
        measured(tmp_path / "made" / str(number), value, number)
        (toy / "number").write_text("broken" if number == broken else str(number))
        git(toy, "add", ".")
        git(toy, "commit", "-m", f"commit {number}")
    measured(good, 1e-3, 1)
    step = tmp_path / "step.sh"
    step.write_text(
        f"test $(cat number) != broken || exit 125\n"
        f"rm -rf {root}/results; cp -r {tmp_path}/made/$(cat number)/results {root}/results\n"
        f"{sys.executable} -m benchbox gate --bisect --against {good} --root {root}\n"
    )
    git(toy, "bisect", "start", "HEAD", "HEAD~15")
    said = git(toy, "bisect", "run", "sh", str(step))
    found = git(toy, "log", "-1", "--format=%s", "refs/bisect/bad").strip()
    assert (found, "is the first bad commit" in said) == (f"commit {bad}", True)
    assert "skip" in git(toy, "bisect", "log")


def test_statuses_are_those_that_git_knows(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    good = tmp_path / "good"
    measured(good, 1e-3, 1)
    flags = ("gate", "--bisect", "--against", str(good))
    assert benchbox(*flags).status == 125
    measured(tmp_path, 1.001e-3, 2)
    assert benchbox(*flags).status == 0
    measured(tmp_path, 1.2e-3, 3)
    assert benchbox(*flags).status == 1
    measured(tmp_path, 1e-3, 4, status=Status.FAILED, reason="it crashed", readings=())
    assert benchbox(*flags).status == 125
    assert benchbox("gate", "--bisect", "--against", "nowhere").status == 128
    assert benchbox("gate", "--bisect", "--nonsense").status == 128
    assert benchbox("gate", "--nonsense").status == 2


def test_against_a_folder_of_records_or_levels(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    good = tmp_path / "good"
    measured(good, 1e-3, 1)
    for place, entry in enumerate(nights([*level(8, 1.2e-3)], flags=())):
        append(tmp_path, entry, runs(1.2e-3, place))
    assert benchbox("gate").status == 0
    ran = benchbox("gate", "--against", str(good), "--json")
    (row,) = [row for row in ran.document["verdicts"] if row["metric"] == "latency_p50"]
    assert (ran.status, row["outcome"], row["reference"]) == (1, "slower", "anchor")
    assert row["ratio"] == pytest.approx(1.2, rel=0.02)
    levels = tmp_path / "levels"
    assert benchbox("baseline", "propose", "--root", str(good)).status == 0
    (good / "results" / "baseline").rename(levels)
    assert benchbox("gate", "--against", str(levels)).status == 1
    (tmp_path / "empty").mkdir()
    ran = benchbox("gate", "--against", "empty")
    assert (ran.status, "neither a level nor a record" in ran.err) == (2, True)
