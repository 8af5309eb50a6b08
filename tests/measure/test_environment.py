"""What may move a number is captured, hashed stably, and read from files that may be missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchbox.measure.environment import capture, cpu_quota, effective_cpus, environment_hash
from benchbox.measure.kernel import counters, differences, others_share, peak_resident_bytes


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_hash_is_stable_and_moves_with_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = capture(), capture()
    assert first.hash == second.hash
    assert first.hardware["cpus"] == str(os.cpu_count())
    monkeypatch.setenv("OMP_PROC_BIND", "true")
    assert capture().hash != first.hash
    monkeypatch.setenv("HARMLESS", "1")
    monkeypatch.delenv("OMP_PROC_BIND")
    assert capture().hash == first.hash
    assert "HARMLESS" not in str(capture())


def test_the_order_of_facts_does_not_matter() -> None:
    assert environment_hash({"a": "1", "b": "2"}, {}) == environment_hash({"b": "2", "a": "1"}, {})
    assert environment_hash({"a": "1"}, {}) != environment_hash({}, {"a": "1"})


def test_quota_of_version_2(tmp_path: Path) -> None:
    assert cpu_quota(root=tmp_path) is None
    write(tmp_path, "sys/fs/cgroup/cpu.max", "max 100000\n")
    assert cpu_quota(root=tmp_path) is None
    write(tmp_path, "sys/fs/cgroup/cpu.max", "150000 100000\n")
    assert cpu_quota(root=tmp_path) == 1.5
    assert effective_cpus(root=tmp_path) == 1


def test_quota_of_version_1(tmp_path: Path) -> None:
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert cpu_quota(root=tmp_path) is None
    write(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n")
    assert cpu_quota(root=tmp_path) == 0.5
    assert effective_cpus(root=tmp_path) == 1


def test_cpus_are_those_of_the_affinity_mask(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    assert effective_cpus(root=tmp_path) == len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert effective_cpus(root=tmp_path) == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_a_machine_without_files_is_still_described(tmp_path: Path) -> None:
    bare = capture(root=tmp_path)
    assert bare.hardware["governor"] == "unknown"
    assert len(bare.hash) == 12


def test_a_processor_is_read_from_its_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        "proc/cpuinfo",
        "model name\t: Fast CPU\ncpu family\t: 6\nflags\t\t: avx2 hypervisor\n\nmodel name\t: x\n",
    )
    write(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n")
    hardware = capture(root=tmp_path).hardware
    assert hardware["cpu"] == "Fast CPU"
    assert (hardware["hypervisor"], hardware["governor"], hardware["isa"]) == ("yes", "performance", "avx2")


def test_counters_grow() -> None:
    before = counters()
    sum(range(200_000))
    grown = differences(before, counters())
    assert grown["cpu_s"] > 0
    assert all(value >= 0 for value in grown.values())
    assert {"involuntary_switches", "run_delay_s"} <= set(grown)


def test_waiting_for_a_cpu_is_seen() -> None:
    """Four busy processes on one CPU: each waits for most of the time."""
    script = (
        "import os, time\n"
        "from benchbox.measure.kernel import counters, differences\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "others = [pid for pid in (os.fork() for _ in range(3)) if pid]\n"
        "before, begin = counters(), time.monotonic()\n"
        "while time.monotonic() - begin < 1.0: pass\n"
        "line = f\"{differences(before, counters())['run_delay_s']}\\n\"\n"
        "os.write(1, line.encode())\n"  # one write: lines of four processes must not mix
        "os._exit(0)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert max(map(float, run.stdout.split())) > 0.4


def test_peak_memory_is_the_kernels_high_water_mark(tmp_path: Path) -> None:
    """In a fresh process: 100 MB that came and went are seen, as no look afterwards could."""
    script = (
        "from benchbox.measure.kernel import peak_resident_bytes as peak\n"
        "before = peak()\n"
        "block = bytearray(b'x') * 100_000_000\n"
        "del block\n"
        "print(peak() - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert 95_000_000 < int(run.stdout) < 130_000_000
    write(tmp_path, "status", "Name:\tx\nVmHWM:\t  2048 kB\n")
    assert peak_resident_bytes(tmp_path / "status") == 2048 * 1024
    assert peak_resident_bytes(tmp_path / "absent") > 1_000_000


def test_the_share_of_others() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    grown = {"all_ticks": 20.0 * ticks, "busy_ticks": 8.0 * ticks, "cpu_s": 5.0}
    assert others_share(grown) == pytest.approx(0.15)
    assert others_share({**grown, "cpu_s": 9.0}) == 0.0
    assert others_share({"cpu_s": 5.0}) is None, "a kernel that does not say"
