"""The workflow of pull requests: counts are hard, times need two measurements, one comment, documents are skipped."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from sample_nights import nights
from sample_records import trials
from workflow_steps import GH, ROOT, WORKFLOWS, comments_of, job_of, program, run_job

from benchbox.store.records import append

FILE = "performance.yml"
pytestmark = pytest.mark.skipif(
    shutil.which("jq") is None, reason="the workflow's steps use jq, as GitHub's runners do"
)

# A side's benchbox: "run" takes records that lie ready, "run --ab" says what the attempt's file says, the rest is real.
SIDE = """
import os, shutil, sys
from pathlib import Path

words, side = sys.argv[1:], Path(sys.argv[0]).parents[1].name
if words[0] == "run" and "--ab" in words:
    path = Path("attempts")
    count = int(path.read_text()) if path.exists() else 0
    path.write_text(str(count + 1))
    ratios = os.environ["RATIOS"].split()
    ratio = float(ratios[min(count, len(ratios) - 1)])
    outcome = "slower" if ratio > 1.1 else "same"
    print('{"verdicts": [{"metric": "latency_p50", "outcome": "%s", "ratio": %r, "low": %r, "high": %r}]}'
          % (outcome, ratio, ratio - 0.02, ratio + 0.02))
elif words[0] == "run":
    shutil.copytree(Path(os.environ["READY"]) / side, words[words.index("--root") + 1])
else:
    os.execv(sys.executable, [sys.executable, "-m", "benchbox", *words])
"""
PYTHON = """
import os, sys
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
REAL = """
import os, sys
os.execv(sys.executable, [sys.executable, "-m", "benchbox", *sys.argv[1:]])
"""


class PullRequest:
    """A job's folder, made anew for each push; the pull request's comments stay."""

    def __init__(self, home: Path, networks: str, side: str = SIDE) -> None:
        self.home, self.networks, self.side = home, networks, side
        self.accepted = ""
        program(home / "bin" / "gh", GH)

    def stored(self, side: str, *, nodes: int) -> None:
        """What a measurement of that side would store."""
        shutil.rmtree(self.home / "ready" / side, ignore_errors=True)
        (entry,) = nights([1e-3], flags=())
        assert entry.analytic is not None
        now = datetime.datetime.now(datetime.UTC)
        analytic = dataclasses.replace(entry.analytic, onnx_nodes=nodes)
        entry = dataclasses.replace(entry, analytic=analytic, started_at=now.isoformat(timespec="seconds"))
        append(self.home / "ready" / side, entry, trials())

    def push(self, **environment: str) -> tuple[int, str]:
        """Runs the job; returns its exit status and what it printed."""
        folder = self.home / "job"
        shutil.rmtree(folder, ignore_errors=True)
        for side in ("base", "head"):
            (folder / f"{side}-source" / ".github").mkdir(parents=True)
            shutil.copy(ROOT / ".github" / "performance.toml", folder / f"{side}-source" / ".github")
            program(folder / side / "bin" / "benchbox", self.side)
            # Not a link: it would be none of the environment that this Python is of.
            program(folder / side / "bin" / "python", PYTHON)
        if self.accepted:
            path = folder / "head-source" / "results" / "baseline" / "acknowledged.toml"
            path.parent.mkdir(parents=True)
            path.write_text(self.accepted)
        found = {
            **os.environ,
            "PATH": f"{self.home / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HUB": str(self.home),
            "READY": str(self.home / "ready"),
            "NETWORKS": self.networks,
            "NUMBER": "12",
            "GITHUB_REPOSITORY": "someone/something",
            "GITHUB_STEP_SUMMARY": str(self.home / "summary.md"),
            **environment,
        }
        return run_job(job_of(FILE, "compare"), folder, found)


def test_a_count_is_hard_until_the_pull_request_accepts_it(tmp_path: Path) -> None:
    change = PullRequest(tmp_path, "lenet5")
    (tmp_path / "comments.json").write_text(json.dumps([{"id": 1, "body": "of somebody else"}]))
    change.stored("base", nodes=12)
    change.stored("head", nodes=12)
    status, said = change.push(RATIOS="1.0")
    assert status == 0, said
    other, own = comments_of(tmp_path)
    assert (other, "| lenet5 | same | 1 | 0.98 to 1.02 |" in own) == ("of somebody else", True)

    change.stored("head", nodes=14)
    status, said = change.push(RATIOS="1.0")
    assert status == 1, said
    assert re.search(r"::error title=count changed.*onnx_nodes", said)
    other, own = comments_of(tmp_path)
    assert (other, "12 → 14" in own) == ("of somebody else", True)

    # What the comment says to add, with a reason, whatever machine the next job gets.
    (block,) = re.findall(r"```toml\n(.*?)```", own, re.DOTALL)
    change.accepted = block.replace('"..."', '"a pair of Casts, on purpose"')
    status, said = change.push(RATIOS="1.0")
    assert status == 0, said
    assert len(comments_of(tmp_path)) == 2
    assert "a pair of Casts, on purpose" in comments_of(tmp_path)[1]


def test_times_are_red_only_if_a_second_measurement_says_the_same(tmp_path: Path) -> None:
    change = PullRequest(tmp_path, "lenet5 vgg16")
    for side in ("base", "head"):
        change.stored(side, nodes=12)
    # The first network twice, the second once slower and once not.
    status, said = change.push(RATIOS="1.3 1.3 1.3 1.0")
    assert (status, "::error title=slower twice:: lenet5\n" in said) == (1, True), said
    (comment,) = comments_of(tmp_path)
    assert "| lenet5 | slower | 1.3 | 1.28 to 1.32 |" in comment
    assert "| vgg16 | same | 1 |" in comment


@pytest.mark.parametrize(
    ("path", "skipped"),
    [
        ("README.md", True),
        ("docs/nightly.md", True),
        ("docs/page.html", True),
        ("benchbox/notes.md", True),
        ("LICENSE", True),
        ("benchbox/graph/graph.py", False),
        ("pyproject.toml", False),
        ("tests/docs/x.py", False),
    ],
)
def test_changes_of_documents_alone_are_skipped(path: str, skipped: bool) -> None:
    workflow: dict[Any, Any] = yaml.safe_load((WORKFLOWS / FILE).read_text())
    patterns = workflow[True]["pull_request"]["paths-ignore"]  # "on" is a truth value of YAML 1.1
    assert any(re.fullmatch(_expression(pattern), path) for pattern in patterns) is skipped


def _expression(pattern: str) -> str:
    """GitHub's filter patterns: ** is any text, * any but slashes."""
    return "".join(".*" if part == "**" else "[^/]*" if part == "*" else re.escape(part)
                   for part in re.split(r"(\*\*|\*)", pattern))  # fmt: skip


@pytest.mark.nightly
@pytest.mark.slow
def test_equal_sides_really_measured_are_green(exports: Any, tmp_path: Path) -> None:
    change = PullRequest(tmp_path, "lenet5", REAL)
    status, said = change.push(PYTHONPATH=str(ROOT))
    assert status == 0, said
    (comment,) = comments_of(tmp_path)
    assert re.search(r"\| lenet5 \| \w+ \| [\d.]+ \|", comment)
    assert "onnx_nodes" not in comment
