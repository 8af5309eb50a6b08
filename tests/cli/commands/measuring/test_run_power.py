"""``--energy`` and ``--lock-clocks`` from the command line to the record, on the simulated GPU and a made-up CPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from simulation import environment

from benchbox.store.records import record_files, records_under, trials_from_file

SHORT = ("--quick", "--trials", "2", "--max-time", "0.05", "--threads", "1")
ENERGY = ("--energy", "--energy-window", "1", "--energy-windows", "2")


def started(root: Path, *arguments: str, **knobs: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchbox", "run", "lenet5", *SHORT, *arguments, "--root", str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[4],
        env=environment(**knobs),
        start_new_session=True,
    )


@pytest.fixture
def ran(simulated_benchbox: Callable) -> Callable[..., tuple[list[dict[str, Any]], str]]:
    """Runs in this process; gives the records and what was said on standard error."""

    def run(root: Path, *arguments: str, status: int = 0, **knobs: Any) -> tuple[list[dict[str, Any]], str]:
        done = simulated_benchbox(root, "run", "lenet5", *SHORT, *arguments, "--json", **knobs)
        assert done.status == status, done.err
        return done.document["records"] if done.out else [], done.err

    return run


def readings(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {reading["metric"]: reading for reading in record["readings"]}


def flags(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {flag["code"]: flag for flag in record["flags"]}


def test_energy_of_the_simulated_gpu(ran: Callable, simulated_root: Path) -> None:
    """250 W for 400 µs of device time an inference, above 60 W idle: 0.1 J net, however fast this machine is."""
    ((record,), _) = ran(simulated_root, "--backend", "tensorrt", *ENERGY)
    found = readings(record)
    net, gross = found["energy_per_sample_net"], found["energy_per_sample"]
    # What the clock of this machine does to one tick in ten of a short window moves it, not more.
    assert net["value"] == pytest.approx(0.1, rel=0.2)
    assert gross["value"] > net["value"]
    assert found["idle_power"]["value"] == pytest.approx(60.0, rel=0.05)
    assert found["power_mean"]["value"] > 60.0
    assert (net["n"], net["unit"]) == (2, "J")
    assert net["method"].startswith("gpu_board by NVML total energy, isolated, 2 windows of 1 s")
    assert "method" not in found["latency_p50"]
    assert flags(record)["ENERGY_SHORT_WINDOW"]["severity"] == "warning"
    assert "energy_per_sample" in flags(record)["ENERGY_SHORT_WINDOW"]["metrics"]
    assert flags(record)["CLOCKS_NOT_LOCKED"]["severity"] == "info"
    assert (record["plan"]["energy_windows"], record["plan"]["energy_window_s"]) == (2, 1.0)
    stored = list(records_under(simulated_root))[-1]
    (trial,) = [
        trial
        for trial in trials_from_file(record_files(simulated_root)[-1], stored)
        if trial.pass_.value == "energy" and trial.energy is not None
    ]
    assert trial.energy is not None
    assert trial.energy.tick_s == pytest.approx(0.1, rel=0.2)
    assert [window.temperature_before_c for window in trial.energy.windows] == [40, 40]
    per_sample = [window.energy_j["gpu_board"] / window.inferences for window in trial.energy.windows]
    assert gross["value"] == pytest.approx(sum(per_sample) / 2), "the raw windows give the reading"


@pytest.mark.parametrize(
    ("knobs", "code", "words"),
    [
        ({"foreign": 2}, "ENERGY_SHARED", "2 other processes"),
        pytest.param({"mig": 1}, "ENERGY_SHARED", "MIG", marks=pytest.mark.nightly),
        pytest.param({"mps": True}, "ENERGY_SHARED", "MPS", marks=pytest.mark.nightly),
        pytest.param({"energy_counter": False}, "ENERGY_UNAVAILABLE", "no energy counter", marks=pytest.mark.nightly),
        pytest.param({"nvml": False}, "ENERGY_UNAVAILABLE", "NVML", marks=pytest.mark.nightly),
    ],
)
def test_no_energy_and_the_reason(
    ran: Callable, knobs: dict[str, Any], code: str, words: str, simulated_root: Path
) -> None:
    ((record,), _) = ran(simulated_root, "--backend", "tensorrt", *ENERGY, **knobs)
    assert not {name for name in readings(record) if "energy" in name or "power" in name}
    assert "latency_p50" in readings(record), "the rest of the record stands"
    assert words in flags(record)[code]["message"]


@pytest.mark.nightly
def test_a_gpu_and_a_cpu_on_one_module(ran: Callable, simulated_root: Path) -> None:
    """The counter is the module's: it is called so, and held against the sensor of the module, not of the GPU."""
    ((record,), _) = ran(simulated_root, "--backend", "tensorrt", *ENERGY, gpu_of_module=0.6)
    assert readings(record)["energy_per_sample"]["method"].startswith("gpu_module by NVML total energy")
    assert flags(record)["ENERGY_OF_MODULE"]["severity"] == "warning"
    assert "ENERGY_INCONSISTENT" not in flags(record)


@pytest.mark.nightly
def test_a_power_sensor_that_disagrees(ran: Callable, simulated_root: Path) -> None:
    ((record,), _) = ran(simulated_root, "--backend", "tensorrt", *ENERGY, power_factor=3.0)
    assert flags(record)["ENERGY_INCONSISTENT"]["severity"] == "warning"


