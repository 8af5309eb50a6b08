"""``--device``: one GPU by number or UUID, several in turn, and what is said where there is none such."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
import pytest
from simulation import simulated

from benchbox.backends.cuda.driver import gpu_from_driver
from benchbox.cli.flags import device
from benchbox.cli.flags.device import GpuName, set_visible
from benchbox.errors import EnvironmentLackError, UsageError

FAST = {"pci": "0000:81:00.0", "uuid": "GPU-8a8a8a8a-0000-0000-0000-000000000001", "speed": 2.0}
MIG = "MIG-22222222-0000-0000-0000-000000000003"
SLOW = {"pci": "0000:01:00.0", "uuid": "GPU-11111111-0000-0000-0000-000000000002", "mig": [MIG]}
GPUS = [SLOW, FAST]  # in the order of the bus, as nvidia-smi numbers them; CUDA's own begins with the faster


@pytest.fixture(autouse=True)
def _untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (device.VISIBLE, device.ORDER):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "pci"),
    [
        ("0", SLOW["pci"]),
        ("1", FAST["pci"]),
        ("GPU-8a8a", FAST["pci"]),
        (SLOW["uuid"], SLOW["pci"]),
        (MIG, SLOW["pci"]),
    ],
)
def test_a_gpu_has_the_number_of_nvidia_smi_or_a_uuid(name: str, pci: str) -> None:
    with simulated(gpus=GPUS):
        assert gpu_from_driver().pci_bus_id == FAST["pci"]
        set_visible(name)
        assert gpu_from_driver().pci_bus_id == pci


@pytest.mark.parametrize("name", ["2", "GPU-99"])
def test_a_gpu_that_is_not_there_is_said(name: str) -> None:
    with simulated(gpus=GPUS), pytest.raises(EnvironmentLackError, match=f"there is no GPU {name}") as error:
        set_visible(name)
    assert "nvidia-smi -L" in error.value.remedy


@pytest.mark.parametrize("text", ["", "-1", "first", "gpu-8a", "0x1"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="numbers of nvidia-smi or UUIDs"):
        GpuName().parse(text, flag="--device")


@pytest.mark.parametrize("as_json", [False, True])
def test_several_gpus_are_processes_in_turn(as_json: bool, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """CUDA reads its choice once a process. Of --json the records of all are one document; the worst status counts."""
    ran: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        ran.append(command[command.index("benchbox") + 1 :])
        status = 0 if "0" in command else 3
        return type("Done", (), {"returncode": status, "stdout": b'{"schema": "x/1", "records": [{"n": 1}]}'})()

    monkeypatch.setattr(device.subprocess, "run", run)
    flags = ["run", "lenet5", "--device=0,GPU-1", *(["--json"] if as_json else [])]
    monkeypatch.setattr(sys, "argv", ["benchbox", *flags])

    @click.command("run")
    @click.argument("model")
    @click.option("--json", is_flag=True)
    @device.device_option(several=True)
    def command(model: str, json: bool) -> None:
        raise AssertionError("the processes do it")

    with pytest.raises(SystemExit) as end:
        command(flags[1:])
    assert end.value.code == 3
    assert [[word for word in words if word.startswith("--device")] for words in ran] == [
        ["--device=0"],
        ["--device=GPU-1"],
    ]
    assert capfd.readouterr().out.count('"n": 1') == (2 if as_json else 0)
    assert device.VISIBLE not in os.environ, "this process chose none"


def test_the_value_may_be_a_word_of_its_own() -> None:
    made = device._with_device(["run", "x", "--device", "0,1", "--quick"], "1")
    assert made == ["run", "x", "--device", "1", "--quick"]
