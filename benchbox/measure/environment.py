"""On what machine and with which software is a number taken? Everything that may move it, without any runtime."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchbox import __version__
from benchbox.measure.gpu_facts import gpu_facts, gpu_now
from benchbox.schema.environment import Environment

_PACKAGES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "onnx",
    "onnxscript",
    "numpy",
    "tensorrt",
    "tensorrt-rtx",
    "cuda-bindings",
    "pycuda",
    "openvino",
)
_VARIABLE_PREFIXES = (
    "OMP_",
    "MKL_",
    "ORT_",
    "KMP_",
    "OPENBLAS_",
    "CUDA_",
    "NVIDIA_",
    "PYTORCH_",
    "TORCH_",
    "OV_",
    "TBB_",
)
_HASH_DIGITS = 12


def capture(*, root: Path = Path("/"), locked_clocks: str = "") -> Environment:
    """The environment of this process now. Equal hashes mean comparable numbers.

    Args:
        root: where /proc and /sys are looked for; another folder in tests.
        locked_clocks: at what the GPU's clocks are held, "" where they are free.
    """
    hardware = {**_hardware(root), **({"gpu_clocks": f"locked, {locked_clocks}"} if locked_clocks else {})}
    software = _software()
    return Environment(
        hash=environment_hash(hardware, software), hardware=hardware, software=software, observed=_observed(root)
    )


def environment_hash(hardware: Mapping[str, str], software: Mapping[str, str]) -> str:
    """The first digits of the sha256 of both, whatever the order of their entries."""
    text = json.dumps([dict(hardware), dict(software)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]


def effective_cpus(*, root: Path = Path("/")) -> int:
    """CPUs that this process may really use: its affinity mask, bounded by the cgroup's quota; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(root=root)
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def cpu_quota(*, root: Path = Path("/")) -> float | None:
    """The cgroup's CPU quota in CPUs, None without one; version 2 first, then version 1."""
    unified = _text(root / "sys/fs/cgroup/cpu.max").split()
    if len(unified) == 2 and unified[0] != "max":
        return int(unified[0]) / int(unified[1])
    quota = _text(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    period = _text(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota and period and int(quota) > 0:
        return int(quota) / int(period)
    return None


def _hardware(root: Path) -> dict[str, str]:
    info = _cpu_info(root)
    found = {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cpu_family_model_stepping": " ".join(info.get(key, "?") for key in ("cpu family", "model", "stepping")),
        "machine": platform.machine(),
        "cpus": str(os.cpu_count() or 1),
        "cpus_allowed": str(effective_cpus(root=root)),
        "cpu_quota": str(cpu_quota(root=root) or "none"),
        "memory_gib": _memory_gib(root),
        "governor": _text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "unknown",
        "smt": _text(root / "sys/devices/system/cpu/smt/control") or "unknown",
        "hypervisor": "yes" if "hypervisor" in info.get("flags", "").split() else "no",
        "transparent_hugepages": _text(root / "sys/kernel/mm/transparent_hugepage/enabled") or "unknown",
        "isa": " ".join(flag for flag in info.get("flags", "").split() if flag.startswith(("avx", "amx", "fma"))),
    }
    return {**{name: value for name, value in found.items() if value}, **gpu_facts()}


def _software() -> dict[str, str]:
    found = {
        "benchbox": __version__,
        "python": platform.python_version(),
        "kernel": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()).strip() or "unknown",
    }
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    for name in sorted(os.environ):
        if name.startswith(_VARIABLE_PREFIXES):
            found[f"env {name}"] = os.environ[name]
    return found


def _observed(root: Path) -> dict[str, str]:
    load = _text(root / "proc/loadavg").split()
    found = {
        "host": hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8],
        "load_1min": load[0] if load else "unknown",
        "memory_available": _memory_line(root, "MemAvailable"),
        "swap_total": _memory_line(root, "SwapTotal"),
        "container": _container(root),
        "commit": _commit(),
        **gpu_now(),
    }
    return {name: value for name, value in found.items() if value}


def _cpu_info(root: Path) -> dict[str, str]:
    """The first processor's entries of /proc/cpuinfo."""
    first = _text(root / "proc/cpuinfo").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _memory_line(root: Path, name: str) -> str:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith(f"{name}:"):
            return line.partition(":")[2].strip()
    return ""


def _memory_gib(root: Path) -> str:
    total = _memory_line(root, "MemTotal").split()
    # Rounded: the kernel's own share differs from boot to boot.
    return str(round(int(total[0]) / 2**20)) if total else ""


def _container(root: Path) -> str:
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    return "kubernetes" if "KUBERNETES_SERVICE_HOST" in os.environ else "none seen"


def _commit() -> str:
    """The git commit of the working directory, with a mark if it has changes; "" outside a repository."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
