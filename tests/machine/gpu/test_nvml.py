"""What is read from NVIDIA's management library, and what is said where it is not there."""

from __future__ import annotations

import os
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from benchbox.machine.energy_counter import CounterLostError, Gauge
from benchbox.machine.gpu import nvml
from benchbox.machine.gpu.facts import gpu_facts, gpu_now
from benchbox.machine.gpu.nvml import GpuUsers, gpu_gauge, gpu_users


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
        "gpu_memory_clock_mhz": "1500",
        "gpu_processes": "2",
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


def test_the_parent_is_no_other(library: ModuleType) -> None:
    """It may have built an engine on the GPU, and holds it until it ends."""
    assert GpuUsers(bytes_by_process={os.getpid(): 1, os.getppid(): 1}).others == 0
    assert GpuUsers(bytes_by_process={os.getpid(): 1, os.getppid(): 1, 7: 1}).others == 1


@pytest.fixture
def meter(library: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The same GPU, which counts energy, used by this process alone."""

    def fields(gpu: str, numbers: list[int]) -> list[Any]:
        assert numbers == [186]
        return [SimpleNamespace(nvmlReturn=0, value=SimpleNamespace(uiVal=41_500))]

    entries = {
        "NVML_SUCCESS": 0,
        "NVML_FI_DEV_POWER_INSTANT": 186,
        "nvmlDeviceGetTotalEnergyConsumption": lambda gpu: 123_456,
        "nvmlDeviceGetFieldValues": fields,
        "nvmlDeviceGetMPSComputeRunningProcesses": lambda gpu: [],
        "nvmlDeviceGetGraphicsRunningProcesses": lambda gpu: [],
        "nvmlDeviceGetComputeRunningProcesses": lambda gpu: [SimpleNamespace(pid=os.getpid(), usedGpuMemory=1)],
    }
    for name, value in entries.items():
        monkeypatch.setattr(library, name, value, raising=False)
    return library


def test_the_gauge_of_a_gpu(meter: ModuleType) -> None:
    with gpu_gauge() as gauge:
        assert isinstance(gauge, Gauge)
        assert (gauge.counter.scope, gauge.counter.read_j()) == ("gpu_board", 123.456)
        assert (gauge.power_w(), gauge.temperature_c(), gauge.foreign()) == (41.5, 41, "")
    assert meter.shut_down == 1


def test_the_power_of_an_older_gpu(meter: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = [SimpleNamespace(nvmlReturn=3, value=SimpleNamespace(uiVal=0))]
    monkeypatch.setattr(meter, "nvmlDeviceGetFieldValues", lambda gpu, numbers: lacking)
    with gpu_gauge() as gauge:
        assert isinstance(gauge, Gauge)
        assert gauge.power_w() == pytest.approx(30.4)
        monkeypatch.setattr(meter, "nvmlDeviceGetPowerUsage", _refused)
        assert gauge.power_w() is None
        monkeypatch.setattr(meter, "nvmlDeviceGetTemperature", _refused)
        assert gauge.temperature_c() is None


@pytest.mark.parametrize(
    ("query", "answer", "words"),
    [
        ("nvmlDeviceGetMigMode", (1, 1), "MIG"),
        ("nvmlDeviceGetMPSComputeRunningProcesses", [SimpleNamespace(pid=9, usedGpuMemory=1)], "MPS"),
        ("nvmlDeviceGetGraphicsRunningProcesses", [SimpleNamespace(pid=9, usedGpuMemory=1)], "1 other processes"),
        (
            "nvmlDeviceGetComputeRunningProcesses",
            [SimpleNamespace(pid=8, usedGpuMemory=1), SimpleNamespace(pid=9, usedGpuMemory=1)],
            "process ids are hidden",
        ),
    ],
)
def test_who_else_draws_power(
    query: str, answer: Any, words: str, meter: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, query, lambda gpu: answer)
    with gpu_gauge() as gauge:
        assert isinstance(gauge, Gauge)
        assert words in gauge.foreign()


def test_a_counter_that_is_lost(meter: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with gpu_gauge() as gauge:
        assert isinstance(gauge, Gauge)
        monkeypatch.setattr(meter, "nvmlDeviceGetTotalEnergyConsumption", _refused)
        with pytest.raises(CounterLostError, match="Not Supported"):
            gauge.counter.read_j()
    with gpu_gauge() as reason:
        assert isinstance(reason, str)
        assert "no energy counter" in reason


@pytest.mark.parametrize(("visible", "asked"), [("", 0), ("2,0", 2), ("GPU-1234", "GPU-1234"), ("MIG-5", 0), ("x", 0)])
def test_it_is_the_gpu_that_cuda_sees(
    visible: str, asked: int | str, meter: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    seen: list[int | str] = []
    for name in ("nvmlDeviceGetHandleByIndex", "nvmlDeviceGetHandleByUUID"):
        monkeypatch.setattr(meter, name, seen.append, raising=False)
    gpu_users()
    assert seen == [asked]
