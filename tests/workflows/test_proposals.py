"""The nightly's job that proposes levels: a pull request for new and better ones, another for worse ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from sample_nights import level, nights
from sample_records import trials
from workflow_steps import GH, ROOT, job_of, program, run_job

from benchbox.store.records import append

pytestmark = pytest.mark.skipif(
    shutil.which("jq") is None, reason="the workflow's steps use jq, as GitHub's runners do"
)
REAL = """
import os, sys
os.execv(sys.executable, [sys.executable, "-m", "benchbox", *sys.argv[1:]])
"""
STEP = [*level(20, 1e-3), *level(3, 1.2e-3, 1)]


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    ran = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


class Repository:
    """A repository of levels, and a job that is made anew each night."""

    def __init__(self, home: Path) -> None:
        self.home, self.job = home, home / "job"
        program(home / "bin" / "gh", GH)
        program(home / "bin" / "benchbox", REAL)
        origin = home / "origin"
        origin.mkdir()
        git(origin, "init", "--bare")
        git(home, "clone", str(origin), "first")
        (home / "first" / ".gitignore").write_text("/results/records/\n")
        git(home / "first", "add", ".")
        git(home / "first", "commit", "-m", "first")
        git(home / "first", "push", "origin", "HEAD:main")

    def night(self, count: int) -> None:
        """Runs the job on the first nights."""
        shutil.rmtree(self.job, ignore_errors=True)
        git(self.home, "clone", "--branch", "main", str(self.home / "origin"), "job")
        for entry in nights(STEP[:count], flags=()):
            append(self.job, entry, trials())
        path = f"{self.home / 'bin'}{os.pathsep}{os.environ['PATH']}"
        python = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])])
        status, said = run_job(
            job_of("nightly.yml", "propose"),
            self.job,
            {**os.environ, "PATH": path, "HUB": str(self.home), "PYTHONPATH": python},
        )
        assert status == 0, said

    @property
    def pulls(self) -> dict[str, str]:
        """The texts of the pull requests by their branches."""
        folder = self.home / "pulls"
        return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_new_levels_and_worse_ones_are_proposed_apart(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.night(20)
    (body,) = repository.pulls.values()
    assert list(repository.pulls) == ["benchbox/baseline-better"]
    assert "latency_p50 | new |" in body
    branch = git(tmp_path / "origin", "show", "--stat", "benchbox/baseline-better")
    assert "results/baseline/none/lenet5.json" in branch
    git(tmp_path / "origin", "update-ref", "refs/heads/main", "refs/heads/benchbox/baseline-better")

    for entry in nights(STEP, flags=())[20:]:
        append(repository.job, entry, trials())
    words = ["baseline", "accept", "20260121-none-null-fp32-slower", "--reason", "padding", "--root", "."]
    git(repository.job, "fetch")
    git(repository.job, "switch", "--force-create", "main", "origin/main")
    ran = subprocess.run(
        [str(tmp_path / "bin" / "benchbox"), *words],
        cwd=repository.job,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    git(repository.job, "add", "results/baseline")
    git(repository.job, "commit", "-m", "accepted")
    git(repository.job, "push", "origin", "main")
    repository.night(23)
    assert set(repository.pulls) == {"benchbox/baseline-better", "benchbox/baseline-accepted"}
    assert "latency_p50 | accepted |" in repository.pulls["benchbox/baseline-accepted"]
    changed = git(tmp_path / "origin", "diff", "--stat", "main", "benchbox/baseline-accepted")
    assert "lenet5.json" in changed
    # Nothing of the other kind is in it.
    assert "1 file changed" in changed
