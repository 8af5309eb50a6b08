"""A unit: alone on its machine, in a bare environment, and what has its record is not measured again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchbox.errors import MeasurementError
from benchbox.fleet.estimating import history_under
from benchbox.fleet.host_lock import host_lock
from benchbox.fleet.plan import SweepPlan, plan_of
from benchbox.fleet.sweep_file import Sweep
from benchbox.fleet.unit import measure_unit, scrubbed_environment
from benchbox.machine.dispatcher import dispatcher_seconds
from benchbox.schema.record import Status
from benchbox.store.records import records_under

SWEEP = Sweep(
    models=["lenet5"], backends=["onnxruntime"], precisions=["fp32", "bf16"], passes=1, processes=1, quick=True,
    max_time_s=0.05, threads=[1], anchor=False, name="tiny",
)  # fmt: skip


def test_thread_counts_and_devices_do_not_reach_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("LC_ALL", "C")
    kept = scrubbed_environment()
    assert not {"OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"} & set(kept)
    assert kept["LC_ALL"] == "C"
    assert "PATH" in kept


def test_a_machine_is_for_one_unit_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        host_lock(path, waiting=None),
        pytest.raises(MeasurementError, match="another sweep measures"),
        host_lock(path, waiting=None),
    ):
        pass
    with host_lock(path, waiting=None):
        pass


def test_the_lock_is_held_until_the_last_child_has_ended(tmp_path: Path) -> None:
    """The one who took it may be killed: what it started still measures."""
    path = tmp_path / "lock"
    with host_lock(path, waiting=None) as handle:
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, pass_fds=(handle,)
        )
    with pytest.raises(MeasurementError), host_lock(path, waiting=None):
        pass
    child.communicate(b"")
    with host_lock(path, waiting=None):
        pass


def measured(root: Path, plan: SweepPlan, lock: Path) -> list[Any]:
    ends = []
    for unit in plan.units:
        ends += measure_unit(
            root, plan, unit, dispatcher="test 1", waiting=None, warn=lambda line: pytest.fail(line), lock=lock
        )
    return ends


def test_each_step_is_measured_once(lenet_exported: None, tmp_path: Path) -> None:
    """What can run, and what cannot: bf16 is no precision of ONNX Runtime on a CPU."""
    plan = plan_of(SWEEP, estimate=lambda case, processes: 1.0)
    ends = measured(tmp_path, plan, tmp_path / "lock")
    assert sorted(end.step.case.precision for end in ends) == ["bf16", "fp32"]
    records = {record.key.precision.value: record for record in records_under(tmp_path)}
    assert records["fp32"].status is Status.OK
    assert records["bf16"].status is Status.SKIPPED
    observed = records["fp32"].environment.observed
    assert observed["sweep"].startswith(f"{plan.id}/p1-")
    assert observed["dispatcher"] == "test 1"
    assert float(observed["dispatcher_cpu_s"]) >= 0
    assert measured(tmp_path, plan, tmp_path / "lock") == []
    history = history_under(tmp_path)
    assert all(history.has(case) for case in SWEEP.cases())
    assert [case.precision for case in SWEEP.cases() if history.fails(case)] == ["bf16"]
    (fp32,) = (end for end in ends if end.step.case.precision == "fp32")
    assert history.estimate(SWEEP)(fp32.step.case, 1) == pytest.approx(fp32.seconds)


def test_processor_seconds_of_what_dispatched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def process(pid: int, command: str, ticks: int) -> None:
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")
        (folder / "stat").write_text(f"{pid} (a (b) c) S 1 {' '.join(['0'] * 9)} {ticks} {ticks} 0")

    process(10, "/opt/ray/core/src/ray/raylet/raylet --port 1", 50)
    process(11, "/usr/bin/python -m pkg/ray/dashboard/agent.py", 25)
    process(12, "/usr/bin/python train.py", 1000)
    (tmp_path / "13").mkdir()
    monkeypatch.delenv("BENCHBOX_DISPATCHER", raising=False)
    assert dispatcher_seconds(tmp_path) is None
    monkeypatch.setenv("BENCHBOX_DISPATCHER", "ray 2.60.0")
    monkeypatch.setattr("os.sysconf", lambda name: 100)
    assert dispatcher_seconds(tmp_path) == pytest.approx(1.5)
