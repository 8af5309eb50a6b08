"""Is there an NVIDIA GPU, and which one?

The driver's own library is asked through ctypes: no package is needed to learn that there is no GPU.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchbox.errors import EnvironmentLackError

LIBRARY = "libcuda.so.1"
SIMULATED = "simulated"  # how the name of the tests' device begins
# CUdevice_attribute values of cuda.h.
_COMPUTE_CAPABILITY_MAJOR = 75
_COMPUTE_CAPABILITY_MINOR = 76
_NAME_BYTES = 256
_FIRST_WITH_TF32 = 80
_REMEDY = "install the NVIDIA driver, or pass the GPU into the container (docker run --gpus all)"


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU as the driver names it.

    ``target`` is its compute capability ("sm89"); ``l2_bytes`` the size of its last cache, None where it was not asked
    for or is not told; ``simulated`` is true of the device that the tests pretend to have: its numbers are no
    measurements.
    """

    name: str
    target: str
    l2_bytes: int | None = None

    @property
    def simulated(self) -> bool:
        """Whether this is the pretended device of the tests."""
        return self.name.startswith(SIMULATED)

    @property
    def has_tf32(self) -> bool:
        """Whether its tensor cores have TF32: Ampere, compute capability 8.0, was the first."""
        digits = self.target.removeprefix("sm")
        return digits.isdigit() and int(digits) >= _FIRST_WITH_TF32

    def __str__(self) -> str:
        return f"{self.name} ({self.target})"


def l2_option(gpu: Gpu) -> dict[str, str]:
    """The size of the cache as an option of a session's evidence; nothing where it is not told."""
    return {} if gpu.l2_bytes is None else {"gpu_l2_bytes": str(gpu.l2_bytes)}


def gpu_from_driver(load: Callable[[str], Any] = ctypes.CDLL) -> Gpu:
    """The first GPU that CUDA_VISIBLE_DEVICES leaves visible.

    Args:
        load: opens the driver's library by name; raises OSError where there is none.

    Raises:
        EnvironmentLackError: no driver, a driver that does not start, or no GPU.
    """
    try:
        driver = load(LIBRARY)
    except OSError as error:
        raise EnvironmentLackError("there is no NVIDIA driver", values=str(error), remedy=_REMEDY) from error
    _require_success(driver.cuInit(0), "cuInit")
    count = ctypes.c_int()
    _require_success(driver.cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
    if count.value < 1:
        raise EnvironmentLackError(
            "the NVIDIA driver shows no GPU", values="cuDeviceGetCount: 0", remedy="check CUDA_VISIBLE_DEVICES"
        )
    device = ctypes.c_int()
    _require_success(driver.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
    name = ctypes.create_string_buffer(_NAME_BYTES)
    _require_success(driver.cuDeviceGetName(name, _NAME_BYTES, device), "cuDeviceGetName")
    major, minor = (
        _attribute(driver, which, device) for which in (_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR)
    )
    return Gpu(name=name.value.decode(errors="replace"), target=f"sm{major}{minor}")


def _attribute(driver: Any, which: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    _require_success(driver.cuDeviceGetAttribute(ctypes.byref(value), which, device), "cuDeviceGetAttribute")
    return value.value


def _require_success(status: int, call: str) -> None:
    if status != 0:
        raise EnvironmentLackError("the NVIDIA driver does not work", values=f"{call}: error {status}", remedy=_REMEDY)
