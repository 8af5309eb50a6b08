"""What is watched of a GPU exists in the real package, and what cannot be true is not believed."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from simulation import SITE, simulated

from benchbox.machine.gpu import facts as gpu_facts
from benchbox.machine.gpu import nvml
from benchbox.machine.gpu import watch as gpu_watch
from benchbox.machine.gpu.facts import numa_node
from benchbox.machine.gpu.watch import GpuWatch, cpus_from_list

MODULES = (nvml, gpu_facts, gpu_watch)


def _named(source: Path) -> set[str]:
    """Every name of NVML that a file mentions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    fields = {"nvmlReturn"}  # of a value that was read
    return {name for name in found - fields if name.startswith(("nvml", "NVML_")) and name.isidentifier()}


def _called(source: Path) -> dict[str, int]:
    return {
        node.func.attr: len(node.args)
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("nvml")
    }


@pytest.fixture
def package() -> ModuleType:
    return pytest.importorskip("pynvml", reason="runs where nvidia-ml-py is installed")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rsplit(".", 1)[-1])
def test_the_package_has_what_is_named_and_takes_what_it_is_given(module: ModuleType, package: ModuleType) -> None:
    source = Path(inspect.getfile(module))
    assert [name for name in sorted(_named(source)) if not hasattr(package, name)] == []
    for name, count in _called(source).items():
        inspect.signature(getattr(package, name)).bind(*range(count))
    assert _called(source)


def test_the_throttle_counters_have_the_drivers_numbers(package: ModuleType) -> None:
    """nvml.h since CUDA 12.8; earlier packages numbered three of them otherwise."""
    numbers = {getattr(package, name): counter for name, counter in gpu_watch._THROTTLE_FIELDS.items()}
    assert numbers == {
        270: "gpu_throttle_hw_s",
        271: "gpu_throttle_hw_s",
        269: "gpu_throttle_sw_thermal_s",
        74: "gpu_power_capped_s",
    }


def test_the_union_is_read_by_its_own_members(package: ModuleType) -> None:
    kinds = ("DOUBLE", "UNSIGNED_INT", "UNSIGNED_LONG", "UNSIGNED_LONG_LONG", "SIGNED_LONG_LONG", "SIGNED_INT")
    numbers = [getattr(package, f"NVML_VALUE_TYPE_{kind}") for kind in (*kinds, "UNSIGNED_SHORT")]
    assert numbers == list(range(len(gpu_watch._MEMBERS)))
    members = [name for name, _ in package.c_nvmlValue_t._fields_]
    assert members == list(gpu_watch._MEMBERS)


def test_the_simulation_has_nothing_that_the_package_lacks(package: ModuleType) -> None:
    spec = importlib.util.spec_from_file_location("pynvml_simulated", SITE / "pynvml.py")
    assert spec is not None
    assert spec.loader is not None
    with simulated():
        simulation = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(simulation)
    for name in dir(simulation):
        if name.startswith(("nvml", "NVML_")):
            assert hasattr(package, name), name
            if not callable(getattr(simulation, name)):
                assert getattr(simulation, name) == getattr(package, name), name
            elif inspect.isfunction(getattr(simulation, name)):
                ours, theirs = (inspect.signature(getattr(module, name)) for module in (simulation, package))
                theirs.bind(*range(len(ours.parameters)))


def test_a_counter_that_grows_faster_than_time_is_not_believed() -> None:
    """Another unit, or a number that means something else to this driver."""
    with simulated(throttle_hw=40.0, power_capped=0.5), gpu_watch.gpu_watch() as watch:
        assert watch is not None
        watch.begin()
        watch.look()
        seen = watch.seen()
    assert "gpu_throttle_hw_s" not in seen
    assert 0 < seen["gpu_power_capped_s"] < seen["gpu_window_s"]


