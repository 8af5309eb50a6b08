"""From ``benchbox run --backend tensorrt`` to the report on the simulated device.

Processes of their own where they matter, as on a GPU that several share; else all of it in this process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulation import environment

from benchbox.store.records import record_files, records_under, trials_from_file

QUICK = ("--trials", "2", "--max-time", "0.1", "--warmup", "0.1", "--threads", "1")


def _benchbox(root: Path, *arguments: str, **knobs: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchbox", *arguments, "--root", str(root)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[4],
        env=environment(**knobs),
    )


def _readings(record: dict[str, Any]) -> dict[str, float]:
    return {reading["metric"]: reading["value"] for reading in record["readings"]}


def test_from_the_network_to_the_report(simulated_root: Path) -> None:
    backends = "tensorrt,tensorrt-graph"
    ran = _benchbox(simulated_root, "run", "lenet5", "--backend", backends, *QUICK, "--json", inference_ns=250_000)
    assert ran.returncode == 0, ran.stderr
    records = json.loads(ran.stdout)["records"]
    assert [record["key"]["backend"] for record in records] == ["tensorrt", "tensorrt-graph"]
    for record in records:
        assert record["status"] == "ok"
        assert record["correctness"]["passed"] is True
        assert [hop["to"] for hop in record["correctness"]["hops"]][-1] == f"{record['key']['backend']}-fp32"
        assert record["engine_sha256"]
        assert record["evidence"]["options"]["tf32"] == record["proof"]["tf32"] == "forbidden"
        assert sum(record["proof"]["macs"].values()) == pytest.approx(1)
        readings = _readings(record)
        assert readings["gpu_time_p50"] == pytest.approx(255e-6), (
            "the virtual clock of the device, and a launch of 5 us"
        )
        assert 0 < readings["enqueue_time_p50"] < readings["latency_p50"]
        assert readings["peak_device_memory"] > readings["device_memory_allocated"], "in grains, and kernels are loaded"
        assert 0 < readings["device_memory_load"] <= readings["device_memory_steady"] <= readings["peak_device_memory"]
        assert readings["device_memory_pool"] > 0, "as a deployment has it: of the processes that do not count"
        assert "SIMULATED" in [flag["code"] for flag in record["flags"] if flag["severity"] == "error"]
        assert readings["gpu_achieved_flops"] == pytest.approx(
            record["analytic"]["flops"] / readings["gpu_compute_time_p50"]
        ), "of the device alone"
        assert ("graph_capture_time" in readings) is record["key"]["backend"].endswith("-graph")
    assert records[0]["engine_sha256"] == records[1]["engine_sha256"], "one engine serves both"
    stored = list(records_under(simulated_root))
    assert [record.id for record in stored] == [record["id"] for record in records]
    trials = trials_from_file(record_files(simulated_root)[0], stored[0])
    assert {len(trial.gpu_ns) == len(trial.samples_ns) for trial in trials} == {True}
    assert any(trial.device_bytes for trial in trials)
    report = _benchbox(simulated_root, "report", "--format", "csv")
    assert report.returncode == 0
    assert "SIMULATED" in report.stdout


@pytest.mark.nightly
def test_transfers_are_timed_on_request(simulated_benchbox: Callable, simulated_root: Path) -> None:
    arguments = ("run", "lenet5", "--backend", "tensorrt", "--transfers", *QUICK, "--json")
    ran = simulated_benchbox(simulated_root, *arguments, copy_ns_per_byte=50)
    assert ran.status == 0, ran.err
    (record,) = ran.document["records"]
    readings = _readings(record)
    assert record["plan"]["transfer"] == "timed"
    assert readings["h2d_time_p50"] == pytest.approx(4 * 28 * 28 * 50e-9, rel=0.01), "the simulated bandwidth"
    assert readings["d2h_time_p50"] == pytest.approx(4 * 10 * 50e-9, rel=0.5)
    refused = simulated_benchbox(simulated_root, "run", "lenet5", "--backend", "tensorrt,onnxruntime", "--transfers")
    assert refused.status == 2
    assert "onnxruntime: inputs and outputs are in the host's memory already" in refused.err


@pytest.mark.nightly
def test_the_batch_gets_an_engine_of_its_own(simulated_benchbox: Callable, simulated_root: Path) -> None:
    ran = simulated_benchbox(simulated_root, "run", "lenet5", "--backend", "tensorrt", "--batch", "3", *QUICK, "--json")
    assert ran.status == 0, ran.err
    (record,) = ran.document["records"]
    assert record["status"] == "ok"
    assert record["key"]["batch"] == 3


@pytest.mark.nightly
def test_fp16_and_tf32_run(simulated_benchbox: Callable, simulated_root: Path) -> None:
    ran = simulated_benchbox(
        simulated_root, "run", "lenet5", "--backend", "tensorrt", "--precision", "tf32,fp16", *QUICK, "--json"
    )
    assert ran.status == 0, ran.err
    records = ran.document["records"]
    assert [(record["key"]["precision"], record["status"]) for record in records] == [("tf32", "ok"), ("fp16", "ok")]
    cards = [json.loads(card.read_text()) for card in (simulated_root / "engines" / "tensorrt").glob("*.json")]
    flags = {card["precision"]: "tf32" in card["recipe"]["flags"] for card in cards}
    assert flags["tf32"] is True
    assert flags["fp16"] is False


def test_pycuda_by_option_is_recorded(simulated_benchbox: Callable, simulated_root: Path) -> None:
    ran = simulated_benchbox(
        simulated_root, "run", "lenet5", "--backend", "tensorrt", "--cuda", "pycuda", *QUICK, "--json"
    )
    assert ran.status == 0, ran.err
    newest = list(records_under(simulated_root))[-1]
    assert newest.evidence is not None
    assert newest.evidence.options["cuda_layer"] == "pycuda"


def test_an_unknown_layer_is_a_usage_error(simulated_benchbox: Callable, simulated_root: Path) -> None:
    ran = simulated_benchbox(simulated_root, "run", "lenet5", "--cuda", "cudapy")
    assert ran.status == 2
    assert "unknown CUDA layer 'cudapy'" in ran.err


def test_a_simulated_record_enters_no_real_store(simulated_benchbox: Callable, tmp_path: Path) -> None:
    ran = simulated_benchbox(tmp_path, "run", "lenet5", "--backend", "tensorrt", *QUICK)
    assert ran.status == 6
    assert "records of the simulated GPU are not stored" in ran.err
    assert list(record_files(tmp_path)) == []


def test_a_measurement_enters_no_simulated_store(simulated_benchbox: Callable, simulated_root: Path) -> None:
    ran = simulated_benchbox(simulated_root, "run", "lenet5", "--backend", "onnxruntime", *QUICK)
    assert ran.status == 6
    assert "for simulated records only" in ran.err


def test_out_of_device_memory_names_what_was_asked_for(simulated_benchbox: Callable, simulated_root: Path) -> None:
    arguments = ("run", "lenet5", "--backend", "tensorrt", "--batch", "512", *QUICK)
    ran = simulated_benchbox(simulated_root, *arguments, memory_bytes=44 << 20, primary_bytes=0)
    assert ran.status == 5, ran.err
    assert "the GPU ran out of memory" in ran.err
    assert "bytes were asked for" in ran.err


def test_an_engine_of_another_gpu_is_built_again(simulated_benchbox: Callable, simulated_root: Path) -> None:
    """The GPU is part of the key: the other GPU's engine is not even looked at."""
    before = set((simulated_root / "engines" / "tensorrt").glob("*.engine"))
    ran = simulated_benchbox(simulated_root, "run", "lenet5", "--backend", "tensorrt", *QUICK, target="sm89")
    assert ran.status == 0, ran.err
    assert len(set((simulated_root / "engines" / "tensorrt").glob("*.engine")) - before) == 1


