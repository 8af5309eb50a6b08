"""Ctrl-C and SIGTERM at many moments of a run's life: whatever was going on, everything ends in order.

The moments are fractions of what an undisturbed run takes, spread evenly over it and drawn with a fixed seed. Where a
moment falls depends on the machine; what may come of it does not.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from simulation import environment

import benchbox
from benchbox.store.records import SIMULATION_MARK, record_files, records_under, trials_from_file

SHORT = ("--quick", "--trials", "1", "--max-time", "0.05", "--threads", "1", "--json")
ON_A_DEVICE = ("--backend", "tensorrt", "--lock-clocks")
# make test-all tries a hundred moments, make test six.
PLAIN_MOMENTS, DEVICE_MOMENTS = (70, 30) if os.environ.get("BENCHBOX_TESTS") == "all" else (4, 2)
# The last moments lie behind the end of the undisturbed run: the machine is busier now.
SPAN = 1.15
AT_ONCE = 3
SIGNALS = (signal.SIGINT, signal.SIGTERM)
ENDS = {0, 130, -signal.SIGINT, -signal.SIGTERM}
KNOWN = {".parquet", ".onnx", ".json", ".npz", ".engine", ".log", ".timing", ".cache"}


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When a run is told to end and how; ``again_s`` later once more, where it is not None."""

    number: int
    fraction: float
    first: signal.Signals
    again: signal.Signals | None
    again_s: float


def moments(count: int, *, seed: int) -> list[Moment]:
    draw = random.Random(seed)
    return [
        Moment(
            number=number,
            fraction=(number + draw.random()) / count * SPAN,
            first=draw.choice(SIGNALS),
            again=draw.choice(SIGNALS) if number % 2 else None,
            again_s=draw.random() * 0.3,
        )
        for number in range(count)
    ]


