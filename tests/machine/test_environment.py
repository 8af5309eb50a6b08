"""What may move a number is captured, hashed stably, and read from files that may be missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulation import simulated

from benchbox.limits import cpu_quota, effective_cpus, memory_limit
from benchbox.machine import environment
from benchbox.machine.counters import counters, differences, others_share, peak_resident_bytes
from benchbox.machine.environment import capture, environment_hash
from benchbox.machine.host import hypervisor_kind


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


def test_what_pytorch_sets_while_it_exports_is_nobodys_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the second network of a run would be measured in another environment than the first."""
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    first = capture()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/tmp/torchinductor_somebody")
    assert capture().hash == first.hash
    monkeypatch.setenv("TORCHINDUCTOR_FREEZING", "1")
    assert capture().hash != first.hash


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
        "from benchbox.machine.counters import counters, differences\n"
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
        "from benchbox.machine.counters import peak_resident_bytes as peak\n"
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


def _server(root: Path) -> Path:
    """The files of a machine with two sockets, four cores and a container's limits."""
    for name, text in {
        "proc/cpuinfo": "model name\t: Fast CPU\nmicrocode\t: 0x2b\nflags\t\t: avx512f sse2\n",
        "proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable: 4 kB\nSwapTotal: 8 kB\nSwapFree: 2 kB\n",
        "proc/loadavg": "0.50 0 0 1/2 3\n",
        "proc/uptime": "7200.5 3\n",
        "proc/version": "Linux version 6.1 (a@b)\n",
        "proc/cmdline": "quiet\n",
        "proc/pressure/cpu": "some avg10=12.50 avg60=0 avg300=0 total=9\nfull avg10=0 avg60=0 avg300=0 total=0\n",
        "proc/sys/kernel/randomize_va_space": "2\n",
        "etc/os-release": 'NAME=x\nPRETTY_NAME="Debian GNU/Linux 12"\n',
        "sys/devices/system/cpu/intel_pstate/no_turbo": "1\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
        "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
        "sys/devices/system/node/node0/cpulist": "0-3\n",
        "sys/devices/system/node/node1/cpulist": "4-7\n",
        "sys/class/dmi/id/sys_vendor": "Amazon EC2\n",
        "sys/class/thermal/thermal_zone0/temp": "41000\n",
        "sys/fs/cgroup/memory.max": f"{8 << 30}\n",
        "run/.containerenv": 'engine="podman-4"\nimage="docker.io/library/x:1"\n',
    }.items():
        write(root, name, text)
    for cpu in range(8):
        write(root, f"sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id", str(cpu // 4))
        write(root, f"sys/devices/system/cpu/cpu{cpu}/topology/core_id", str(cpu % 4 // 2))
    return root


def test_a_machine_is_described_from_its_files(tmp_path: Path) -> None:
    seen = capture(root=_server(tmp_path))
    wanted = {
        "microcode": "0x2b", "sockets": "2", "cores": "4", "numa_nodes": "2", "memory_gib": "16",
        "memory_limit_gib": "8", "turbo": "off", "aslr": "full", "clock_source": "tsc", "hypervisor": "no",
        "hypervisor_kind": "Amazon EC2", "isa": "avx512f",
    }  # fmt: skip
    assert wanted.items() <= seen.hardware.items()
    assert seen.software["os"] == "Debian GNU/Linux 12"
    now = {
        "pressure_cpu": "12.50 %", "uptime_h": "2.0", "swap_free": "2 kB", "temperature_c": "41",
        "container": "podman, docker.io/library/x:1",
    }  # fmt: skip
    assert now.items() <= seen.observed.items()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave"),
        ("sys/devices/system/cpu/intel_pstate/no_turbo", "0"),
        ("proc/sys/kernel/randomize_va_space", "0"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet"),
        ("sys/fs/cgroup/memory.max", str(4 << 30)),
        ("etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 13"'),
    ],
)
def test_a_changed_setting_changes_the_hash(name: str, text: str, tmp_path: Path) -> None:
    before = capture(root=_server(tmp_path))
    assert capture(root=tmp_path).hash == before.hash
    write(tmp_path, name, text)
    assert capture(root=tmp_path).hash != before.hash


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("proc/loadavg", "9.00 0 0 1/2 3"),
        ("proc/uptime", "9.5 3"),
        ("proc/pressure/cpu", "some avg10=99.00 avg60=0 avg300=0 total=9"),
        ("sys/class/thermal/thermal_zone0/temp", "80000"),
        ("run/.containerenv", 'image="docker.io/library/y:2"'),
    ],
)
def test_what_changes_by_itself_does_not(name: str, text: str, tmp_path: Path) -> None:
    before = capture(root=_server(tmp_path))
    write(tmp_path, name, text)
    after = capture(root=tmp_path)
    assert after.hash == before.hash
    assert after.observed != before.observed


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("proc/version", "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016", "gVisor"),
        ("proc/cmdline", "reboot=k virtio_mmio.device=4K@0xd0000000:5", "Firecracker"),
        ("proc/version", "Linux version 5.15-microsoft-standard-WSL2", "WSL"),
        ("sys/class/dmi/id/sys_vendor", "QEMU", "QEMU"),
        ("sys/hypervisor/type", "xen", "xen"),
        ("sys/class/dmi/id/sys_vendor", "Dell Inc.", ""),
    ],
)
def test_what_virtualises_a_machine(name: str, text: str, kind: str, tmp_path: Path) -> None:
    write(tmp_path, name, text)
    assert hypervisor_kind(tmp_path) == kind


