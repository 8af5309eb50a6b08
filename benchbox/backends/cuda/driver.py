"""Is there an NVIDIA GPU, and which one?

The driver's own library is asked through ctypes, and only what makes no CUDA context: the process that asks may go on
and start others that measure, and a context of its own would be another user of the GPU.
"""

from __future__ import annotations

import ctypes
import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

from benchbox.errors import EnvironmentLackError

LIBRARY = "libcuda.so.1"
SIMULATED = "simulated"  # how the name of the tests' device begins
PCI_OPTION, UUID_OPTION, L2_OPTION = "gpu_pci_bus_id", "gpu_uuid_hash", "gpu_l2_bytes"
WAIT_OPTION, INTEGRATED_OPTION = "gpu_host_wait", "gpu_integrated"
# CU_CTX_SCHED_* of cuda.h: "auto" spins where there are more processors than contexts, on Tegra it may sleep.
_SCHEDULES = {0: "auto", 1: "spin", 2: "yield", 4: "blocking"}
_SCHEDULE_MASK = 0x7
# CUdevice_attribute and CUcomputemode values of cuda.h.
_CLOCK_RATE_KHZ, _INTEGRATED, _COMPUTE_MODE, _L2_CACHE_SIZE = 13, 18, 20, 38
_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76
_PROHIBITED, _EXCLUSIVE_PROCESS = 2, 3
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_NAME_BYTES, _PCI_BYTES, _UUID_BYTES = 256, 64, 16
_FIRST_WITH_TF32 = 80
_HASH_DIGITS = 8
_REMEDY = "install the NVIDIA driver, or pass the GPU into the container (docker run --gpus all)"


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU as the driver reports it.

    ``target`` is its compute capability ("sm89"); ``l2_bytes`` the size of its last-level cache, None where unknown;
    ``pci_bus_id`` ("0000:3b:00.0") and ``uuid`` ("GPU-...", or that of a MIG instance) say which
    one of several it is; ``compute_mode`` is CUDA's number; ``entered`` says that this process has its primary context;
    ``clock_hz`` is the SM clock that it is sold with, below the highest that it reaches; ``host_wait`` how a host
    thread that waits for the device does it ("auto", "spin", "yield", "blocking"); ``integrated`` says that it shares
    the host's memory, as on a Jetson.
    """

    name: str
    target: str
    l2_bytes: int | None = None
    pci_bus_id: str = ""
    uuid: str = ""
    compute_mode: int = 0
    entered: bool = False
    clock_hz: float | None = None
    host_wait: str = ""
    integrated: bool = False

    @property
    def simulated(self) -> bool:
        """Whether this is the simulated device of the tests, whose numbers are no measurements."""
        return self.name.startswith(SIMULATED)

    @property
    def has_tf32(self) -> bool:
        """Whether its tensor cores have TF32: Ampere, compute capability 8.0, was the first."""
        digits = self.target.removeprefix("sm")
        return digits.isdigit() and int(digits) >= _FIRST_WITH_TF32

    @property
    def exclusive(self) -> bool:
        """Whether only one process at a time may have a context on it (compute mode EXCLUSIVE_PROCESS)."""
        return self.compute_mode == _EXCLUSIVE_PROCESS

    @property
    def prohibited(self) -> bool:
        """Whether no process may have a context on it (compute mode PROHIBITED)."""
        return self.compute_mode == _PROHIBITED

    def options(self) -> dict[str, str]:
        """Which GPU it is, its cache and how the host waits for it, for evidence; what is unknown is left out."""
        found = {
            PCI_OPTION: self.pci_bus_id,
            UUID_OPTION: uuid_hash(self.uuid) if self.uuid else "",
            L2_OPTION: str(self.l2_bytes or ""),
            WAIT_OPTION: self.host_wait,
            INTEGRATED_OPTION: "yes" if self.integrated else "",
        }
        return {name: value for name, value in found.items() if value}

    def __str__(self) -> str:
        return f"{self.name} ({self.target})"


def uuid_hash(text: str) -> str:
    """Eight digits that tell GPUs apart without naming them; ``text`` is "GPU-..." or the UUID of a MIG instance."""
    return hashlib.sha256(text.removeprefix("GPU-").removeprefix("MIG-").encode()).hexdigest()[:_HASH_DIGITS]


def gpu_from_driver() -> Gpu:
    """The first GPU that CUDA shows this process: the one that CUDA_VISIBLE_DEVICES names first, else the fastest.

    Raises:
        EnvironmentLackError: no driver, a driver that does not start, or no GPU.
    """
    try:
        driver = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise EnvironmentLackError("there is no NVIDIA driver", values=str(error), remedy=_REMEDY) from error
    status = driver.cuInit(0)
    count = ctypes.c_int()
    if status != _NO_DEVICE:
        _require_success(status, "cuInit")
        _require_success(driver.cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
    if count.value < 1:
        raise EnvironmentLackError(
            "the NVIDIA driver shows no GPU", values="cuDeviceGetCount: 0", remedy="check CUDA_VISIBLE_DEVICES"
        )
    device = ctypes.c_int()
    _require_success(driver.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
    name, address = ctypes.create_string_buffer(_NAME_BYTES), ctypes.create_string_buffer(_PCI_BYTES)
    identity = ctypes.create_string_buffer(_UUID_BYTES)
    _require_success(driver.cuDeviceGetName(name, _NAME_BYTES, device), "cuDeviceGetName")
    _require_success(driver.cuDeviceGetPCIBusId(address, _PCI_BYTES, device), "cuDeviceGetPCIBusId")
    _require_success(driver.cuDeviceGetUuid_v2(identity, device), "cuDeviceGetUuid_v2")
    flags, active = ctypes.c_uint(), ctypes.c_int()
    _require_success(
        driver.cuDevicePrimaryCtxGetState(device, ctypes.byref(flags), ctypes.byref(active)),
        "cuDevicePrimaryCtxGetState",
    )
    major = _attribute(driver, _COMPUTE_CAPABILITY_MAJOR, device)
    return Gpu(
        name=name.value.decode(errors="replace"),
        target=f"sm{major}{_attribute(driver, _COMPUTE_CAPABILITY_MINOR, device)}",
        l2_bytes=_attribute(driver, _L2_CACHE_SIZE, device) or None,
        pci_bus_id=address.value.decode().lower(),
        uuid=f"GPU-{uuid.UUID(bytes=identity.raw)}",
        compute_mode=_attribute(driver, _COMPUTE_MODE, device),
        entered=bool(active.value),
        clock_hz=_attribute(driver, _CLOCK_RATE_KHZ, device) * 1e3 or None,
        integrated=bool(_attribute(driver, _INTEGRATED, device)),
        host_wait=_SCHEDULES.get(flags.value & _SCHEDULE_MASK, ""),
    )


def newest_cuda() -> int:
    """The newest CUDA that the driver can do, as CUDA writes it: 12060 is 12.6; 0 where the driver does not say."""
    version = ctypes.c_int()
    try:
        status = ctypes.CDLL(LIBRARY).cuDriverGetVersion(ctypes.byref(version))
    except OSError:
        return 0
    return version.value if status == 0 else 0


def dotted(version: int) -> str:
    """12060 as people write it: "12.6"."""
    return f"{version // 1000}.{version % 1000 // 10}"


def _attribute(driver: Any, which: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    _require_success(driver.cuDeviceGetAttribute(ctypes.byref(value), which, device), "cuDeviceGetAttribute")
    return value.value


def _require_success(status: int, call: str) -> None:
    if status != 0:
        raise EnvironmentLackError("the NVIDIA driver does not work", values=f"{call}: error {status}", remedy=_REMEDY)