@dataclass(frozen=True, kw_only=True)
class Place:
    """One run's folders, its network, and the mark by which its processes are known."""

    folder: Path
    mark: str
    device: bool

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def clocks(self) -> Path:
        return self.folder / "clocks"

    def start(self, network: Path) -> subprocess.Popen[str]:
        self.temporary.mkdir(parents=True)
        mark = self.root / SIMULATION_MARK
        mark.parent.mkdir(parents=True)
        if self.device:
            mark.touch()
        inherited = environment(state=str(self.clocks)) if self.device else dict(os.environ)
        return subprocess.Popen(
            [sys.executable, "-m", "benchbox", "run", str(network), *SHORT, *(ON_A_DEVICE if self.device else ())],
            cwd=Path(__file__).parents[4],
            env={
                **inherited,
                "BENCHBOX_ROOT": str(self.root),
                "TMPDIR": str(self.temporary),
                "TEST_OF_ENDINGS": self.mark,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def processes(self) -> list[int]:
        wanted = f"TEST_OF_ENDINGS={self.mark}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    def held(self) -> bool:
        """Whether the simulated GPU's clocks are held now."""
        calls = self.clocks.read_text().splitlines() if self.clocks.exists() else []
        return bool(calls) and "free" not in calls[-1]


def place(folder: Path, *, device: bool) -> Place:
    return Place(folder=folder, mark=secrets.token_hex(8), device=device)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest network there is: one matrix product."""
    from onnx import TensorProto, helper, numpy_helper

    path = tmp_path_factory.mktemp("network") / "tiny.onnx"
    weights = numpy_helper.from_array(np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32), "w")
    given, made = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in (("x", 4), ("y", 3))
    )
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "tiny", [given], [made], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def settled(at: Place) -> bool:
    """Whether all processes are gone and the clocks free, at once or a little later: a keeper of clocks ends last."""
    deadline = time.monotonic() + 30
    while at.processes() or at.held():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def interpreter_was_starting(status: int, err: str) -> bool:
    """Whether the signal came before Python could run any code of ours: it then says so in words of its own."""
    return status == 1 and "KeyboardInterrupt" in err and str(Path(benchbox.__file__).parent) not in err


def faults(at: Place, status: int, err: str) -> list[str]:
    """What must not be after a run has ended in whatever way."""
    found = []
    if status not in ENDS and not interpreter_was_starting(status, err):
        found.append(f"exit status {status}: {err}")
    if status == 130 and ("Traceback" in err or "Error:" in err):
        found.append(f"words besides 'interrupted': {err}")
    if not settled(at):
        found.append(f"left behind: processes {at.processes()}, clocks held: {at.held()}")
        for process in at.processes():
            os.kill(process, signal.SIGKILL)
    try:
        records = list(records_under(at.root))
        for file, record in zip(record_files(at.root), records, strict=True):
            trials_from_file(file, record)
    except Exception as error:
        found.append(f"a record cannot be read: {error}")
    else:
        if status == 0 and len(records) != 1:
            found.append(f"it says done and has stored {len(records)} records")
    files = [path for path in at.root.rglob("*") if path.is_file()]
    found += [
        f"left behind: {path}"
        for path in files
        if path != at.root / SIMULATION_MARK and (path.suffix not in KNOWN or path.name.startswith("."))
    ]
    # ONNX Runtime writes this one wherever it is imported.
    found += [f"left behind: {path}" for path in at.temporary.iterdir() if path.name != ".ses"]
    return found


def ended(at: Place, network: Path, moment: Moment, whole_s: float) -> tuple[int, list[str]]:
    run = at.start(network)
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.wait(moment.fraction * whole_s)
    run.send_signal(moment.first)
    if moment.again is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(moment.again_s)
        run.send_signal(moment.again)
    _, err = run.communicate(timeout=120)
    shown = f"{moment.first.name} at {moment.fraction:.0%}"
    return run.returncode, [f"{shown}: {fault}" for fault in faults(at, run.returncode, err)]


@pytest.mark.parametrize(
    ("device", "count"), [(False, PLAIN_MOMENTS), (True, DEVICE_MOMENTS)], ids=["cpu", "device with locked clocks"]
)
def test_whenever_a_run_is_told_to_end_it_ends_in_order(
    device: bool, count: int, network: Path, tmp_path: Path
) -> None:
    whole = place(tmp_path / "whole", device=device)
    begin = time.monotonic()
    run = whole.start(network)
    _, err = run.communicate(timeout=300)
    whole_s = time.monotonic() - begin
    assert run.returncode == 0, err
    assert faults(whole, run.returncode, err) == []
    assert len(list(records_under(whole.root))) == 1
    assert whole.clocks.exists() is device, "a run that is not disturbed holds the clocks"

    def one(moment: Moment) -> tuple[int, list[str]]:
        return ended(place(tmp_path / str(moment.number), device=device), network, moment, whole_s)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        ends = list(threads.map(one, moments(count, seed=count)))
    assert [fault for _, found in ends for fault in found] == []
    assert any(status for status, _ in ends), "some run was told to end before it was done"


def test_faults_are_seen(network: Path, tmp_path: Path) -> None:
    """A child that stays, held clocks, a draft, a damaged record, a folder in the temporary place."""
    at = place(tmp_path / "bad", device=True)
    at.start(network).communicate(timeout=300)
    assert faults(at, 0, "") == []
    (at.root / "results" / ".draft").touch()
    (at.temporary / "benchbox-trial-x").mkdir()
    (file,) = record_files(at.root)
    file.write_bytes(file.read_bytes()[:-10])
    found = faults(at, 70, "benchbox has a bug")
    assert len(found) == 4
    assert "exit status 70" in found[0]
    assert "cannot be read" in found[1]
    at.clocks.write_text('{"locked": [1, 1]}\n')
    assert at.held()
    with subprocess.Popen(["sleep", "100"], env={"TEST_OF_ENDINGS": at.mark, "PATH": os.environ["PATH"]}) as child:
        # Between fork and exec a child has its parent's environment.
        while not at.processes():
            time.sleep(0.01)
        assert at.processes() == [child.pid]
        child.kill()
