"""The heartbeat: a machine that had numbers and has none today is named, and a nightly that did not run is too."""

from __future__ import annotations

import dataclasses
import datetime
import os
import shutil
from pathlib import Path

import pytest
from sample_nights import nights
from sample_records import ENVIRONMENT, trials
from workflow_steps import GH, ROOT, job_of, program, run_job

from benchbox.store.records import append, new_record_id

pytestmark = pytest.mark.skipif(
    shutil.which("jq") is None, reason="the workflow's steps use jq, as GitHub's runners do"
)
REAL = """
import os, sys
os.execv(sys.executable, [sys.executable, "-m", "benchbox", *sys.argv[1:]])
"""


def publish(hub: Path, machine: str, *days: int) -> None:
    """Records of a machine, so many days ago, as the nightly's artifact."""
    shutil.rmtree(hub / "artifacts" / f"results-{machine}", ignore_errors=True)
    scratch = hub / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    for day in days:
        (entry,) = nights([1e-3], flags=())
        at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=day)
        where = dataclasses.replace(ENVIRONMENT, hash=machine, hardware={"cpu": machine})
        append(
            scratch,
            dataclasses.replace(
                entry, id=new_record_id(at), started_at=at.isoformat(timespec="seconds"), environment=where
            ),
            trials(),
        )
    shutil.copytree(scratch / "results", hub / "artifacts" / f"results-{machine}")


def beat(home: Path) -> tuple[int, str]:
    shutil.rmtree(home / "job", ignore_errors=True)
    (home / "job").mkdir()
    program(home / "bin" / "gh", GH)
    program(home / "bin" / "benchbox", REAL)
    environment = {
        **os.environ,
        "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HUB": str(home),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])]),
    }
    return run_job(job_of("heartbeat.yml", "silent"), home / "job", environment)


def test_a_silent_machine_is_named(tmp_path: Path) -> None:
    publish(tmp_path, "cpu-01", 1, 0)
    publish(tmp_path, "gpu-01", 2, 1)
    status, said = beat(tmp_path)
    assert (status != 0, "::error title=silent::lenet5/null" in said, "gpu-01" in said) == (True, True, True), said
    assert "@cpu-01" not in said
    publish(tmp_path, "gpu-01", 1, 0)
    status, said = beat(tmp_path)
    assert (status, "::error" in said) == (0, False), said


def test_a_nightly_that_did_not_run_is_a_failure(tmp_path: Path) -> None:
    publish(tmp_path, "cpu-01", 9)
    status, said = beat(tmp_path)
    assert status != 0, said
