"""What doctor says before a run, condition by condition, and which instruments it finds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from simulation import simulated

from benchbox.flags.standing import standing_flags
from benchbox.machine import instruments as readiness
from benchbox.machine.environment import capture
from benchbox.machine.instruments import instruments

# A GPU as it should be.
GPU = {"gpu": "NVIDIA L4", "gpu_clocks": "locked, base", "gpu_mig": "0", "gpu_persistence": "1"}


@pytest.mark.parametrize(
    ("hardware", "observed", "code"),
    [
        ({"hypervisor": "yes"}, {}, "VIRTUALIZED"),
        ({"governor": "powersave"}, {}, "GOVERNOR"),
        ({}, {"load_1min": "9999.0"}, "LOADED"),
        ({"turbo": "on"}, {}, "GOVERNOR"),
        ({"smt": "on"}, {}, "GOVERNOR"),
        ({"aslr": "off"}, {}, "ASLR_OFF"),
        ({}, {"pressure_cpu": "12.50 %"}, "LOADED"),
        ({}, {"low_priority": "nice 15"}, "LOW_PRIORITY"),
        ({"gpu": "NVIDIA L4"}, {}, "CLOCKS_NOT_LOCKED"),
        ({**GPU, "gpu_mig": "1"}, {}, "GPU_SHARED"),
        (GPU, {"gpu_processes": "2"}, "GPU_SHARED"),
        (GPU, {"gpu_mps_processes": "1"}, "GPU_SHARED"),
        ({**GPU, "gpu_power_limit_w": "250", "gpu_power_limit_default_w": "300"}, {}, "POWER_LIMIT_LOWERED"),
        ({**GPU, "gpu_persistence": "0"}, {}, "PERSISTENCE_OFF"),
        ({**GPU, "gpu_confidential_compute": "1"}, {}, "CONF_COMPUTE"),
        (GPU, {"gpu_remapped_rows": "2, more wait for a reset"}, "REMAPPED_ROWS"),
    ],
)
def test_standing_flags(hardware: dict[str, str], observed: dict[str, str], code: str) -> None:
    calm = dataclasses.replace(
        capture(), hardware={"hypervisor": "no", "governor": "performance"}, observed={"load_1min": "0.00"}
    )
    assert standing_flags(calm) == ()
    disturbed = dataclasses.replace(
        calm, hardware={**calm.hardware, **hardware}, observed={**calm.observed, **observed}
    )
    assert [flag.code for flag in standing_flags(disturbed)] == [code]


def test_a_gpu_as_it_should_be_is_quiet() -> None:
    hardware = {"governor": "performance", "turbo": "off", "smt": "off", "aslr": "full", **GPU}
    usual = {"gpu_power_limit_w": "72", "gpu_power_limit_default_w": "72", "gpu_confidential_compute": "0"}
    now = {"load_1min": "0.00", "pressure_cpu": "0.00 %", "gpu_processes": "0", "gpu_mps_processes": "0"}
    calm = dataclasses.replace(capture(), hardware={**hardware, **usual}, observed=now)
    assert standing_flags(calm) == ()


def _named(**knobs: Any) -> dict[str, tuple[bool, str]]:
    with simulated(**knobs):
        return {found.name: (found.usable, found.detail) for found in instruments()}


def test_a_gpu_that_tells_everything() -> None:
    found = _named()
    told = ("GPU clocks", "GPU throttling", "GPU power limit", "GPU memory errors", "GPU driver errors (XID)")
    assert [found[name] for name in (*told, "PCIe link")] == [(True, "NVML")] * 6
    assert found["energy of the GPU"] == (True, "NVML total energy")
    assert found["waiting for a CPU"][0] is True


def test_a_gpu_that_tells_less() -> None:
    found = _named(throttle_fields=False, violations=False, energy_counter=False)
    assert found["GPU throttling"] == (False, "not reported by this GPU or its driver: not flagged")
    assert found["GPU clocks"][0] is True
    assert found["energy of the GPU"][0] is False


def test_without_nvml_it_says_what_to_install() -> None:
    found = _named(nvml=False)
    assert found["state and clocks of the GPU"] == (False, "needs an NVIDIA driver and pip install nvidia-ml-py")
    assert "GPU clocks" not in found, "said once"


@pytest.mark.parametrize(("root", "usable"), [(True, True), (False, False)])
def test_who_may_lock_clocks(root: bool, usable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_is_root", lambda: root)
    assert _named()["locking GPU clocks"][0] is usable


@pytest.mark.parametrize(
    ("paranoid", "root", "usable"), [("1", False, True), ("3", False, False), ("3", True, True), ("", True, False)]
)
def test_hardware_counters(
    paranoid: str, root: bool, usable: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(readiness, "_is_root", lambda: root)
    level = tmp_path / "proc/sys/kernel/perf_event_paranoid"
    level.parent.mkdir(parents=True)
    level.write_text(paranoid)
    assert readiness._hardware_counters(tmp_path).usable is False, "there are none"
    (tmp_path / "sys/bus/event_source/devices/cpu").mkdir(parents=True)
    assert readiness._hardware_counters(tmp_path).usable is usable