def test_without_a_gpu_the_reason_is_given(tmp_path: Path) -> None:
    ran = _benchbox(tmp_path, "run", "lenet5", "--backend", "tensorrt", target="none")
    assert ran.returncode == 3
    assert "can neither build nor run engines here: there is no NVIDIA driver" in ran.stderr


@pytest.mark.nightly
@pytest.mark.parametrize("hidden", [False, True])
def test_a_run_finds_only_its_own_worker_on_the_device(hidden: bool, simulated_root: Path, tmp_path: Path) -> None:
    """Also in a container, where ids are the host's: the process that came with the context is the worker."""
    knobs = {"hide_pids": hidden, "contexts": str(tmp_path)}
    ran = _benchbox(simulated_root, "run", "lenet5", "--backend", "tensorrt", *QUICK, "--json", **knobs)
    (record,) = json.loads(ran.stdout)["records"]
    assert "device_memory_process" in _readings(record)
    assert "GPU_SHARED" not in {flag["code"] for flag in record["flags"]}


@pytest.mark.nightly
@pytest.mark.parametrize("hidden", [False, True])
def test_a_foreign_process_on_the_device_is_flagged(hidden: bool, simulated_root: Path, tmp_path: Path) -> None:
    knobs = {"hide_pids": hidden, "contexts": str(tmp_path), "foreign": 1}
    ran = _benchbox(simulated_root, "run", "lenet5", "--backend", "tensorrt", *QUICK, "--json", **knobs)
    (record,) = json.loads(ran.stdout)["records"]
    flags = {flag["code"]: flag["message"] for flag in record["flags"]}
    assert flags["GPU_SHARED"].startswith("1 other processes")


