"""``benchbox run --mode`` with the real LoadGen and the real ONNX Runtime, in processes of their own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchbox.store.records import record_files, records_under, trials_from_file

VERSION = importlib.metadata.version("mlcommons-loadgen")
SCRIPT = Path(sys.executable).with_name("benchbox")
SHORT = ("--quick", "--trials", "1", "--max-time", "0.2", "--threads", "1", "--json")


def _run(root: Path, *arguments: str) -> dict[str, Any]:
    ran = subprocess.run(
        [SCRIPT, "run", *arguments, *SHORT, "--root", str(root)], capture_output=True, text=True, check=False, cwd=root
    )
    assert ran.returncode == 0, ran.stderr
    (record,) = json.loads(ran.stdout)["records"]
    return record


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, exports: Any) -> Path:
    root = tmp_path_factory.mktemp("loadgen")
    exports.copy_to(root, "lenet5")
    return root


@pytest.mark.parametrize(
    ("flags", "shown", "metrics", "absent"),
    [
        pytest.param(
            ("--mode", "single-stream"),
            "single-stream",
            {"latency_p50", "latency_p90", "latency_p99", "throughput", "achieved_flops"},
            {"offered_rate", "over_bound_share"},
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            ("--mode", "multi-stream", "--streams", "4", "--batch", "2"),
            "multi-stream(4)",
            {"latency_p50", "throughput", "achieved_flops"},
            {"offered_rate", "over_bound_share"},
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            ("--mode", "offline"),
            "offline",
            {"throughput", "achieved_flops"},
            {"latency_p50", "latency_p99", "latency_mean", "offered_rate", "latency_early_stopping"},
            marks=pytest.mark.nightly,
        ),
        (
            ("--mode", "server", "--rate", "200", "--latency-bound", "0.5", "--streams", "2"),
            "server(200/s",
            {"latency_p50", "latency_p99", "throughput", "offered_rate", "over_bound_share"},
            {"achieved_flops", "latency_early_stopping"},
        ),
    ],
)
def test_a_scenario_becomes_a_record(
    flags: Sequence[str], shown: str, metrics: set[str], absent: set[str], root: Path
) -> None:
    record = _run(root, "lenet5", *flags)
    assert record["status"] == "ok"
    assert record["key"]["mode"] == flags[1]
    readings = {reading["metric"]: reading for reading in record["readings"]}
    assert metrics <= set(readings)
    assert not absent & set(readings)
    assert {"peak_host_memory", "load_time"} <= set(readings)
    assert (readings["throughput"]["n"], readings["throughput"]["method"]) == (1, f"LoadGen {VERSION}")
    assert "NOT_MLPERF" in {flag["code"] for flag in record["flags"]}
    assert record["sampling"]["floor_s"] > 0
    stored = next(kept for kept in records_under(root) if kept.id == record["id"])
    path = next(path for path in record_files(root) if record["id"] in path.name)
    timed = [trial for trial in trials_from_file(path, stored) if trial.loadgen is not None]
    assert len(timed) == 1
    for trial in timed:
        assert trial.clock == "LoadGen's (system clock)"
        assert trial.loadgen is not None
        assert trial.loadgen.version == VERSION
        assert (len(trial.samples_ns) == 0) is (flags[1] == "offline")
        assert len(trial.warmup_ns) >= 2
    table = subprocess.run([SCRIPT, "report", "--root", str(root)], capture_output=True, text=True, check=True).stdout
    assert shown in table


MISBEHAVING = """
import sys
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, x):
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        in_worker = spec is not None and spec.name == "benchbox.measure.process.worker"
        if in_worker and "mlperf_loadgen" in sys.modules:
            raise RuntimeError("layer 7 is broken")
        return self.layer(x)
