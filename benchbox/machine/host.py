"""What is this machine, how is it set, and how is it at this moment? As text, from /proc and /sys.

Facts persist across boots unless someone changes a setting, and may change numbers: they enter the
environment's hash. What is read "now" changes by itself and never enters it. Everything is read from files that may be
missing; what is missing is left out, or "unknown" where people ask for it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchbox.limits import cpu_quota, effective_cpus, memory_limit

_CPU = Path("sys/devices/system/cpu")
_CLOCKSOURCE = Path("sys/devices/system/clocksource/clocksource0/current_clocksource")
_ASLR = {"0": "off", "1": "stack and libraries", "2": "full"}
# /proc/version in gVisor, which presents itself as this kernel.
_GVISOR = "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016"
_MIB_PER_GIB_IN_KIB = 2**20


def host_facts(root: Path) -> dict[str, str]:
    """Processor, memory, settings and limits of the machine and of this process's container."""
    info = cpu_info(root)
    flags = _flags(info)
    found = {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cpu_family_model_stepping": " ".join(info.get(key, "?") for key in ("cpu family", "model", "stepping")),
        "microcode": info.get("microcode", ""),
        "machine": platform.machine(),
        "cpus": str(os.cpu_count() or 1),
        "cpus_allowed": str(effective_cpus(root=root)),
        "cpu_quota": str(cpu_quota(root=root) or "none"),
        "sockets": _count(root, "physical_package_id"),
        "cores": _cores(root),
        "numa_nodes": str(len(list((root / "sys/devices/system/node").glob("node[0-9]*"))) or ""),
        "memory_gib": _memory_gib(root),
        "memory_limit_gib": _memory_limit_gib(root),
        "governor": read_text(root / _CPU / "cpu0/cpufreq/scaling_governor") or "unknown",
        "turbo": _turbo(root),
        "smt": read_text(root / _CPU / "smt/control") or "unknown",
        "idle_driver": read_text(root / _CPU / "cpuidle/current_driver"),
        "aslr": _ASLR.get(read_text(root / "proc/sys/kernel/randomize_va_space"), "unknown"),
        "clock_source": read_text(root / _CLOCKSOURCE),
        "hypervisor": "yes" if "hypervisor" in flags else "no",
        "hypervisor_kind": hypervisor_kind(root),
        "transparent_hugepages": read_text(root / "sys/kernel/mm/transparent_hugepage/enabled") or "unknown",
        "isa": " ".join(_vector_instructions(flags)),
    }
    return {name: value for name, value in found.items() if value}


def host_now(root: Path) -> dict[str, str]:
    """Load, pressure, free memory, place and time: what differs from run to run."""
    load = read_text(root / "proc/loadavg").split()
    uptime = read_text(root / "proc/uptime").split()
    found = {
        "captured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8],
        "load_1min": load[0] if load else "unknown",
        "pressure_cpu": _pressure(root, "cpu"),
        "pressure_memory": _pressure(root, "memory"),
        "uptime_h": f"{float(uptime[0]) / 3600:.1f}" if uptime else "",
        "memory_available": memory_line(root, "MemAvailable"),
        "swap_total": memory_line(root, "SwapTotal"),
        "swap_free": memory_line(root, "SwapFree"),
        "cpus_allowed_list": _affinity(),
        "low_priority": low_priority(),
        "temperature_c": _temperature(root),
        "clock_resolution_ns": f"{1e9 * time.get_clock_info('perf_counter').resolution:g}",
        "container": _container(root),
    }
    return {name: value for name, value in found.items() if value}


def low_priority() -> str:
    """What lets other work go before this thread and what it starts: "nice 15", "idle"; "" if nothing (sched(7))."""
    nice = os.getpriority(os.PRIO_PROCESS, 0) if hasattr(os, "getpriority") else 0
    idle = hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) == os.SCHED_IDLE
    return ", ".join(part for part in ("idle" if idle else "", f"nice {nice}" if nice > 0 else "") if part)


