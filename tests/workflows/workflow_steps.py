"""What do the ``run`` steps of a workflow's job do? They are taken out of the YAML and run here, as they stand.

In bash, with the options of GitHub's runner; those that install are left out, and what else a step uses is the
caller's. A step's ``env`` counts where it is plain text; expressions of GitHub's are the caller's too.
"""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"


def job_of(workflow: str, job: str) -> dict[str, Any]:
    """A job of a workflow's file."""
    found: dict[str, Any] = yaml.safe_load((WORKFLOWS / workflow).read_text())["jobs"][job]
    return found


def run_job(
    job: Mapping[str, Any],
    folder: Path,
    environment: Mapping[str, str],
    action: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> tuple[int, str]:
    """Runs a job's steps in a folder; returns the first exit status that is not 0, and all that was printed.

    Args:
        job: of a workflow.
        folder: in which its steps run.
        environment: of the steps.
        action: does what a step with ``uses`` does.
    """
    status, said = 0, ""
    for step in job["steps"]:
        if status and not str(step.get("if", "")).startswith("always()"):
            continue
        if "uses" in step:
            action(step)
        elif step["name"] != "Install":
            plain = {name: value for name, value in step.get("env", {}).items() if "${{" not in str(value)}
            ran = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=folder,
                env={**environment, **plain},
                capture_output=True,
                text=True,
                check=False,
            )
            status = status or ran.returncode
            said += ran.stdout + ran.stderr
    return status, said


def program(path: Path, text: str) -> Path:
    """Writes a Python program that can be run by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def comments_of(home: Path) -> list[str]:
    """The comments that the stand-in for ``gh`` keeps of a pull request."""
    path = home / "comments.json"
    return [entry["body"] for entry in json.loads(path.read_text())] if path.exists() else []


# What of GitHub's program the workflows use: pull requests, their comments, runs and their artifacts, in a folder $HUB.
GH = """
import json, os, shutil, subprocess, sys
from pathlib import Path

words, hub = sys.argv[1:], Path(os.environ["HUB"])
path = hub / "comments.json"
comments = json.loads(path.read_text()) if path.exists() else []


def after(flag):
    return words[words.index(flag) + 1]


def filtered(document):
    sys.stdout.write(subprocess.run(["jq", "-r", after("--jq")], input=json.dumps(document), text=True,
                                    capture_output=True, check=True).stdout)


if words[:2] == ["run", "list"]:
    assert after("--workflow") == "nightly.yml", words
    filtered([{"databaseId": 7}])
elif words[:2] == ["run", "download"]:
    assert words[2] == "7", words
    for found in (hub / "artifacts").glob(after("--pattern")):
        shutil.copytree(found, Path(after("--dir")) / found.name)
elif words[0] == "api" and "--method" in words:
    assert after("--method") == "PATCH", words
    place = next(word for word in words if word.startswith("repos/"))
    (changed,) = [entry for entry in comments if place.endswith(f"/issues/comments/{entry['id']}")]
    name, _, file = after("--field").partition("=@")
    changed[name] = Path(file).read_text()
    path.write_text(json.dumps(comments))
elif words[0] == "api":
    assert words[-3].endswith("/comments"), words
    filtered(comments)
elif words[:2] == ["auth", "setup-git"]:
    pass
elif words[:2] == ["pr", "view"]:
    if not (hub / "pulls" / words[2]).exists():
        sys.exit("no pull requests found")
    filtered({"state": "OPEN"})
elif words[:2] == ["pr", "create"]:
    place = hub / "pulls" / after("--head")
    place.parent.mkdir(parents=True, exist_ok=True)
    assert not place.exists(), words
    place.write_text(Path(after("--body-file")).read_text())
elif words[:2] == ["pr", "comment"]:
    comments.append({"id": 100 + len(comments), "body": Path(after("--body-file")).read_text()})
    path.write_text(json.dumps(comments))
else:
    sys.exit(f"gh {words}")
"""
