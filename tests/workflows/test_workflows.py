"""The workflows are valid, and the nightly's steps do what they are for: three nights, the third slower."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from three_nights import Nights
from workflow_steps import ROOT, program
from workflow_steps import WORKFLOWS as FOLDER

NIGHTLY, WORKFLOWS = FOLDER / "nightly.yml", sorted(FOLDER.glob("*.yml"))
TESTS = Path(__file__).parents[1]
BIN = Path(sys.executable).parent

# Stored numbers instead of measured ones, WAIT times slower; what measures otherwise is left out.
STAND_IN = f"""
import os, shutil, subprocess, sys
words = sys.argv[1:]
if words[0] == "doctor":
    sys.exit(0)
page = "../report.html"  # drawn in the first night only: it takes long
if words[0] == "report" and os.path.exists(page):
    shutil.copy(page, words[words.index("--output") + 1])
    sys.exit(0)
if words[0] == "report":
    words = [*words[:-1], page]
    subprocess.run([sys.executable, "-m", "benchbox", *words], check=True)
    shutil.copy(page, "report.html")
    sys.exit(0)
if words[0] == "run":
    sys.path[:0] = [{str(TESTS / "store")!r}, {str(TESTS / "workflows")!r}]
    from stand_in import measured
    measured(words[1:], 1 + float(os.environ.get("WAIT", "0")))
    sys.exit(0)
words = [word for word in words if word not in {{"--selftest", "--confirm"}}]
os.execv(sys.executable, [sys.executable, "-m", "benchbox", *words])
"""
REAL = """
import os, sys
words = [word for word in sys.argv[1:] if word != "--selftest"]
os.execv(sys.executable, [sys.executable, "-m", "benchbox", *words])
"""


def test_they_follow_the_schema_of_workflows() -> None:
    ran = subprocess.run(
        [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_zizmor_finds_nothing() -> None:
    zizmor = shutil.which("zizmor", path=str(BIN))
    if zizmor is None:
        pytest.skip("runs where zizmor is installed: its wheels are for some platforms only")
    ran = subprocess.run(
        [zizmor, "--offline", "--no-progress", "--min-severity", "medium", str(NIGHTLY.parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout


def test_the_verdict_comes_last_and_never_costs_the_data() -> None:
    jobs = yaml.safe_load(NIGHTLY.read_text())["jobs"]
    assert jobs["judge"]["needs"] == "measure"
    measuring = [step.get("run", "") for step in jobs["measure"]["steps"]]
    assert all("--no-exit" in run for run in measuring if "benchbox gate" in run)
    assert jobs["measure"]["steps"][-1]["if"] == "always()"
    assert "concurrency" in jobs["measure"]
    # Levels that are proposed before would be what tonight is judged by: nothing would be new, and no drift seen.
    judging = [step.get("run", "") for step in jobs["judge"]["steps"]]
    (gate,) = [place for place, run in enumerate(judging) if "benchbox gate" in run]
    assert [place > gate for place, run in enumerate(judging) if "baseline propose" in run] == [True]


# What "python -m venv" and "pip install" are asked for, checked as far as that goes without installing anything.
PIP = """
import os, re, sys, tomllib
from pathlib import Path

words = sys.argv[1:]
if words[:2] == ["-m", "venv"]:
    place = Path(words[2], "bin", "python")
    place.parent.mkdir(parents=True)
    place.symlink_to(Path(sys.argv[0]).resolve())
    sys.exit(0)
assert words[:3] == ["-m", "pip", "install"], words
assert Path(words[words.index("--constraint") + 1]).is_file(), words
name, extras = re.fullmatch(r"(.*?)(?:\\[(.*)\\])?", words[-1]).groups()
if not name.startswith("torch=="):
    known = tomllib.loads(Path(name, "pyproject.toml").read_text())["project"]
    asked = set(filter(None, (extras or "").split(",")))
    assert known["name"] == "benchbox" and asked <= set(known["optional-dependencies"])
