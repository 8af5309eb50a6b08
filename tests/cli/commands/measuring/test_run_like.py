"""``benchbox run --like``: what trtexec reports, end to end on the simulated device; what contradicts it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchbox.store.records import record_files, records_under, trials_from_file

INFERENCE_NS = 250_000
# A latency is the sum of three times between events that resolve 0.5 us; a launch, of 5 us, may lie between two.
RESOLUTION_S = 3 * 0.5e-6 + 5e-6
H2D_S, D2H_S = 4 * 28 * 28 * 0.05e-9, 4 * 10 * 0.05e-9  # of the simulated bandwidth


def _record(simulated_benchbox: Callable, root: Path, preset: str) -> dict[str, Any]:
    command = ["run", "lenet5", "--like", preset, "--trials", "2", "--max-time", "0.1", "--threads", "1", "--json"]
    ran = simulated_benchbox(root, *command, inference_ns=INFERENCE_NS)
    assert ran.status == 0, ran.err
    (record,) = ran.document["records"]
    return record  # type: ignore[no-any-return]


@pytest.mark.nightly
def test_both_versions_from_the_option_to_the_numbers(simulated_benchbox: Callable, simulated_root: Path) -> None:
    ten, eleven = (_record(simulated_benchbox, simulated_root, preset) for preset in ("trtexec-10", "trtexec-11"))
    assert [record["key"]["backend"] for record in (ten, eleven)] == ["tensorrt", "tensorrt-graph"]
    for record, transfer, wait in ((ten, "inside", "blocking"), (eleven, "resident", "spin")):
        plan = record["plan"]
        assert (plan["mode"], plan["transfer"], plan["wait"]) == ("pipelined", transfer, wait)
        assert "variant" not in record["key"], "the plan names the tool"
        assert record["evidence"]["options"]["wait"] == wait
        assert record["sampling"]["stopped_by"] == {"min_time": 2}
        assert record["sampling"]["samples"] >= 20
        found = {reading["metric"]: reading["value"] for reading in record["readings"]}
        compute_s, copies_s = INFERENCE_NS * 1e-9, H2D_S + D2H_S if transfer == "inside" else 0.0
        for statistic in ("min", "mean", "median", "p99", "max"):
            assert found[f"trtexec_gpu_time_{statistic}"] == pytest.approx(compute_s, abs=RESOLUTION_S)
            assert found[f"trtexec_latency_{statistic}"] == pytest.approx(compute_s + copies_s, abs=RESOLUTION_S)
        assert ("trtexec_h2d_time_median" in found) is (transfer == "inside")
        # One clock, on which copies and inferences of the simulation run one after the other.
        assert found["trtexec_throughput"] == pytest.approx(1 / (compute_s + copies_s), rel=5e-3)
    stored = list(records_under(simulated_root))
    trials = trials_from_file(record_files(simulated_root)[0], stored[0])
    assert {trial.like for trial in trials if trial.gpu_ns} == {"trtexec-10"}
    assert all(len(trial.h2d_ns) == len(trial.gpu_ns) for trial in trials if trial.gpu_ns)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--like", "trtexec-9"), "unknown preset 'trtexec-9'"),
        (("--like", "trtexec-10", "--backend", "onnxruntime"), "onnxruntime runs none, and trtexec runs nothing else"),
        (("--like", "trtexec-10", "--backend", "tensorrt-graph"), "launches no CUDA graph"),
        (("--like", "trtexec-11", "--mode", "isolated"), "got --mode as well"),
        (("--like", "trtexec-11", "--transfers", "--quick"), "got --transfers, --quick as well"),
    ],
)
def test_what_contradicts_a_preset_is_refused(benchbox: Callable, arguments: tuple[str, ...], words: str) -> None:
    ran = benchbox("run", "lenet5", *arguments)
    assert ran.status == 2
    assert words in ran.err


def test_a_dry_run_tells_the_plan(benchbox: Callable) -> None:
    out = benchbox("run", "lenet5", "--like", "trtexec-11", "--dry-run").out
    assert "tensorrt-graph fp32 batch 1 pipelined" in out
