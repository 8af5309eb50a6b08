"""What is read from NVIDIA's management library, and what is said where it is not there."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from simulation import simulated

from benchbox.backends.cuda.driver import Gpu, gpu_from_driver
from benchbox.errors import EnvironmentLackError
from benchbox.machine.energy_counter import CounterLostError, Gauge
from benchbox.machine.gpu import nvml
from benchbox.machine.gpu.facts import gpu_facts, gpu_now
from benchbox.machine.gpu.nvml import GpuUsers, gpu_gauge, gpu_users, held_gpu_clocks
from benchbox.machine.gpu.watch import gpu_watch


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
        "nvmlDeviceGetHandleByPciBusId": lambda pci: {b"0000:3b:00.0": "gpu"}[pci],
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
    monkeypatch.setattr(
        nvml, "gpu_from_driver", lambda: Gpu(name="NVIDIA L4", target="sm89", pci_bus_id="0000:3b:00.0")
    )
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
    assert users.own is None, "two came, and neither is known to be this process"
    assert users.others == 1
    users = gpu_users(frozenset({8}))
    assert users is not None
    assert (users.own, users.own_bytes, users.others) == (7, 1000, 1)
    users = gpu_users(frozenset({7}))
    assert users is not None
    assert (users.own, users.own_bytes) == (8, None), "listed, but its memory is not"


@pytest.mark.parametrize("missing", ["nvmlInit", "nvmlDeviceGetHandleByPciBusId"])
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


@pytest.mark.parametrize(
    ("listed", "before", "others"),
    [
        (set(), set(), 0),  # in a container the list may be empty although this process computes
        ({os.getpid()}, set(), 0),
        ({os.getpid(), os.getppid()}, {os.getppid()}, 1),  # the parent has no context of its own: it is as any other
        ({4711}, set(), 0),  # in a container: this process under the host's number
        ({4711}, {4711}, 1),  # somebody who was there before; this process is not listed
        ({4711, 5}, {5}, 1),
        ({4711, 5, 6}, {5}, 2),  # two came at once: one of them is this process
        ({os.getpid(), 5, 6}, {5}, 2),
    ],
)
def test_others_are_those_that_did_not_come_with_the_context(listed: set[int], before: set[int], others: int) -> None:
    assert GpuUsers(bytes_by_process=dict.fromkeys(listed, 1), before=frozenset(before)).others == others


@pytest.fixture
def meter(library: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The same GPU, which counts energy, used by this process alone."""

    def fields(gpu: str, numbers: list[Any]) -> list[Any]:
        assert numbers in ([185], [(185, 1)])
        return [SimpleNamespace(nvmlReturn=0 if numbers == [185] else 3, value=SimpleNamespace(uiVal=41_500))]

    entries = {
        "NVML_SUCCESS": 0,
        "NVML_FI_DEV_POWER_AVERAGE": 185,
        "NVML_POWER_SCOPE_MODULE": 1,
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


def test_the_gauge_of_a_module_of_gpu_and_cpu(meter: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counter counts both, so the power that is held against it is that of both."""

    def fields(gpu: str, numbers: list[Any]) -> list[Any]:
        return [SimpleNamespace(nvmlReturn=0, value=SimpleNamespace(uiVal={185: 41_500, (185, 1): 90_000}[numbers[0]]))]

    monkeypatch.setattr(meter, "nvmlDeviceGetFieldValues", fields)
    with gpu_gauge() as gauge:
        assert isinstance(gauge, Gauge)
        assert (gauge.counter.scope, gauge.power_w()) == ("gpu_module", 90.0)


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
        (
            "nvmlDeviceGetComputeRunningProcesses",
            [SimpleNamespace(pid=8, usedGpuMemory=1), SimpleNamespace(pid=9, usedGpuMemory=1)],
            "1 other processes",
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


def test_a_display_refuses_no_energy(meter: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A desktop draws a little; that it is there is flagged where inferences are timed."""
    drawing = [SimpleNamespace(pid=9, usedGpuMemory=1)]
    monkeypatch.setattr(meter, "nvmlDeviceGetGraphicsRunningProcesses", lambda gpu: drawing)
    with gpu_gauge() as gauge:
        assert isinstance(gauge, Gauge)
        assert gauge.foreign() == ""


def test_a_counter_that_is_lost(meter: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with gpu_gauge() as gauge:
        assert isinstance(gauge, Gauge)
        monkeypatch.setattr(meter, "nvmlDeviceGetTotalEnergyConsumption", _refused)
        with pytest.raises(CounterLostError, match="Not Supported"):
            gauge.counter.read_j()
    with gpu_gauge() as reason:
        assert isinstance(reason, str)
        assert "no energy counter" in reason


FAST = {"pci": "0000:81:00.0", "uuid": "GPU-8a8a8a8a-0000-0000-0000-000000000001", "speed": 2.0}
SLOW = {
    "pci": "0000:01:00.0",
    "uuid": "GPU-11111111-0000-0000-0000-000000000002",
    "speed": 1.0,
    "mig": ["MIG-22222222-0000-0000-0000-000000000003"],
}


@pytest.mark.parametrize(
    ("visible", "order", "pci"),
    [
        (None, None, FAST["pci"]),  # CUDA's order is by speed, the library's by place: index 0 is another GPU
        (None, "PCI_BUS_ID", SLOW["pci"]),
        ("1", None, SLOW["pci"]),
        ("1,0", "PCI_BUS_ID", FAST["pci"]),
        (SLOW["uuid"], None, SLOW["pci"]),
        ("GPU-1", None, SLOW["pci"]),
        ("GPU-8a", None, FAST["pci"]),
        (SLOW["mig"][0], None, SLOW["pci"]),
        ("", None, None),
        ("7", None, None),
    ],
)
def test_it_is_the_gpu_that_cuda_works_on(
    visible: str | None, order: str | None, pci: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The one that is looked at is the one that is locked; both of unlike GPUs, however one is chosen."""
    for name, value in (("CUDA_VISIBLE_DEVICES", visible), ("CUDA_DEVICE_ORDER", order)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    log = tmp_path / "clocks"
    with simulated(gpus=[SLOW, FAST], state=str(log), mig=int((visible or "").startswith("MIG-"))):
        if pci is None:
            assert gpu_now() == {}
            with pytest.raises(EnvironmentLackError), held_gpu_clocks(None):
                pytest.fail("no GPU is visible")
            return
        gpu, now = gpu_from_driver(), gpu_now()
        assert gpu.pci_bus_id == now["gpu_pci_bus_id"] == pci
        # The hash is that of the whole GPU; a MIG instance is named beside it.
        assert (now["gpu_uuid_hash"] == gpu.options()["gpu_uuid_hash"]) is ("gpu_mig_instance" not in now)
        assert now.get("gpu_mig_instance") == (gpu.options()["gpu_uuid_hash"] if "MIG" in (visible or "") else None)
        with held_gpu_clocks(None):
            pass
    assert [json.loads(line)["gpu"] for line in log.read_text().splitlines()] == [pci, pci]


def test_another_gpu_than_cudas_is_noticed() -> None:
    with simulated(gpus=[SLOW, FAST]), gpu_watch(cuda_pci_bus_id=SLOW["pci"]) as watch:
        assert watch is not None
        watch.begin()
        watch.look()
        assert watch.seen()["gpu_not_cudas"] == 1.0