print("installed", words[-1])
"""


@pytest.mark.parametrize("source", [".", "./.benchbox"], ids=["a checkout of benchbox", "a repository of its own"])
@pytest.mark.parametrize("runtime", ["cpu", "gpu"])
def test_benchbox_is_installed_from_where_it_was_checked_out(source: str, runtime: str, tmp_path: Path) -> None:
    """In a repository of one's own there is no constraints.txt, and its own package is not benchbox."""
    for name in ("python", "python3"):
        program(tmp_path / "bin" / name, PIP)
    jobs = [
        job
        for name in ("nightly.yml", "heartbeat.yml")
        for job in yaml.safe_load((FOLDER / name).read_text())["jobs"].values()
    ]
    for number, job in enumerate(jobs):
        folder = tmp_path / str(number)
        (folder / source).mkdir(parents=True)
        for name in ("constraints.txt", "pyproject.toml"):
            shutil.copyfile(ROOT / name, folder / source / name)
        checkouts = [step["with"] for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert [one.get("path") for one in checkouts] == [None, ".benchbox"]
        (step,) = [step for step in job["steps"] if step.get("name") == "Install"]
        assert step["env"]["SOURCE"] == "${{ vars.BENCHBOX_REPOSITORY && './.benchbox' || '.' }}"
        path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        ran = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=folder,
            env={**os.environ, "PATH": path, "SOURCE": source, "RUNTIME": runtime, "GITHUB_PATH": str(folder / "path")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        cpu_build = "installed torch==2.13.0+cpu" in ran.stdout
        assert cpu_build is ("RUNTIME" in step["env"] and runtime == "cpu"), ran.stdout


def three(nights: Nights, *, quiet: int = 2) -> dict[str, Any]:
    """So many green nights, a red one, and green again once a person has said yes."""
    first = nights.night()
    assert first[0] == 0, first[1]
    assert (nights.home / "artifacts" / "judgement" / "proposed.md").read_text().startswith("## Levels of the night")
    page = (nights.home / "artifacts" / "report.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    nights.merge()
    for _ in range(quiet - 1):
        again = nights.night()
        assert again[0] == 0, again[1]
    third = nights.night(WAIT="1.0")
    assert third[0] == 1, third[1]
    # Two nights are too few for a level of nights: it is the level in git that it drifted from.
    assert re.search("::error title=(drifted|slower)%3A ", third[1])
    (group,) = re.findall(r"benchbox baseline accept (\S+)", third[1])
    summary = (nights.home / "summary.md").read_text()
    assert summary.startswith("**night of ")
    accepted = nights.command("baseline", "accept", group, "--reason", "a wait was injected")
    assert accepted.returncode == 0, accepted.stderr
    judged = nights.command("gate", "--night", "today", "--json")
    document = json.loads(judged.stdout)
    assert (judged.returncode, document["exit"]) == (0, 0), judged.stdout
    assert document["acknowledged"][0]["group"] == group
    return {"first": first[1], "third": third[1], "summary": summary}


def test_nights_of_stored_numbers(tmp_path: Path) -> None:
    """Without the second quiet one, which costs as much again."""
    said = three(Nights(tmp_path, STAND_IN, "lenet5 vgg16"), quiet=1)
    assert "2 cases" in said["third"]


@pytest.mark.nightly
@pytest.mark.slow
def test_three_nights_really_measured(exports: Any, tmp_path: Path) -> None:
    runner = tmp_path / "nights" / "runner"
    nights = Nights(tmp_path / "nights", REAL, "lenet5 squeezenet1_1 --quick --threads 1 --backend onnxruntime")
    for name in ("lenet5", "squeezenet1_1"):
        exports.copy_to(runner, name)
    site = str(TESTS / "workflows" / "site")
    nights.environment["PYTHONPATH"] = f"{site}:{ROOT}"
    said = three(nights)
    (tmp_path / "third.txt").write_text(said["third"])
    print(said["third"])
