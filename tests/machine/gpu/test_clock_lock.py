"""Clocks that were held are free afterwards, whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from simulation import environment, simulated

from benchbox.errors import BenchboxError, EnvironmentLackError, MeasurementError, UsageError
from benchbox.machine.gpu.clock_lock import locked_clocks

TDP = 0xFFFFFF01
HOLD = """
import signal, sys, time
# a test run in the background may have been told to ignore these, and children inherit that
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from benchbox.machine.gpu.clock_lock import locked_clocks
with locked_clocks(None):
    print("held", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Puts the simulated GPU, with these knobs, into this process and those that it starts; gives its log of clocks."""
    from contextlib import ExitStack

    with ExitStack() as closing:

        def make(**knobs: Any) -> Path:
            state = tmp_path / "clocks"
            knobs["state"] = str(state)
            closing.enter_context(simulated(**knobs))
            return state

        yield make


def calls(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in state.read_text().splitlines()] if state.exists() else []


def soon_free(state: Path) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if calls(state)[-1:] and "free" in calls(state)[-1]:
            return True
        time.sleep(0.02)
    return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(("mhz", "asked", "said"), [(None, TDP, "base"), (1410, 1410, "1410 MHz")])
def test_held_then_free(mhz: int | None, asked: int, said: str, device: Callable[..., Path]) -> None:
    state = device()
    with locked_clocks(mhz) as at:
        assert at == said
        (held,) = calls(state)
        assert held["locked"] == [asked, asked]
        assert held["by"] != os.getpid()
    assert [next(iter(call)) for call in calls(state)] == ["locked", "free"]
    assert gone(held["by"])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_sets_them_free(error: type[BaseException], device: Callable[..., Path]) -> None:
    state = device()
    with pytest.raises(error), locked_clocks(None):
        raise error
    assert "free" in calls(state)[-1]


@pytest.mark.parametrize(
    ("knobs", "mhz", "kind", "words"),
    [
        ({"may_lock": False}, None, EnvironmentLackError, "Insufficient Permissions"),
        ({"nvml": False}, None, EnvironmentLackError, "NVML is not there"),
        ({}, 9999, UsageError, "its highest is 1980 MHz"),
    ],
)
def test_what_is_not_permitted_is_refused(
    knobs: dict[str, Any], mhz: int | None, kind: type[BenchboxError], words: str, device: Callable[..., Path]
) -> None:
    state = device(**knobs)
    with pytest.raises(kind) as raised, locked_clocks(mhz):
        pytest.fail("nothing may run")
    assert words in raised.value.values
    assert calls(state) == [], "what was not locked is not set free: somebody else may have locked it"


def test_if_the_keeper_is_killed_the_parent_sets_them_free(device: Callable[..., Path]) -> None:
    state = device()
    with locked_clocks(None):
        os.kill(calls(state)[0]["by"], signal.SIGKILL)
    assert calls(state)[-1] == {"free": True, "by": os.getpid(), "gpu": "0000:3B:00.0"}


def test_clocks_that_stay_locked_are_told(device: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    state = device()
    import pynvml

    def refuse(_: object) -> None:
        raise pynvml.NVMLError("GPU is lost")

    monkeypatch.setattr(pynvml, "nvmlDeviceResetGpuLockedClocks", refuse)
    with pytest.raises(MeasurementError, match="still locked") as raised, locked_clocks(None):
        os.kill(calls(state)[0]["by"], signal.SIGKILL)
    assert "nvidia-smi -rgc" in raised.value.remedy


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_parent_that_dies_leaves_them_free(number: signal.Signals, tmp_path: Path) -> None:
    state = tmp_path / "clocks"
    parent = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env=environment(state=str(state)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"held\n"
    os.killpg(parent.pid, number)  # the whole session of a terminal, as Ctrl-C does
    parent.wait(30)
    parent.stdout.close()
    assert soon_free(state)
    assert [next(iter(call)) for call in calls(state)] == ["locked", "free"]
    assert gone(calls(state)[0]["by"])
