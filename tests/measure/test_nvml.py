"""What is read from NVIDIA's management library, and what is said where it is not there."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from benchbox.measure import nvml
from benchbox.measure.nvml import GpuUsers, gpu_facts, gpu_now, gpu_users


class NVMLError(Exception):
    """As pynvml's."""


def _refused(*_: Any) -> Any:
    raise NVMLError("Not Supported")


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package that knows one GPU, which does not support everything."""
    module = ModuleType("pynvml")
    module.__spec__ = SimpleNamespace(name="pynvml")  # type: ignore[assignment]
    module.shut_down = 0  # type: ignore[attr-defined]

    def shutdown() -> None:
        module.shut_down += 1  # type: ignore[attr-defined]

    entries = {
        "NVMLError": NVMLError,
        "NVML_CLOCK_SM": 1,
        "NVML_CLOCK_MEM": 2,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlInit": lambda: None,
        "nvmlShutdown": shutdown,
        "nvmlDeviceGetHandleByIndex": lambda index: "gpu",
        "nvmlDeviceGetName": lambda gpu: b"NVIDIA L4",
        "nvmlDeviceGetMemoryInfo": lambda gpu: SimpleNamespace(total=24 * 2**30, used=3 * 2**20),
        "nvmlDeviceGetEnforcedPowerLimit": lambda gpu: 72_000,
        "nvmlDeviceGetMaxClockInfo": lambda gpu, kind: 2040 if kind == 1 else 6251,
        "nvmlDeviceGetPersistenceMode": lambda gpu: 1,
        "nvmlDeviceGetEccMode": lambda gpu: (1, 1),
        "nvmlDeviceGetComputeMode": lambda gpu: 0,
        "nvmlDeviceGetMigMode": _refused,
        "nvmlSystemGetDriverVersion": lambda: "580.65.06",
        "nvmlDeviceGetClockInfo": lambda gpu, kind: 1500,
        "nvmlDeviceGetTemperature": lambda gpu, kind: 41,
        "nvmlDeviceGetPowerUsage": lambda gpu: 30_400,
        "nvmlDeviceGetComputeRunningProcesses": lambda gpu: [
            SimpleNamespace(pid=7, usedGpuMemory=1000),
            SimpleNamespace(pid=8, usedGpuMemory=None),
        ],
    }
    for name, value in entries.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def test_facts_leave_out_what_the_gpu_does_not_support(library: ModuleType) -> None:
    facts = gpu_facts()
    assert facts["gpu"] == "NVIDIA L4"
    assert facts["gpu_memory_gib"] == "24"
    assert facts["gpu_power_limit_w"] == "72"
    assert facts["nvidia_driver"] == "580.65.06"
    assert "gpu_mig" not in facts
    assert gpu_now() == {
        "gpu_sm_clock_mhz": "1500",
        "gpu_temperature_c": "41",
        "gpu_power_w": "30",
        "gpu_memory_used_mib": "3",
    }
    assert library.shut_down == 2, "the library is left as it was found"


def test_users(library: ModuleType) -> None:
    users = gpu_users()
    assert users is not None
    assert users.memory_of(7) == 1000
    assert users.memory_of(8) is None, "seen, but not told"
    assert users.memory_of(9) is None, "not seen: unknown, not zero"
    assert users.others == 1


@pytest.mark.parametrize("missing", ["nvmlInit", "nvmlDeviceGetHandleByIndex"])
def test_without_a_driver_or_a_gpu_nothing_is_known(
    missing: str, library: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, missing, _refused)
    assert gpu_facts() == {}
    assert gpu_now() == {}
    assert gpu_users() is None


def test_without_the_package_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "PACKAGE", "no_such_package_here")
    assert gpu_facts() == {}
    assert gpu_users() is None


def test_a_query_that_is_refused_is_no_answer(library: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "nvmlDeviceGetComputeRunningProcesses", _refused)
    assert gpu_users() is None


def test_nobody_seen_means_no_others() -> None:
    """Inside a container the list may be empty although this process computes."""
    assert GpuUsers(bytes_by_process={}).others == 0