def test_the_clocks_of_all_looks() -> None:
    with simulated(sm_clocks_mhz=[1980, 1500, 1700, 1600]), gpu_watch.gpu_watch() as watch:
        assert watch is not None
        watch.begin()
        for _ in range(4):
            watch.look()
        seen = watch.seen()
    assert (seen["gpu_clock_min_hz"], seen["gpu_clock_max_hz"]) == (1.5e9, 1.98e9)
    assert seen["gpu_clock_median_hz"] == 1.65e9
    assert (seen["gpu_looks"], seen["gpu_clock_limit_hz"]) == (4.0, 1.98e9)


def test_heat_power_and_memory_clock_of_all_looks() -> None:
    knobs = {"temperatures_c": [50, 60, 65], "powers_w": [300, 72, 72], "memory_clocks_mhz": [2600, 2400], "pstate": 2}
    with simulated(**knobs, default_clock_mhz=1410) as _, gpu_watch.gpu_watch() as watch:
        assert watch is not None
        watch.begin()
        for _ in range(3):
            watch.look()
        seen = watch.seen()
    assert (seen["gpu_temperature_first_c"], seen["gpu_temperature_last_c"]) == (50.0, 65.0)
    assert (seen["gpu_memory_clock_min_hz"], seen["gpu_memory_clock_max_hz"]) == (2.4e9, 2.6e9)
    assert (seen["gpu_power_median_w"], seen["gpu_performance_state"]) == (72.0, 2.0)
    assert seen["gpu_clock_default_hz"] == 1.41e9


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-3,8\n", {0, 1, 2, 3, 8}), ("5", {5}), ("", set()), ("0-1,4-5", {0, 1, 4, 5})]
)
def test_lists_of_cpus(text: str, cpus: set[int]) -> None:
    assert cpus_from_list(text) == cpus


def _machine(root: Path, *, node: str, nodes: dict[int, str], cpu: int) -> None:
    folder = root / "sys/bus/pci/devices/0000:3b:00.0"
    folder.mkdir(parents=True)
    (folder / "numa_node").write_text(f"{node}\n")
    for number, cpus in nodes.items():
        place = root / f"sys/devices/system/node/node{number}"
        place.mkdir(parents=True)
        (place / "cpulist").write_text(cpus)
    process = root / f"proc/{os.getpid()}"
    process.mkdir(parents=True)
    # The name of a process may hold blanks and brackets; the CPU is the 39th field.
    (process / "stat").write_text(f"1 (a) b) R {' '.join(['0'] * 35)} {cpu} 0\n")


@pytest.mark.parametrize(
    ("node", "nodes", "cpu", "remote"),
    [
        ("1", {0: "0-3", 1: "4-7"}, 2, 3.0),
        ("1", {0: "0-3", 1: "4-7"}, 5, 0.0),
        ("0", {0: "0-7"}, 5, None),
        ("-1", {0: "0-3", 1: "4-7"}, 5, None),
    ],
)
def test_a_process_far_from_its_gpu(
    node: str, nodes: dict[int, str], cpu: int, remote: float | None, tmp_path: Path
) -> None:
    _machine(tmp_path, node=node, nodes=nodes, cpu=cpu)
    with simulated(), gpu_watch.gpu_watch(tmp_path) as watch:
        assert watch is not None
        watch.begin()
        for _ in range(3):
            watch.look()
        assert watch.seen().get("gpu_numa_remote_looks") == remote
        api = sys.modules["pynvml"]
        assert numa_node(api, "device 0", tmp_path) == (int(node) if node != "-1" else None)
        assert numa_node(api, "device 0", tmp_path / "nowhere") is None


def test_an_old_package_lacks_calls_and_nothing_breaks() -> None:
    class Error(Exception):
        pass

    old = SimpleNamespace(NVMLError=Error, NVML_CLOCK_SM=1, nvmlDeviceGetClockInfo=lambda device, kind: 1500)
    watch = GpuWatch(old, "gpu", Path("/nowhere"))
    watch.begin()
    watch.look()
    seen = watch.seen()
    assert seen.keys() == {
        "gpu_window_s", "gpu_looks", "gpu_clock_min_hz", "gpu_clock_max_hz", "gpu_clock_median_hz",
    }  # fmt: skip
    watch.close()