def operating_system(root: Path) -> str:
    """What /etc/os-release calls itself, "" without one."""
    for line in read_text(root / "etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip().strip('"')
    return ""


def hypervisor_kind(root: Path) -> str:
    """What virtualises this machine, as far as it gives itself away; "" where nothing does."""
    version = read_text(root / "proc/version")
    command = read_text(root / "proc/cmdline")
    if version.startswith(_GVISOR) or "gvisor" in version.lower():
        return "gVisor"
    if "firecracker" in command or "virtio_mmio.device" in command:
        return "Firecracker"
    if "microsoft" in version.lower():
        return "WSL"
    vendor = read_text(root / "sys/class/dmi/id/sys_vendor")
    known = {"QEMU": "QEMU", "VMware": "VMware", "Amazon EC2": "Amazon EC2", "Google": "Google", "Xen": "Xen"}
    for word, name in {**known, "innotek": "VirtualBox", "Microsoft Corporation": "Hyper-V"}.items():
        if word in vendor:
            return name
    return read_text(root / "sys/hypervisor/type")


def instruction_sets(root: Path = Path("/")) -> frozenset[str]:
    """The vector and matrix instructions of the first processor, by the kernel's names."""
    return frozenset(_vector_instructions(_flags(cpu_info(root))))


def _flags(info: Mapping[str, str]) -> list[str]:
    return info.get("flags", info.get("Features", "")).split()


def _vector_instructions(flags: Sequence[str]) -> list[str]:
    return [flag for flag in flags if flag.startswith(("avx", "amx", "fma", "sve", "asimd"))]


def cpu_info(root: Path) -> dict[str, str]:
    """The first processor's entries of /proc/cpuinfo."""
    first = read_text(root / "proc/cpuinfo").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def memory_line(root: Path, name: str) -> str:
    """An entry of /proc/meminfo with its unit, "" without it."""
    for line in read_text(root / "proc/meminfo").splitlines():
        if line.startswith(f"{name}:"):
            return line.partition(":")[2].strip()
    return ""


def read_text(path: Path) -> str:
    """A file's text without blanks around it; "" where it cannot be read."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _memory_gib(root: Path) -> str:
    total = memory_line(root, "MemTotal").split()
    # Rounded: the kernel's own share differs from boot to boot.
    return str(round(int(total[0]) / _MIB_PER_GIB_IN_KIB)) if total else ""


def _memory_limit_gib(root: Path) -> str:
    limit = memory_limit(root=root)
    return "" if limit is None else f"{limit / 2**30:.3g}"


def _count(root: Path, name: str) -> str:
    """How many different values a file of the topology has over all CPUs."""
    values = {read_text(file) for file in (root / _CPU).glob(f"cpu[0-9]*/topology/{name}")}
    return str(len(values)) if values else ""


def _cores(root: Path) -> str:
    places = {
        (read_text(folder / "physical_package_id"), read_text(folder / "core_id"))
        for folder in (root / _CPU).glob("cpu[0-9]*/topology")
    }
    return str(len(places)) if places else ""


def _turbo(root: Path) -> str:
    """Whether clocks above the nominal one are allowed: intel_pstate says it the other way round."""
    never = read_text(root / _CPU / "intel_pstate/no_turbo")
    boost = read_text(root / _CPU / "cpufreq/boost")
    if never in {"0", "1"}:
        return "off" if never == "1" else "on"
    return {"0": "off", "1": "on"}.get(boost, "unknown")


def _pressure(root: Path, name: str) -> str:
    """Share of the last 10 s in which some task waited, "12.3 %"; "" where the kernel does not count it."""
    words = read_text(root / f"proc/pressure/{name}").split()
    averages = dict(word.split("=") for word in words[:5] if "=" in word)
    return f"{averages['avg10']} %" if "avg10" in averages else ""


def _affinity() -> str:
    if not hasattr(os, "sched_getaffinity"):
        return ""
    allowed = sorted(os.sched_getaffinity(0))
    parts: list[list[int]] = []
    for cpu in allowed:
        if parts and parts[-1][1] == cpu - 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def _temperature(root: Path) -> str:
    """The hottest thermal zone."""
    readings = [read_text(file) for file in (root / "sys/class/thermal").glob("thermal_zone*/temp")]
    degrees = [int(text) / 1000 for text in readings if text.lstrip("-").isdigit()]
    return f"{max(degrees):.0f}" if degrees else ""


def _container(root: Path) -> str:
    """Which kind of container this is, with its image where that is known."""
    if (root / "run/.containerenv").exists():
        for line in read_text(root / "run/.containerenv").splitlines():
            if line.startswith("image="):
                return f"podman, {line.partition('=')[2].strip().strip(chr(34))}"
        return "podman"
    if (root / ".dockerenv").exists():
        return "docker"
    return "kubernetes" if "KUBERNETES_SERVICE_HOST" in os.environ else "none seen"
