"""What the driver's answers mean, without a driver."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from benchbox.backends.cuda.driver import LIBRARY, Gpu, gpu_from_driver, l2_option
from benchbox.backends.cuda.slots import flush_bytes
from benchbox.errors import EnvironmentLackError


class Driver:
    """The entry points that are called, answering through pointers as the library does."""

    def __init__(self, *, devices: int = 1, status: int = 0) -> None:
        self.devices = devices
        self.status = status

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
        value._obj.value = {75: 8, 76: 9}[which]
        return 0


def test_the_gpu_is_named_with_its_compute_capability() -> None:
    gpu = gpu_from_driver(lambda name: {LIBRARY: Driver()}[name])
    assert (gpu.name, gpu.target, str(gpu)) == ("NVIDIA L4", "sm89", "NVIDIA L4 (sm89)")


@pytest.mark.parametrize(
    ("driver", "words"),
    [(Driver(status=999), "cuInit: error 999"), (Driver(devices=0), "CUDA_VISIBLE_DEVICES")],
)
def test_a_driver_without_a_gpu_says_so(driver: Driver, words: str) -> None:
    with pytest.raises(EnvironmentLackError, match=words):
        gpu_from_driver(lambda _: driver)


def test_no_driver_says_so() -> None:
    def absent(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    with pytest.raises(EnvironmentLackError, match=r"no NVIDIA driver\n.*libcuda"):
        gpu_from_driver(absent)


def test_a_cache_that_is_not_told_is_absent() -> None:
    assert l2_option(Gpu(name="a", target="sm90")) == {}
    assert l2_option(Gpu(name="a", target="sm90", l2_bytes=50 << 20)) == {"gpu_l2_bytes": "52428800"}


@pytest.mark.parametrize(("l2_mib", "flushed_mib"), [(None, 256), (50, 256), (200, 400)])
def test_twice_the_cache_is_written_over(l2_mib: int | None, flushed_mib: int) -> None:
    assert flush_bytes(None if l2_mib is None else l2_mib << 20) == flushed_mib << 20
