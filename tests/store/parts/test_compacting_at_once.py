"""A compaction is killed at any moment, and runs beside writers and readers: no record is lost or counts twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sample_records import of_case, record, trials

from benchbox.store.checking import check_store
from benchbox.store.parts import compacted
from benchbox.store.parts.compacting import compact
from benchbox.store.records import append, content_of, readable_records, record_files, single_files

STORED, WRITTEN = 24, 12
# Compacts again and again, in parts of some records, and says when it begins.
COMPACTING = """
import sys
from pathlib import Path
import benchbox.store.parts.part_draft as part_draft
from benchbox.store.parts.compacting import compact
part_draft.GROUP_ROWS = 8
print("ready", flush=True)
while True:
    compact(Path(sys.argv[1]), most_bytes=1 << 14)
"""
WRITING = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from sample_records import of_case, trials
from benchbox.store.records import append
print("ready", flush=True)
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    append(Path(sys.argv[1]), of_case(number), trials())
"""


@contextmanager
def process(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Python with a script, from the moment at which its work begins; killed at the end."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == "ready\n"
            yield started
        finally:
            started.kill()


def contents(root: Path) -> dict[str, bytes]:
    """The bytes of every record, which is listed once."""
    paths = record_files(root)
    found = {path.stem: content_of(path) for path in paths}
    assert len(found) == len(paths), "none is listed twice"
    return found


def killed_at_random(root: Path, rounds: int) -> None:
    drawn = random.Random(int.from_bytes(os.urandom(4)))
    expected = {}
    for number in range(STORED):
        expected[of_case(number).id] = append(root, of_case(number), trials()).read_bytes()
    for number in range(rounds):
        with process(COMPACTING, root) as compacting:
            time.sleep(drawn.uniform(0, 0.3))
            compacting.send_signal(signal.SIGKILL)
        assert contents(root) == expected
        new = of_case(STORED + number)
        expected[new.id] = append(root, new, trials()).read_bytes()
    assert check_store(root).faults == ()
    compact(root)
    assert single_files(root) == ()
    assert contents(root) == expected
    folder = root / compacted.FOLDER
    named = {entry.file for entry in compacted.read_manifest(folder)}
    assert {path.name for path in folder.iterdir()} == {*named, compacted.MANIFEST}, "nothing is left of the killed"


def test_killed_at_random_moments_nothing_is_lost(tmp_path: Path) -> None:
    killed_at_random(tmp_path, 3)


@pytest.mark.nightly
def test_killed_at_many_random_moments_nothing_is_lost(tmp_path: Path) -> None:
    killed_at_random(tmp_path, 60)


def test_writers_a_compaction_and_a_reader_at_once(tmp_path: Path) -> None:
    """What the reader has seen once it sees ever after, and reads whole."""
    ranges = [(at * 1000, at * 1000 + WRITTEN) for at in range(2)]
    here = Path(__file__).parents[1]
    seen: set[str] = set()
    with process(COMPACTING, tmp_path):
        with process(WRITING, tmp_path, *ranges[0], here) as one, process(WRITING, tmp_path, *ranges[1], here) as other:
            while one.poll() is None or other.poll() is None:
                lines: list[str] = []
                found = readable_records(record_files(tmp_path), warn=lines.append)
                ids = {read.id for _, read in found}
                assert len(ids) == len(found)
                assert seen <= ids
                assert lines == []
                seen = ids
        assert (one.returncode, other.returncode) == (0, 0)
    compact(tmp_path)
    wanted = {of_case(number).id for begin, end in ranges for number in range(begin, end)}
    assert set(contents(tmp_path)) == wanted
    assert check_store(tmp_path).faults == ()


@pytest.mark.nightly
def test_two_runs_a_sweep_and_a_compaction_at_once(tmp_path: Path) -> None:
    """The commands themselves, in one root: each case has the records that were asked for, all of them whole."""
    file = tmp_path / "both.toml"
    file.write_text(
        '[sweep]\nmodels = ["lenet5"]\nbackends = ["onnxruntime"]\nprocesses = 4\npasses = 2\nquick = true\n'
        "threads = [1]\nbatches = [1, 2]\nanchor = false\n"
    )

    def command(*words: str) -> subprocess.Popen[Any]:
        return subprocess.Popen(
            [sys.executable, "-m", "benchbox", *words, "--root", str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    runs = [
        command("run", "lenet5", "--backend", "onnxruntime", "--batch", batch, "--quick", "--threads", "1")
        for batch in ("4,8", "16,32")
    ]
    runs.append(command("sweep", str(file), "--wait"))
    with process(COMPACTING, tmp_path):
        for run in runs:
            out, _ = run.communicate(timeout=600)
            assert run.returncode == 0, out
    cases = sorted(read.key.batch for _, read in readable_records(record_files(tmp_path), warn=pytest.fail))
    assert cases == [1, 1, 2, 2, 4, 8, 16, 32], "the sweep measures in two passes"
    assert check_store(tmp_path).faults == ()


def test_a_record_may_come_while_its_day_is_compacted(tmp_path: Path) -> None:
    append(tmp_path, record(1), trials())
    compact(tmp_path)
    append(tmp_path, record(2), trials())
    assert [path.stem for path in record_files(tmp_path)] == [record(1).id, record(2).id]
