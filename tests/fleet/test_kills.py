"""Whatever is killed whenever: after ``--resume`` every step has one record, and each of them can be read."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchbox.schema.record import Status
from benchbox.store.parts.compacting import compact
from benchbox.store.records import record_files, records_under

SWEEP = """
[sweep]
models = ["lenet5"]
backends = ["onnxruntime", "openvino"]
passes = 2
processes = 2
quick = true
max_time_s = 0.05
threads = [1]
"""
MOMENTS = 50


def started(file: Path, *arguments: str) -> subprocess.Popen[Any]:
    command = [sys.executable, "-m", "benchbox", "sweep", str(file), "--wait", *arguments]
    return subprocess.Popen(command, cwd=file.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kill_something(driver: subprocess.Popen[Any], drawn: random.Random) -> None:
    """The driver, the run that it waits for, a worker of that, or all of them."""
    family = [psutil.Process(driver.pid)]
    with contextlib.suppress(psutil.NoSuchProcess):
        family += family[0].children(recursive=True)
    victims = family if drawn.random() < 0.2 else [drawn.choice(family)]
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim.pid, signal.SIGKILL)


def completed(folder: Path) -> None:
    """Goes on until all is done; then every step has one record with numbers, and all can be read."""
    last = started(folder / "kills.toml", "--resume")
    out, _ = last.communicate(timeout=600)
    assert last.returncode == 0, out
    marks = Counter(
        record.environment.observed["sweep"] for record in records_under(folder) if record.status is Status.OK
    )
    assert set(marks.values()) == {1}, marks
    assert len(marks) == 4 + 3, "four steps and three anchors"
    assert len(list(records_under(folder))) == len(record_files(folder)), "all can be read"


@pytest.mark.nightly
def test_after_kills_at_any_moment_each_step_has_its_record_once(tmp_path: Path) -> None:
    """Sweeps are killed until that has happened so often; a compaction goes on in between."""
    drawn = random.Random(int.from_bytes(os.urandom(4)))
    moments = 0
    for number in range(MOMENTS):
        folder = tmp_path / f"sweep-{number}"
        folder.mkdir()
        file = folder / "kills.toml"
        file.write_text(SWEEP)
        running = True
        while running and moments < MOMENTS:
            run = started(file, *(["--resume"] if list(folder.glob("results/sweeps/*/plan.json")) else []))
            time.sleep(drawn.uniform(0.5, 12))
            running = run.poll() is None
            if running:
                kill_something(run, drawn)
                moments += 1
                print(f"killed {moments} times, in sweep {number}", flush=True)
                if moments % 2:
                    run.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.communicate(timeout=120)
            compact(folder)
        if list(folder.glob("results/sweeps/*/plan.json")):
            completed(folder)
        if moments == MOMENTS:
            return
