"""How much of this machine may this process use: CPUs and memory, by its affinity mask and its control groups?

A limit of a control group holds for all groups below it, so the smallest one on the way from the group of this process
to the root counts: systemd nests slices, and a container may be a group in a group.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

# Where the hierarchy of version 2 is mounted, alone or beside those of version 1.
_UNIFIED = ("sys/fs/cgroup", "sys/fs/cgroup/unified")
# Version 1 writes "no limit" as the largest number of pages.
_NO_LIMIT_BYTES = 1 << 60


def effective_cpus(*, root: Path = Path("/")) -> int:
    """CPUs that this process may really use: its affinity mask, bounded by the CPU quota; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(root=root)
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def cpu_quota(*, root: Path = Path("/")) -> float | None:
    """The CPU quota of this process's control groups in CPUs, None without one."""
    quotas = []
    for folder in cgroup_folders("cpu", root=root):
        unified = _text(folder / "cpu.max").split()
        if len(unified) == 2 and all(map(str.isdigit, unified)):
            quotas.append(int(unified[0]) / int(unified[1]))
        quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(quota) > 0:
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limit(*, root: Path = Path("/")) -> int | None:
    """The memory limit of this process's control groups in bytes, None without one."""
    texts = [
        _text(folder / name)
        for folder in cgroup_folders("memory", root=root)
        for name in ("memory.max", "memory.limit_in_bytes")
    ]
    return min((int(text) for text in texts if text.isdigit() and int(text) < _NO_LIMIT_BYTES), default=None)


def throttled_periods(*, root: Path = Path("/")) -> int | None:
    """Periods in which a CPU quota stopped a control group of this process, since the groups were made.

    None where no group counts them.
    """
    found = []
    for folder in cgroup_folders("cpu", root=root):
        words = dict(line.split()[:2] for line in _text(folder / "cpu.stat").splitlines() if len(line.split()) >= 2)
        if "nr_throttled" in words:
            found.append(int(words["nr_throttled"]))
    return sum(found) if found else None


def cgroup_folders(controller: str, *, root: Path = Path("/")) -> tuple[Path, ...]:
    """The folders of this process's control groups, its own first, of both versions; only those that exist.

    Args:
        controller: of version 1: "cpu", "memory".
        root: where /proc and /sys are looked for.
    """
    unified, own = "/", "/"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            unified = path
        elif controller in controllers.split(","):
            own = path
    mounts = [(root / mount, unified) for mount in _UNIFIED]
    # Controllers that are mounted together ("cpu,cpuacct") usually have a link for each; not everywhere.
    mounts += [(folder, own) for folder in _version_1(root, controller)]
    return tuple(dict.fromkeys(folder for mount, path in mounts for folder in _upwards(mount, path)))


def _version_1(root: Path, controller: str) -> Iterator[Path]:
    for folder in sorted((root / "sys/fs/cgroup").glob(f"*{controller}*")):
        if controller in folder.name.split(","):
            yield folder


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """The group's folder and those above it.

    A container may see the host's path while only its own part is mounted: what is not there of the front is dropped.
    """
    parts = [part for part in path.split("/") if part not in {"", ".."}]
    inside = next((parts[at:] for at in range(len(parts)) if (mount.joinpath(*parts[at:])).is_dir()), [])
    for length in range(len(inside), -1, -1):
        if (folder := mount.joinpath(*inside[:length])).is_dir():
            yield folder


def _text(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text().strip()
    return ""
