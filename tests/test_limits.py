"""The limits of this process are those of its own control group and of every group above it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbox.limits import cgroup_folders, cpu_quota, effective_cpus, memory_limit, throttled_periods


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """A service in a slice in a slice of version 2, as systemd makes them."""
    write(tmp_path, "proc/self/cgroup", "0::/user.slice/user-1.slice/job.service")
    own = "sys/fs/cgroup/user.slice/user-1.slice/job.service"
    write(tmp_path, f"{own}/cpu.max", "400000 100000")
    write(tmp_path, f"{own}/memory.max", "max")
    write(tmp_path, f"{own}/cpu.stat", "usage_usec 9\nnr_throttled 3")
    write(tmp_path, "sys/fs/cgroup/user.slice/user-1.slice/cpu.max", "150000 100000")
    write(tmp_path, "sys/fs/cgroup/user.slice/user-1.slice/cpu.stat", "nr_throttled 4")
    write(tmp_path, "sys/fs/cgroup/user.slice/cpu.max", "max 100000")
    write(tmp_path, "sys/fs/cgroup/user.slice/memory.max", str(1 << 30))
    write(tmp_path, "sys/fs/cgroup/other.slice/cpu.max", "1000 100000")
    write(tmp_path, "sys/fs/cgroup/cpu.stat", "usage_usec 99")
    return tmp_path


def test_the_smallest_limit_on_the_way_to_the_root_counts(nested: Path) -> None:
    assert cpu_quota(root=nested) == 1.5
    assert effective_cpus(root=nested) == 1
    assert memory_limit(root=nested) == 1 << 30
    write(nested, "sys/fs/cgroup/user.slice/user-1.slice/job.service/cpu.max", "50000 100000")
    assert cpu_quota(root=nested) == 0.5


def test_periods_are_those_of_all_groups_of_the_process(nested: Path) -> None:
    assert throttled_periods(root=nested) == 7
    (nested / "proc/self/cgroup").write_text("0::/\n")
    assert throttled_periods(root=nested) is None, "the root counts none"
    assert cpu_quota(root=nested) is None


def test_version_1_names_its_controllers(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "4:memory:/jobs\n2:cpu,cpuacct:/jobs/mine\n1:cpuset:/elsewhere\n0::/unused")
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/jobs/mine/cpu.cfs_quota_us", "-1")
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/jobs/mine/cpu.cfs_period_us", "100000")
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/jobs/mine/cpu.stat", "nr_periods 5\nnr_throttled 2")
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us", "250000")
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us", "100000")
    write(tmp_path, "sys/fs/cgroup/cpuset/elsewhere/cpu.max", "1000 100000")
    write(tmp_path, "sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", str(1 << 31))
    write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", str(0x7FFFFFFFFFFFF000))
    assert cpu_quota(root=tmp_path) == 2.5
    assert throttled_periods(root=tmp_path) == 2
    assert memory_limit(root=tmp_path) == 1 << 31


def test_a_container_sees_the_hosts_path_and_its_own_part(tmp_path: Path) -> None:
    """Without a namespace of its own: the front of the path is not mounted, the rest is."""
    write(tmp_path, "proc/self/cgroup", "0::/docker/3f2a/inner")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "200000 100000")
    assert cpu_quota(root=tmp_path) == 2.0
    write(tmp_path, "sys/fs/cgroup/inner/cpu.max", "100000 100000")
    assert cpu_quota(root=tmp_path) == 1.0


def test_a_path_out_of_the_namespace_stays_inside(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/../../sibling")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "200000 100000")
    write(tmp_path, "sys/cpu.max", "1000 100000")
    assert cpu_quota(root=tmp_path) == 2.0


def test_without_control_groups_nothing_is_limited(tmp_path: Path) -> None:
    assert cgroup_folders("cpu", root=tmp_path) == ()
    assert cpu_quota(root=tmp_path) is memory_limit(root=tmp_path) is throttled_periods(root=tmp_path) is None
    write(tmp_path, "sys/fs/cgroup/cpu.max", "odd words here")
    write(tmp_path, "sys/fs/cgroup/cpu.stat", "odd")
    assert cpu_quota(root=tmp_path) is throttled_periods(root=tmp_path) is None
