"""What a night flagged, measured again with another Python on a side: as it is named, and really."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_nights import level, nights
from sample_records import trials
from verdicts import chain

from benchbox.gate.nightly import judge_night
from benchbox.gate.policy import Confirm, Policy
from benchbox.gate.values import values_of
from benchbox.jobs import confirm
from benchbox.jobs.confirm import Sides, Task, command_of, confirm_night, measured_in_turn
from benchbox.jobs.gate import judge_stored
from benchbox.metrics.metric import METRICS
from benchbox.store.kept import Kept
from benchbox.store.records import append

REPOSITORY = Path(__file__).parents[2]
NETWORK = hashlib.sha256(b"net").hexdigest()
NAME = "lenet5/null/fp32/b1/isolated/t1/virtual@none"
# Makes every inference of ONNX Runtime wait for the share WAIT of its own time.
SITE = REPOSITORY / "tests" / "workflows" / "site"


def task_of(file: Path) -> Task:
    """A flagged case whose base and head are one file, on ONNX Runtime."""
    records = nights([*level(20, 1e-3), 1.1e-3], flags=())
    report = judge_night(records, Policy(), process_values=lambda *_: ())
    (row,) = [row for row in report.findings if row.verdict.metric == "latency_p50"]
    case = dataclasses.replace(row.verdict.case, backend="onnxruntime", device="cpu")
    row = dataclasses.replace(row, verdict=dataclasses.replace(row.verdict, case=case))
    kept = Kept(path=file)
    return Task(name="x", rows=(row,), base=records[0], head=records[-1], base_file=kept, head_file=kept)


def test_paths_are_those_of_the_folder_in_which_they_were_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The measuring command runs in the project root, and an environment's Python is a link to another."""
    (tmp_path / "new" / "bin").mkdir(parents=True)
    (tmp_path / "new" / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    sides = Sides.named("python3.12", "new/bin/python")
    words = command_of(tmp_path / "root", task_of(Path("net.onnx")), sides, Confirm())
    place = words.index("--ab")
    assert words[place + 1 : place + 3] == [
        "model=net.onnx,python=python3.12",
        f"model=net.onnx,python={tmp_path}/new/bin/python",
    ]


def test_the_command_line_names_them_so(benchbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Sides | None] = []

    def keep(*_: Any, sides: Sides | None, **__: Any) -> int:
        seen.append(sides)
        return 0

    monkeypatch.setattr(confirm, "confirm_night", keep)
    monkeypatch.chdir(tmp_path)
    benchbox("gate", "--confirm", "--ab", "old/bin/python", "new/bin/python", "--no-exit")
    benchbox("gate", "--confirm", "--no-exit")
    assert seen == [Sides(f"{tmp_path}/old/bin/python", f"{tmp_path}/new/bin/python"), None]


def test_the_same_python_on_both_sides_has_nothing_to_compare(tmp_path: Path) -> None:
    for entry in nights([*level(20, 1e-3), 1.1e-3], flags=()):
        append(tmp_path, dataclasses.replace(entry, onnx_sha256=NETWORK), trials())
    (tmp_path / "engines" / "kept").mkdir(parents=True)
    (tmp_path / "engines" / "kept" / f"{NETWORK}.onnx").write_bytes(b"net")
    night = judge_stored(tmp_path, policy_file=None, against=None, night=None, where=(), warn=print)
    said: list[str] = []
    confirm_night(tmp_path, night, sides=Sides("python3.12", "python3.12"), say=said.append)
    assert said == [f"not measured again: {NAME}: base and head are the same network by the same Python, python3.12"]


@pytest.mark.nightly
@pytest.mark.slow
def test_a_python_that_waits_is_really_slower_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    chain(tmp_path / "net.onnx", 8)
    path = os.pathsep.join([str(SITE), str(REPOSITORY)])
    for name, wait in (("plain", "0"), ("another", "0"), ("waiting", "1")):
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\nPYTHONPATH="{path}" WAIT={wait} exec "{sys.executable}" "$@"\n')
        script.chmod(0o755)

    def medians(head: str) -> list[float]:
        sides = Sides(str(tmp_path / "plain"), str(tmp_path / head))
        measured = measured_in_turn(tmp_path, task_of(Path("net.onnx")), sides, Confirm(processes=5))
        return [float(np.median(values_of([side], METRICS.get("latency_p50")))) for side in measured]

    base, head = medians("waiting")
    # It waits for as long as it computes: noise of a busy machine does not make up for that.
    assert head > 1.3 * base
    base, head = medians("another")
    assert 1 / 1.9 < head / base < 1.9