def test_memory_limits_of_both_versions(tmp_path: Path) -> None:
    assert memory_limit(root=tmp_path) is None
    write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", str(0x7FFFFFFFFFFFF000))
    assert memory_limit(root=tmp_path) is None, "version 1 writes no limit as a very large one"
    write(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", str(1 << 30))
    assert memory_limit(root=tmp_path) == 1 << 30
    write(tmp_path, "sys/fs/cgroup/memory.max", "max")
    assert memory_limit(root=tmp_path) == 1 << 30


@pytest.mark.parametrize(
    ("knobs", "same"),
    [
        ({"power_limit_w": 250}, False),
        ({"driver": "580.1"}, False),
        ({"confidential": 1}, False),
        ({"mig": 1}, False),
        ({"pcie_max": [4, 16]}, False),
        ({"sm_clocks_mhz": [300]}, True),
        ({"pcie": [1, 4]}, True),
        ({"foreign": 1}, True),
        ({"idle_w": 90.0}, True),
    ],
)
def test_the_gpus_settings_are_in_the_hash_and_its_state_is_not(
    knobs: dict[str, object], same: bool, tmp_path: Path
) -> None:
    with simulated():
        before = capture(root=tmp_path)
        assert capture(root=tmp_path).hash == before.hash
    with simulated(**knobs):
        assert (capture(root=tmp_path).hash == before.hash) is same
    assert before.hardware["gpu_compute_capability"] == "9.0"
    assert before.hardware["gpu_pcie_max"] == "generation 5, 16 lanes"
    assert len(before.observed["gpu_uuid_hash"]) == 8
    assert "GPU-0000" not in str(before), "no serial numbers"


def test_a_preloaded_library_changes_the_hash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = capture(root=tmp_path)
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libjemalloc.so.2")
    assert capture(root=tmp_path).software["env LD_PRELOAD"] == "/usr/lib/libjemalloc.so.2"
    assert capture(root=tmp_path).hash != before.hash


def test_the_lock_digest_is_of_all_distributions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A test tool that was upgraded is on record, but makes no numbers incomparable; what computes does."""
    before = capture(root=tmp_path)
    installed = dict(environment._installed())
    monkeypatch.setattr(environment, "_installed", lambda: {**installed, "pytest": "0"})
    tools = capture(root=tmp_path)
    assert (tools.hash, tools.observed["distributions"]) != (before.hash, before.observed["distributions"])
    assert tools.hash == before.hash
    monkeypatch.setattr(environment, "_installed", lambda: {**installed, "nvidia-cudnn-cu13": "9.1"})
    assert capture(root=tmp_path).hash != before.hash