@contextmanager
def drawing(folder: Path, *, power_w: float) -> Iterator[None]:
    """A package domain that counts a constant power in real time, a step a millisecond."""
    folder.mkdir(parents=True)
    (folder / "name").write_text("package-0\n")
    (folder / "max_energy_range_uj").write_text("262143328850\n")
    file = os.open(folder / "energy_uj", os.O_CREAT | os.O_RDWR)
    stop = threading.Event()
    begin = time.perf_counter()

    def count() -> None:
        while not stop.is_set():
            # One write of a fixed width: a reader sees the old number or the new one.
            os.pwrite(file, b"%020d\n" % round((time.perf_counter() - begin) * power_w * 1e6), 0)
            time.sleep(0.001)

    os.pwrite(file, b"%020d\n" % 0, 0)
    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        os.close(file)


@pytest.mark.nightly
def test_energy_of_a_cpu_with_counters(benchbox: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that draws 30 W whatever runs: joules of a sample are 30 W times its time, and none above idle."""
    monkeypatch.setenv("BENCHBOX_POWERCAP", str(tmp_path / "powercap"))
    with drawing(tmp_path / "powercap" / "intel-rapl:0", power_w=30.0):
        ran = benchbox("run", "lenet5", "--json", *SHORT, *ENERGY)
    assert ran.status == 0, ran.err
    (record,) = ran.document["records"]
    found = readings(record)
    assert found["power_mean"]["value"] == pytest.approx(30.0, rel=0.1)
    assert found["idle_power"]["value"] == pytest.approx(30.0, rel=0.1)
    assert found["energy_per_sample"]["method"].startswith("cpu_package by RAPL at ")
    (trial,) = [
        trial.energy
        for trial in trials_from_file(record_files(tmp_path)[-1], list(records_under(tmp_path))[-1])
        if trial.energy is not None
    ]
    periods = [window.duration_s / window.inferences for window in trial.windows]
    assert found["energy_per_sample"]["value"] == pytest.approx(30.0 * sum(periods) / len(periods), rel=0.1)
    assert "ENERGY_SHARED" not in flags(record)


@pytest.mark.usefixtures("one_process")
def test_energy_of_a_cpu_without_counters(benchbox: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHBOX_POWERCAP", str(tmp_path / "absent"))
    ran = benchbox("run", "lenet5", "--json", *SHORT, "--energy")
    assert ran.status == 0, ran.err
    (record,) = ran.document["records"]
    assert not {name for name in readings(record) if "energy" in name or "power" in name}
    assert flags(record)["ENERGY_UNAVAILABLE"]["severity"] == "info"


@pytest.mark.usefixtures("one_process")
def test_without_asking_there_is_no_energy(benchbox: Callable) -> None:
    (record,) = benchbox("run", "lenet5", "--json", *SHORT).document["records"]
    assert not [code for code in flags(record) if code.startswith("ENERGY")]
    assert record["plan"]["energy_windows"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--energy", "--energy-window", "0.9"), "--energy-window takes seconds, at least 1"),
        (("--energy", "--energy-window", "long"), "got 'long'"),
        (("--energy", "--energy-window", "nan"), "got 'nan'"),
        (("--energy", "--energy-windows", "1"), "--energy-windows takes at least 2"),
        (("--lock-clocks",), "onnxruntime: runs elsewhere"),
        (("--backend", "tensorrt", "--lock-clocks=fast"), "got 'fast'"),
        (("--backend", "tensorrt", "--lock-clocks=0"), "got '0'"),
    ],
)
def test_what_cannot_be_is_a_usage_error(arguments: tuple[str, ...], words: str, benchbox: Callable) -> None:
    ran = benchbox("run", "lenet5", *arguments)
    assert ran.status == 2
    assert words in ran.err


def calls(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in state.read_text().splitlines()] if state.exists() else []


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_clocks_are_held_for_the_run_and_recorded(ran: Callable, simulated_root: Path, tmp_path: Path) -> None:
    state = tmp_path / "clocks"
    ((record,), _) = ran(simulated_root, "--backend", "tensorrt", "--lock-clocks=1410", state=str(state))
    assert record["plan"]["locked_clocks"] == "1410 MHz"
    assert record["environment"]["hardware"]["gpu_clocks"] == "locked, 1410 MHz"
    assert "CLOCKS_NOT_LOCKED" not in flags(record)
    assert [next(iter(call)) for call in calls(state)] == ["locked", "free"]


def test_clocks_that_may_not_be_held_stop_the_run(ran: Callable, simulated_root: Path) -> None:
    before = len(record_files(simulated_root))
    _, err = ran(simulated_root, "--backend", "tensorrt", "--lock-clocks", status=3, may_lock=False)
    assert "the GPU's clocks cannot be locked here" in err
    assert "Insufficient Permissions" in err
    assert len(record_files(simulated_root)) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_leaves_the_clocks_free(
    number: signal.Signals, simulated_root: Path, tmp_path: Path
) -> None:
    state = tmp_path / "clocks"
    arguments = ("--backend", "tensorrt", "--lock-clocks", "--energy", "--energy-window", "60")
    process = started(simulated_root, *arguments, state=str(state))
    assert until(lambda: len(calls(state)) == 1)
    assert process.poll() is None
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    assert until(lambda: len(calls(state)) == 2)
    assert "free" in calls(state)[1]
