"""What the driver's answers mean, without a driver."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest

from benchbox.backends.cuda.driver import LIBRARY, Gpu, gpu_from_driver
from benchbox.backends.cuda.slots import flush_bytes
from benchbox.errors import EnvironmentLackError


class Driver:
    """The entry points that are called, answering through pointers as the library does."""

    def __init__(
        self,
        *,
        devices: int = 1,
        status: int = 0,
        l2_bytes: int = 48 << 20,
        schedule: int = 0,
        integrated: int = 0,
    ) -> None:
        self.schedule = schedule
        self.integrated = integrated
        self.devices = devices
        self.status = status
        self.l2_bytes = l2_bytes

    def cuInit(self, flags: int) -> int:
        assert flags == 0
        return self.status

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = self.devices
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:
        device._obj.value = ordinal
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: ctypes.c_int) -> int:
        assert len(name) == size
        name.value = b"NVIDIA L4"
        return 0

    def cuDeviceGetAttribute(self, value: Any, which: int, device: ctypes.c_int) -> int:
        value._obj.value = {75: 8, 76: 9, 38: self.l2_bytes, 20: 3, 13: 2_040_000, 18: self.integrated}[which]
        return 0

    def cuDeviceGetPCIBusId(self, text: Any, size: int, device: ctypes.c_int) -> int:
        assert len(text) == size
        text.value = b"0000:3B:00.0"
        return 0

    def cuDeviceGetUuid_v2(self, identity: Any, device: ctypes.c_int) -> int:
        identity.raw = bytes(range(16))
        return 0

    def cuDevicePrimaryCtxGetState(self, device: ctypes.c_int, flags: Any, active: Any) -> int:
        active._obj.value = 1
        flags._obj.value = 0x8 | self.schedule  # and another flag (map host)
        return 0


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Callable[[Driver], None]:
    """Puts a driver in the place of this machine's."""

    def install(driver: Driver) -> None:
        monkeypatch.setattr(ctypes, "CDLL", lambda name: {LIBRARY: driver}[name])

    return install


@pytest.mark.parametrize(("flag", "word"), [(0, "auto"), (1, "spin"), (2, "yield"), (4, "blocking")])
def test_how_the_host_waits_is_the_contexts(flag: int, word: str, library: Callable[[Driver], None]) -> None:
    library(Driver(schedule=flag))
    assert gpu_from_driver().options()["gpu_host_wait"] == word


def test_a_gpu_that_shares_the_hosts_memory_says_so(library: Callable[[Driver], None]) -> None:
    library(Driver())
    assert "gpu_integrated" not in gpu_from_driver().options()
    library(Driver(integrated=1))
    assert gpu_from_driver().options()["gpu_integrated"] == "yes"


def test_the_gpu_is_named_with_its_compute_capability_and_its_place(library: Callable[[Driver], None]) -> None:
    library(Driver())
    gpu = gpu_from_driver()
    assert (gpu.name, gpu.target, str(gpu)) == ("NVIDIA L4", "sm89", "NVIDIA L4 (sm89)")
    assert (gpu.pci_bus_id, gpu.uuid) == ("0000:3b:00.0", "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f")
    assert (gpu.l2_bytes, gpu.exclusive, gpu.prohibited, gpu.entered) == (48 << 20, True, False, True)
    assert gpu.clock_hz == 2.04e9


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        (Driver(status=999), "cuInit: error 999"),
        (Driver(status=100), "shows no GPU"),
        (Driver(devices=0), "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_a_driver_without_a_gpu_says_so(driver: Driver, words: str, library: Callable[[Driver], None]) -> None:
    driver.devices = 0 if driver.status else driver.devices
    library(driver)
    with pytest.raises(EnvironmentLackError, match=words):
        gpu_from_driver()


def test_no_driver_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    with pytest.raises(EnvironmentLackError, match=r"no NVIDIA driver\n.*libcuda"):
        gpu_from_driver()


def test_what_is_unknown_of_a_gpu_is_absent_from_the_evidence(library: Callable[[Driver], None]) -> None:
    assert Gpu(name="a", target="sm90").options() == {}
    library(Driver(l2_bytes=0))
    options = gpu_from_driver().options()
    assert options["gpu_pci_bus_id"] == "0000:3b:00.0"
    assert len(options["gpu_uuid_hash"]) == 8
    assert "gpu_l2_bytes" not in options
    assert Gpu(name="a", target="sm90", l2_bytes=50 << 20).options() == {"gpu_l2_bytes": "52428800"}


@pytest.mark.parametrize(("l2_mib", "flushed_mib"), [(None, 256), (50, 256), (200, 400)])
def test_twice_the_cache_is_written_over(l2_mib: int | None, flushed_mib: int) -> None:
    assert flush_bytes(None if l2_mib is None else l2_mib << 20) == flushed_mib << 20