@pytest.mark.nightly
def test_a_gpu_that_admits_one_process_is_measured(simulated_root: Path, tmp_path: Path) -> None:
    """Its engine is built as well: builder and workers have the GPU one after the other, the command never."""
    knobs = {"compute_mode": 3, "contexts": str(tmp_path), "target": "sm89"}
    ran = _benchbox(simulated_root, "run", "lenet5", "--backend", "tensorrt", *QUICK, "--json", **knobs)
    assert ran.returncode == 0, ran.stderr
    assert [record["status"] for record in json.loads(ran.stdout)["records"]] == ["ok"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"compute_mode": 3, "foreign": 1}, "DevicesUnavailable"),
        ({"compute_mode": 2}, "PROHIBITED"),
    ],
)
def test_a_gpu_that_admits_no_process_is_unavailable(knobs: dict[str, Any], words: str, tmp_path: Path) -> None:
    """doctor goes on, and a run is refused with what is missing in the environment."""
    doctor = _benchbox(tmp_path, "doctor", "--json", **knobs)
    assert doctor.returncode == 0, doctor.stderr
    states = {state["name"]: state for state in json.loads(doctor.stdout)["backends"]}
    assert not states["tensorrt"]["usable"]
    assert words in states["tensorrt"]["reason"]
    ran = _benchbox(tmp_path, "run", "lenet5", "--backend", "tensorrt", **knobs)
    assert ran.returncode == 3
    assert words in ran.stderr


def test_what_happens_to_the_device_is_flagged(simulated_benchbox: Callable, simulated_root: Path) -> None:
    """Watched in the process that is timed, between its blocks, and stored with the record."""
    knobs = {"power_capped": 0.5, "sm_clocks_mhz": [1980, 1800], "xid": 79, "pcie": [5, 8], "drift": 20.0}
    ran = simulated_benchbox(simulated_root, "run", "lenet5", "--backend", "tensorrt", *QUICK, "--json", **knobs)
    (record,) = ran.document["records"]
    flags = {flag["code"]: flag["severity"] for flag in record["flags"]}
    assert flags["POWER_CAPPED"] == flags["PCIE_DEGRADED"] == flags["DRIFT"] == "warning"
    assert flags["XID"] == "error"
    assert not {"THROTTLE_HW", "THROTTLE_SW_THERMAL", "ECC_ERRORS", "GPU_UNWATCHED"} & set(flags)
    stored = list(records_under(simulated_root))[-1]
    trials = trials_from_file(record_files(simulated_root)[-1], stored)
    timed = [trial for trial in trials if trial.gpu_ns]
    assert all(trial.counters["gpu_looks"] >= 1 for trial in timed)
    assert [trial.device_window_ns for trial in timed] == pytest.approx(
        [sum(trial.gpu_ns) for trial in timed], rel=0.01
    )


@pytest.mark.nightly
def test_why_a_precision_is_not_faster_on_a_device(simulated_benchbox: Callable, simulated_root: Path) -> None:
    """The simulated TensorRT fuses nothing: pairs of Q and DQ are layers of their own, and int8 takes longer."""
    arguments = ("layers", "lenet5", "--backend", "tensorrt", "--precision", "int8", "--against", "fp32", "--json")
    ran = simulated_benchbox(simulated_root, *arguments, "--iterations", "5", "--threads", "1", "--trials", "2")
    assert ran.status == 0, ran.err
    document = ran.document
    against = document["against"]
    assert sum(reason["share"] for reason in against["reasons"]) == pytest.approx(1)
    assert sum(group["time_s"] for group in against["groups"]) == pytest.approx(document["profiled_s"])
    assert against["matrix_layers"] == 4


