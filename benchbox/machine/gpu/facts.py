"""What is the GPU, how is it set, and how is it at this moment? As text, from NVIDIA's management library.

Facts stay until somebody changes a setting or a driver, and may move numbers: they enter the environment's hash. What
is read "now" changes by itself and never enters it. A query that this GPU refuses is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchbox.backends.cuda.driver import PCI_OPTION, UUID_OPTION, gpu_from_driver, uuid_hash
from benchbox.machine.gpu.nvml import first_gpu_handle, read_or_none, text_of


def gpu_facts(root: Path = Path("/")) -> dict[str, str]:
    """What the first GPU is and how it is set; empty without NVML.

    Args:
        root: where /sys is looked for; another folder in tests.
    """
    with first_gpu_handle() as found:
        if found is None:
            return {}
        api, device = found
        return _answers(api, {**_identity(api, device), **_settings(api, device), **_limits(api, device)}) | _numa(
            api, device, root
        )


def gpu_now() -> dict[str, str]:
    """Which GPU it is, its clock, temperature, power draw, link and used memory now; empty without NVML."""
    with first_gpu_handle() as found:
        if found is None:
            return {}
        api, device = found
        return _answers(
            api,
            {
                PCI_OPTION: lambda: pci_bus_id(api, device) or None,
                UUID_OPTION: lambda: uuid_hash(text_of(api.nvmlDeviceGetUUID(device))),
                "gpu_mig_instance": lambda: _instance(api, device),
                "gpu_sm_clock_mhz": lambda: api.nvmlDeviceGetClockInfo(device, api.NVML_CLOCK_SM),
                "gpu_memory_clock_mhz": lambda: api.nvmlDeviceGetClockInfo(device, api.NVML_CLOCK_MEM),
                "gpu_temperature_c": lambda: api.nvmlDeviceGetTemperature(device, api.NVML_TEMPERATURE_GPU),
                "gpu_power_w": lambda: round(api.nvmlDeviceGetPowerUsage(device) / 1000),
                "gpu_memory_used_mib": lambda: api.nvmlDeviceGetMemoryInfo(device).used // 2**20,
                "gpu_pcie": lambda: (
                    f"generation {api.nvmlDeviceGetCurrPcieLinkGeneration(device)}, "
                    f"{api.nvmlDeviceGetCurrPcieLinkWidth(device)} lanes"
                ),
                "gpu_accounting": lambda: api.nvmlDeviceGetAccountingMode(device),
                "gpu_processes": lambda: len(api.nvmlDeviceGetComputeRunningProcesses(device)),
                "gpu_mps_processes": lambda: len(api.nvmlDeviceGetMPSComputeRunningProcesses(device)),
                "gpu_remapped_rows": lambda: _remapped(api, device),
            },
        )


def pci_bus_id(api: Any, device: Any) -> str:
    """The GPU's address on the bus as CUDA and the kernel write it ("0000:3b:00.0"); "" where unknown.

    NVML writes the domain with eight hexadecimal digits, the others with four.
    """
    address = read_or_none(api, lambda: text_of(api.nvmlDeviceGetPciInfo(device).busId).strip("\0").lower())
    domain, _, rest = (address or "").partition(":")
    return f"{domain[-4:]}:{rest}" if rest else ""


def numa_node(api: Any, device: Any, root: Path) -> int | None:
    """The NUMA node that the GPU is attached to, None where the machine has none or does not report it."""
    address = pci_bus_id(api, device)
    try:
        node = int((root / "sys/bus/pci/devices" / address / "numa_node").read_text()) if address else -1
    except (OSError, ValueError):
        return None
    return node if node >= 0 else None


def _numa(api: Any, device: Any, root: Path) -> dict[str, str]:
    node = numa_node(api, device, root)
    return {} if node is None else {"gpu_numa_node": str(node)}


def _identity(api: Any, device: Any) -> Mapping[str, Callable[[], Any]]:
    return {
        "gpu": lambda: text_of(api.nvmlDeviceGetName(device)),
        "gpu_memory_gib": lambda: round(api.nvmlDeviceGetMemoryInfo(device).total / 2**30),
        "gpu_compute_capability": lambda: ".".join(map(str, api.nvmlDeviceGetCudaComputeCapability(device))),
        "gpu_cores": lambda: api.nvmlDeviceGetNumGpuCores(device),
        "gpu_memory_bus_bits": lambda: api.nvmlDeviceGetMemoryBusWidth(device),
        "gpu_vbios": lambda: text_of(api.nvmlDeviceGetVbiosVersion(device)),
        "nvidia_driver": lambda: text_of(api.nvmlSystemGetDriverVersion()),
        "cuda_driver": lambda: _dotted(api.nvmlSystemGetCudaDriverVersion()),
    }


def _settings(api: Any, device: Any) -> Mapping[str, Callable[[], Any]]:
    return {
        "gpu_power_limit_w": lambda: api.nvmlDeviceGetEnforcedPowerLimit(device) // 1000,
        "gpu_power_limit_set_w": lambda: api.nvmlDeviceGetPowerManagementLimit(device) // 1000,
        "gpu_application_sm_clock_mhz": lambda: api.nvmlDeviceGetApplicationsClock(device, api.NVML_CLOCK_SM),
        "gpu_application_memory_clock_mhz": lambda: api.nvmlDeviceGetApplicationsClock(device, api.NVML_CLOCK_MEM),
        "gpu_persistence": lambda: api.nvmlDeviceGetPersistenceMode(device),
        "gpu_ecc": lambda: api.nvmlDeviceGetEccMode(device)[0],
        "gpu_compute_mode": lambda: api.nvmlDeviceGetComputeMode(device),
        "gpu_mig": lambda: api.nvmlDeviceGetMigMode(device)[0],
        "gpu_confidential_compute": lambda: api.nvmlSystemGetConfComputeState().ccFeature,
    }


def _limits(api: Any, device: Any) -> Mapping[str, Callable[[], Any]]:
    return {
        "gpu_power_limit_default_w": lambda: api.nvmlDeviceGetPowerManagementDefaultLimit(device) // 1000,
        "gpu_max_sm_clock_mhz": lambda: api.nvmlDeviceGetMaxClockInfo(device, api.NVML_CLOCK_SM),
        "gpu_max_memory_clock_mhz": lambda: api.nvmlDeviceGetMaxClockInfo(device, api.NVML_CLOCK_MEM),
        "gpu_slowdown_c": lambda: api.nvmlDeviceGetTemperatureThreshold(
            device, api.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
        ),
        "gpu_pcie_max": lambda: (
            f"generation {api.nvmlDeviceGetMaxPcieLinkGeneration(device)}, "
            f"{api.nvmlDeviceGetMaxPcieLinkWidth(device)} lanes"
        ),
    }


def _answers(api: Any, reads: Mapping[str, Callable[[], Any]]) -> dict[str, str]:
    answers = {name: read_or_none(api, read) for name, read in reads.items()}
    return {name: str(value) for name, value in answers.items() if value is not None}


def _remapped(api: Any, device: Any) -> str | None:
    """Rows of memory that were replaced, where some were or wait to be."""
    corrected, uncorrected, pending, failed = api.nvmlDeviceGetRemappedRows(device)
    if not (corrected or uncorrected or pending or failed):
        return None
    notes = [text for text, is_so in (("more wait for a reset", pending), ("one could not be", failed)) if is_so]
    return ", ".join([str(corrected + uncorrected), *notes])


def _instance(api: Any, device: Any) -> str | None:
    """Which MIG instance CUDA works on, as a hash of its UUID; None on a whole GPU."""
    if not api.nvmlDeviceGetMigMode(device)[0]:
        return None
    return uuid_hash(gpu_from_driver().uuid)


def _dotted(version: int) -> str:
    """13020 -> "13.2"."""
    return f"{version // 1000}.{version % 1000 // 10}"