"""


@pytest.mark.nightly
def test_a_network_that_fails_while_loadgen_runs_is_a_failed_record(benchbox: Callable, tmp_path: Path) -> None:
    # A name of its own: a module that another test of this process has imported stays imported.
    (tmp_path / "breaking_under_load.py").write_text(MISBEHAVING)
    mode = ("--mode", "server", "--rate", "500")
    ran = benchbox("run", "breaking_under_load:Net", "--input", "4", "--backend", "pytorch", *mode, *SHORT)
    assert ran.status == 5
    (record,) = ran.document["records"]
    assert record["status"] == "failed"
    assert "layer 7 is broken" in record["reason"]
    assert benchbox("report", "--json").document["records"] == [record]


@pytest.mark.nightly
def test_interrupted_while_loadgen_runs(root: Path, tmp_path: Path) -> None:
    """What was timed is kept, no process and no log of LoadGen's is left."""
    command = [
        *(SCRIPT, "run", "lenet5", "--mode", "server", "--rate", "300", "--trials", "3"),
        *("--threads", "1", "--max-time", "2", "--json", "--root", str(root)),
    ]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        told = ""
        while "process 2 of 3" not in told:
            told += run.stderr.readline()
        while not list(temporary.glob("*/benchbox-loadgen-*")):
            assert run.poll() is None
            time.sleep(0.01)
        workers = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    (record,) = json.loads(out)["records"]
    assert "INTERRUPTED" in {flag["code"] for flag in record["flags"]}
    assert {reading["n"] for reading in record["readings"] if reading["metric"] == "offered_rate"} <= {1, 2}
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
    assert list(temporary.glob("benchbox-*")) == [], "LoadGen's logs went with the process's folder"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--mode", "server"), ("--mode server needs --rate", "70 %")),
        (("--mode", "server", "--rate", "many"), ("--rate takes samples per second", "many")),
        (("--mode", "server", "--rate", "0"), ("--rate takes samples per second",)),
        (("--mode", "server", "--rate", "nan"), ("--rate takes samples per second",)),
        (("--mode", "server", "--rate", "1e7"), ("cannot be issued from Python",)),
        (("--mode", "server", "--rate", "1"), ("too few samples arrive", "--max-time 30")),
        (("--mode", "server", "--rate", "100", "--latency-bound", "0"), ("--latency-bound takes a positive",)),
        (("--rate", "100"), ("--rate belongs to --mode server", "isolated")),
        (("--mode", "offline", "--latency-bound", "0.1"), ("--latency-bound belongs to --mode server", "offline")),
        (
            ("--mode", "offline", "--streams", "2"),
            ("--streams belongs to --mode concurrent or multi-stream or server",),
        ),
        (("--mode", "multi-stream", "--group", "2"), ("--group belongs to --mode batched",)),
        (("--mode", "single-stream", "--batch", "8"), ("has no meaning", "queries have one sample")),
        (("--mode", "multi-stream", "--batch", "3"), ("not a multiple of --batch 3",)),
        (("--mode", "offline", "--backend", "null"), ("LoadGen runs in real time",)),
        (("--mode", "multistream"), ("did you mean 'multi-stream'",)),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: Sequence[str], words: Sequence[str], benchbox: Callable) -> None:
    ran = benchbox("run", "lenet5", *arguments)
    assert ran.status == 2
    for word in words:
        assert word in ran.err
    assert ran.out == ""


def test_without_the_package_the_exit_status_is_3(benchbox: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    missing = {"mlperf_loadgen"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in missing else find_spec(name, *rest)
    )
    ran = benchbox("run", "lenet5", "--mode", "offline")
    assert ran.status == 3
    assert "pip install 'benchbox[loadgen]'" in ran.err


def test_a_plan_shows_the_mode_and_its_defaults(benchbox: Callable) -> None:
    for mode, streams in (("multi-stream", 8), ("server", 1), ("concurrent", 2)):
        rate = ("--rate", "100") if mode == "server" else ()
        (record,) = benchbox("run", "lenet5", "--mode", mode, *rate, "--dry-run", "--json").document["records"]
        assert (record["plan"]["streams"], record["plan"]["rate_per_s"]) == (streams, 100.0 if rate else None)


@pytest.mark.parametrize(("seconds", "told"), [("3.69", True), ("3.7", False)])
def test_too_few_samples_for_loadgen_are_told_before(seconds: str, told: bool, benchbox: Callable) -> None:
    """662 samples must arrive in time, and arrivals are random: 3 s at 200/s, long told to be enough, never were."""
    asked = ("--mode", "server", "--rate", "200", "--max-time", seconds, "--backend", "onnxruntime", "--dry-run")
    ran = benchbox("run", "lenet5", *asked)
    assert ran.status == 0
    assert ("needs 662 samples" in ran.err) is told
    assert ("--max-time 4 or longer" in ran.err) is told