@pytest.mark.nightly
def test_the_warm_up_waits_for_the_clock(simulated_benchbox: Callable, simulated_root: Path) -> None:
    """A level one may be called restless on a busy machine: tests/measure/loop has it by a virtual clock."""
    arguments = ("run", "lenet5", "--backend", "tensorrt", "--trials", "1", "--max-time", "0.6", "--warmup", "0.1")
    ran = simulated_benchbox(simulated_root, *arguments, "--threads", "1", "--json", sm_clocks_mhz=[1980, 1800])
    (record,) = ran.document["records"]
    assert "NOT_STEADY" in {flag["code"] for flag in record["flags"]}


@pytest.mark.nightly
@pytest.mark.parametrize(("knobs", "leaks"), [({"leak_bytes": 2 << 20}, True), ({}, False)])
def test_a_leak_of_device_memory_is_found(
    simulated_benchbox: Callable, knobs: dict[str, Any], leaks: bool, simulated_root: Path
) -> None:
    ran = simulated_benchbox(simulated_root, "run", "lenet5", "--backend", "tensorrt", *QUICK, "--json", **knobs)
    (record,) = ran.document["records"]
    messages = [flag["message"] for flag in record["flags"] if flag["code"] == "LEAK"]
    assert bool(messages) is leaks
    assert all("device memory grew by up to 2097152 bytes per inference" in text for text in messages)


@pytest.mark.nightly
def test_cycles_are_time_at_the_clock_that_was_seen(simulated_benchbox: Callable, simulated_root: Path) -> None:
    ran = simulated_benchbox(
        simulated_root, "run", "lenet5", "--backend", "tensorrt", *QUICK, "--json", sm_clocks_mhz=[1500]
    )
    (record,) = ran.document["records"]
    readings = _readings(record)
    assert readings["gpu_cycles_p50"] == pytest.approx(1.5e9 * readings["gpu_time_p50"])


@pytest.mark.parametrize(
    "mode",
    [pytest.param(("offline",), marks=pytest.mark.nightly), ("server", "--rate", "400", "--streams", "2")],
    ids=lambda mode: mode[0],
)
def test_loadgen_issues_requests_to_a_device(
    simulated_benchbox: Callable, simulated_root: Path, mode: tuple[str, ...]
) -> None:
    arguments = ("run", "lenet5", "--backend", "tensorrt", "--mode", *mode, "--transfers", *QUICK, "--json")
    ran = simulated_benchbox(simulated_root, *arguments, inference_ns=250_000)
    assert ran.status == 0, ran.err
    (record,) = ran.document["records"]
    readings = _readings(record)
    assert readings["throughput"] > 0
    assert ("latency_p50" in readings) is (mode[0] == "server")
    assert "gpu_time_p50" not in readings, "events are kept for part of a run only"
    assert readings["h2d_time_p50"] > 0
    assert {"SIMULATED", "NOT_MLPERF"} <= {flag["code"] for flag in record["flags"]}


@pytest.mark.nightly
def test_a_library_of_plugins_is_part_of_the_engine(simulated_root: Path, tmp_path: Path) -> None:
    """It reaches the process that builds and those that measure, and is named in recipe and record."""
    library = tmp_path / "libscale.so"
    library.write_bytes(b"simulated plugin CustomScale")
    missing = _benchbox(
        simulated_root, "run", "lenet5", "--backend", "tensorrt", "--plugin-lib", str(tmp_path / "no.so")
    )
    assert (missing.returncode, "there is no such plugin library" in missing.stderr) == (2, True)
    arguments = ("run", "lenet5", "--backend", "tensorrt", "--plugin-lib", str(library), *QUICK, "--json")
    ran = _benchbox(simulated_root, *arguments)
    assert ran.returncode == 0, ran.stderr
    (record,) = json.loads(ran.stdout)["records"]
    assert record["evidence"]["options"]["plugin_libraries"] == "libscale.so"
    recipes = [path.read_text() for path in (simulated_root / "engines" / "tensorrt").glob("*.json")]
    assert any("plugin libscale.so" in recipe for recipe in recipes)
