"""The main job, end to end on real networks: export, check, run, record, report."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchbox.jobs import cases as benchbox_cases
from benchbox.store.records import read_trials, record_files

pytestmark = pytest.mark.usefixtures("lenet_exported")

ORT = ("--backend", "onnxruntime")
SCRIPT = Path(sys.executable).with_name("benchbox")
METRICS = {
    "latency_p50": "s",
    "latency_p90": "s",
    "latency_p99": "s",
    "latency_mean": "s",
    "throughput": "1/s",
    "peak_host_memory": "bytes",
    "achieved_flops": "1/s",
    "load_time": "s",
    "first_inference": "s",
    "host_memory_runtime": "bytes",
    "host_memory_steady": "bytes",
    "probe_arithmetic": "s",
}
# Only where a process grew, enough samples were taken, or there are several threads.
SOMETIMES = {
    "probe_handover": "s",
    "host_memory_load": "bytes",
    "host_memory_run": "bytes",
    "host_memory_first": "bytes",
    "latency_p99_bound": "s",
}


def stored_files(root: Path) -> list[Path]:
    return sorted((root / "results").rglob("*.parquet"))


def leftovers(root: Path) -> list[Path]:
    """Files that are neither a record nor an artifact: what a half-finished write would leave."""
    known = {".parquet", ".onnx", ".json", ".npz"}
    return [path for path in root.rglob("*") if path.is_file() and (path.suffix not in known or path.name[0] == ".")]


def test_run_measures_checks_and_stores(benchbox: Callable, short: tuple[str, ...], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "engines")  # the export is a part of it
    ran = benchbox("run", "lenet5", "--json", *short)
    assert ran.status == 0, ran.err
    assert ran.document["schema"] == "benchbox.run/1"
    (record,) = ran.document["records"]
    assert record["status"] == "ok"
    assert record["key"] == {
        "model": "lenet5",
        "backend": "onnxruntime",
        "precision": "fp32",
        "batch": 1,
        "mode": "isolated",
        "device": "cpu",
    }
    readings = {reading["metric"]: reading for reading in record["readings"]}
    units = {name: reading["unit"] for name, reading in readings.items()}
    assert METRICS.items() <= units.items() <= {**METRICS, **SOMETIMES}.items()
    for reading in readings.values():
        assert reading["n"] == 2
        assert 0 < reading["low"] <= reading["value"] <= reading["high"]
    assert readings["latency_p50"]["value"] <= readings["latency_p99"]["value"]
    analytic = record["analytic"]
    assert (analytic["macs"], analytic["params"]) == (6_522_000, 1_256_080)
    flops_per_s = analytic["flops"] / readings["latency_p50"]["value"]
    assert readings["achieved_flops"]["value"] == pytest.approx(flops_per_s, rel=1e-6)
    assert record["correctness"]["passed"] is True
    assert record["correctness"]["hops"][0]["from"].startswith("pytorch")
    assert record["plan"]["threads"] == 1
    assert record["engine_sha256"] is None
    (build,) = record["builds"]
    assert build["what"] == "onnx"
    assert build["duration_s"] > 0
    assert build["peak_host_bytes"] > 20_000_000
    assert len(stored_files(tmp_path)) == 1
    assert not leftovers(tmp_path)


@pytest.mark.usefixtures("one_process")
def test_report_shows_what_run_stored(benchbox: Callable, short: tuple[str, ...]) -> None:
    measured = benchbox("run", "lenet5", "--json", *short).document["records"]
    assert benchbox("report", "--json").document["records"] == measured
    again = benchbox("run", "lenet5", "--json", *short).document["records"]
    assert "builds" not in again[0], "the file was found, so nothing is known of its making"
    table = benchbox("report").out
    assert "lenet5" in table
    assert measured[0]["environment"]["hash"][:8] in table
    assert "latency_p50_low" in benchbox("report", "--format", "csv").out.splitlines()[0]
    assert benchbox("report", "--format", "md").out.startswith("|")
    assert benchbox("report", "--where", "model=vgg*", "--json").document["records"] == []


@pytest.mark.usefixtures("one_process")
def test_fp16_on_a_cpu_is_shown_as_what_it_is(benchbox: Callable, short: tuple[str, ...]) -> None:
    (record,) = benchbox("run", "lenet5", *ORT, "--precision", "fp16", "--json", *short).document["records"]
    assert record["status"] == "ok"
    assert {reading["metric"] for reading in record["readings"]} >= {"latency_p50", "throughput"}
    assert record["evidence"]["executed"] == {"fp32": 4}
    proof = record["proof"]
    assert (proof["asked"], proof["required"], proof["share"], proof["passed"]) == ("fp16", 0.9, 0.0, False)
    assert proof["macs"] == {"fp32": 1.0, "fp16": 0.0}
    assert sum(proof["bytes"].values()) == pytest.approx(1)
    assert [layer["name"] for layer in proof["layers"]] == ["conv1", "conv2", "fc1", "fc2"]
    flags = {flag["code"]: flag["severity"] for flag in record["flags"]}
    assert flags["PRECISION_NOT_EXECUTED"] == "error"
    shown = benchbox("report", "--format", "md").out
    assert "| fp16 0 % | 1 | void | – |" in shown
    assert "| fp16 0 %, fp32 100 % |" in benchbox("report", "--format", "md", "--wide").out
    assert "conv1 (fp32), conv2 (fp32)" in benchbox("report").out


@pytest.mark.usefixtures("one_process")
def test_a_case_below_the_share_that_was_asked_for_is_not_timed(
    benchbox: Callable, short: tuple[str, ...], tmp_path: Path
) -> None:
    arguments = ("run", "lenet5", *ORT, "--precision", "fp32,fp16", "--min-executed", "0.5", "--json", *short)
    ran = benchbox(*arguments)
    assert ran.status == 4
    assert "choose a backend that runs this precision" in ran.err
    whole, cast = sorted(ran.document["records"], key=lambda record: record["status"] != "ok")
    assert (whole["key"]["precision"], whole["status"], whole["proof"]["passed"]) == ("fp32", "ok", True)
    assert whole["proof"]["required"] == 0.5
    assert (cast["key"]["precision"], cast["status"], cast["readings"]) == ("fp16", "failed", [])
    assert cast["reason"].startswith("precision: fp16 was executed for 0 % of the MACs, 50 % are required")
    assert "conv1 (fp32), conv2 (fp32), fc1 (fp32), fc2 (fp32)" in cast["reason"]
    assert (cast["proof"]["passed"], cast["correctness"]["passed"]) == (False, True)
    stored = [sorted({row["pass"] for row in read_trials(file)}) for file in record_files(tmp_path)]
    assert sorted(stored) == [["check"], ["check", "memory", "timing"]], "what is known to fail is not timed"


@pytest.mark.parametrize("share", ["1.1", "-0.1", "nan", "90%", "most"])
def test_a_share_is_a_number_from_0_to_1(benchbox: Callable, share: str) -> None:
    ran = benchbox("run", "lenet5", "--min-executed", share)
    assert ran.status == 2
    assert "--min-executed takes a share from 0 to 1" in ran.err


@pytest.mark.usefixtures("one_process")
def test_without_model_every_exported_one_runs(benchbox: Callable, short: tuple[str, ...]) -> None:
    assert benchbox("export", "lenet5").status == 0
    records = benchbox("run", "--backend", "onnxruntime", "--precision", "fp16", "--json", *short).document["records"]
    assert [(record["key"]["model"], record["key"]["precision"]) for record in records] == [("lenet5", "fp16")]


@pytest.mark.usefixtures("one_process")
def test_a_matrix_skips_with_the_reason(benchbox: Callable, short: tuple[str, ...], tmp_path: Path) -> None:
    arguments = ("run", "lenet5", "--backend", "onnxruntime,pytorch", "--precision", "fp32,tf32", "--json")
    ran = benchbox(*arguments, *short, "--trials", "1")
    assert ran.status == 0, ran.err
    statuses = {(row["key"]["backend"], row["key"]["precision"]): row for row in ran.document["records"]}
    assert {key: row["status"] for key, row in statuses.items()} == {
        ("onnxruntime", "fp32"): "ok",
        ("onnxruntime", "tf32"): "skipped",
        ("pytorch", "fp32"): "ok",
        ("pytorch", "tf32"): "skipped",
    }
    assert statuses["onnxruntime", "tf32"]["reason"]
    assert statuses["onnxruntime", "tf32"]["readings"] == []
    assert len(stored_files(tmp_path)) == 4


@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp8"])
def test_what_cannot_run_alone_is_a_usage_error(precision: str, benchbox: Callable, tmp_path: Path) -> None:
    ran = benchbox("run", "lenet5", *ORT, "--precision", precision)
    assert ran.status == 2
    assert precision in ran.err
    assert not stored_files(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("resnet5",), ("resnet5", "did you mean 'resnet50'")),
        (("lenet5", "--backend", "onnxruntim"), ("onnxruntim", "did you mean 'onnxruntime'")),
        (("lenet5", "--precision", "fp61"), ("fp61", "did you mean", "'fp16'")),
        (("lenet5", "--mode", "isolate"), ("isolate", "did you mean 'isolated'")),
        (("lenet5", "--batch", "0"), ("--batch", "'0'")),
        (("lenet5", "--threads", "none"), ("--threads", "'none'")),
        (("lenet5", "--max-time", "-1"), ("--max-time", "'-1'")),
        (("lenet5", "--input", "3by4"), ("3by4",)),
        (("missing.onnx",), ("missing.onnx",)),
        (("lenet5", "--weights", "missing.pt"), ("missing.pt",)),
        (("lenet5", "resnet18", "--weights", "some.pt"), ("--weights",)),
        (("nowhere.to.be:found", "--input", "3x8x8"), ("nowhere",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_words_are_answered_before_anything_is_measured(
    arguments: tuple[str, ...], words: tuple[str, ...], benchbox: Callable, tmp_path: Path
) -> None:
    ran = benchbox("run", *arguments)
    assert ran.status == 2
    assert ran.out == ""
    for word in words:
        assert word in ran.err
    assert not stored_files(tmp_path)
    assert not leftovers(tmp_path)


def test_a_dry_run_says_what_would_be_void(benchbox: Callable) -> None:
    ran = benchbox("run", "lenet5", "--backend", "onnxruntime", "--threads", "4096", "--dry-run")
    assert "would be measured; void, as 4096 threads share" in ran.out


def test_a_dry_run_fits_the_screen(benchbox: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    ran = benchbox("run", "lenet5", "--backend", "onnxruntime", "--threads", "4096", "--dry-run")
    assert "OVERSUBSCRIBED" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100


def test_dry_run_measures_nothing(benchbox: Callable, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    ran = benchbox("run", "lenet5", *ORT, "--precision", "fp32,bf16", "--dry-run", "--json")
    assert ran.status == 0
    reasons = [record["reason"] for record in ran.document["records"]]
    assert "dry run" in reasons[0]
    assert "cannot run" in reasons[1]
    assert sorted(tmp_path.rglob("*")) == before
    assert "lenet5 onnxruntime fp32 batch 1" in benchbox("run", "lenet5", "--dry-run").out


@pytest.mark.usefixtures("one_process")
def test_a_virtual_clock_is_never_stored(benchbox: Callable, short: tuple[str, ...], tmp_path: Path) -> None:
    (record,) = benchbox("run", "lenet5", "--backend", "null", "--json", *short).document["records"]
    assert record["key"]["device"] == "virtual"
    assert "VIRTUAL_CLOCK" in {flag["code"] for flag in record["flags"]}
    assert not stored_files(tmp_path)


def test_unwritable_results_fail_before_measuring(benchbox: Callable, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where the folder should be")
    before = sorted(tmp_path.rglob("*"))
    ran = benchbox("run", "lenet5", "--precision", "fp16")
    assert ran.status == 6
    assert "results" in ran.err
    assert sorted(tmp_path.rglob("*")) == before


MISBEHAVING = """
import os, sys, time
import torch

def inside_worker():
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == "benchbox.measure.process.worker"

class Net(torch.nn.Module):
    def __init__(self, way):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.way = way

    def forward(self, x):
        if inside_worker():
            if self.way == "crash":
                os.abort()
            if self.way == "hang":
                time.sleep(60)
            if self.way == "memory":
                raise MemoryError
            if self.way == "wrong":
                return self.linear(x) + 1
        return self.linear(x)

def crash(): return Net("crash")
def hang(): return Net("hang")
def memory(): return Net("memory")
def wrong(): return Net("wrong")
def raises(): raise RuntimeError("no such layer")
def nothing(): return 42
"""


@pytest.mark.parametrize(
    ("way", "status", "word"),
    [
        ("crash", 5, "SIGABRT"),
        pytest.param("hang", 5, "timeout", marks=pytest.mark.nightly),
        pytest.param("memory", 5, "memory", marks=pytest.mark.nightly),
        ("wrong", 4, "tolerance"),
    ],
)
def test_a_worker_that_misbehaves_loses_no_record(
    way: str, status: int, word: str, benchbox: Callable, tmp_path: Path, short: tuple[str, ...]
) -> None:
    (tmp_path / "misbehaving.py").write_text(MISBEHAVING)
    limit = "8" if way == "hang" else "300"
    arguments = ("run", f"misbehaving:{way}", "--backend", "pytorch", "--json", "--timeout", limit)
    shapes = benchbox(*arguments, *short)
    assert shapes.status == 2, "a factory does not say its input shape"
    ran = benchbox(*arguments, "--input", "4", *short)
    assert ran.status == status, ran.err
    (record,) = ran.document["records"]
    assert record["status"] == "failed"
    assert record["readings"] == []
    assert word in record["reason"] + ran.err
    assert len(stored_files(tmp_path)) == 1
    assert benchbox("report", "--json").document["records"] == [record]
    assert [path.name for path in leftovers(tmp_path) if "__pycache__" not in path.parts] == ["misbehaving.py"]


@pytest.mark.parametrize(("way", "word"), [("raises", "no such layer"), ("nothing", "42"), ("absent", "absent")])
def test_a_factory_that_makes_no_network(way: str, word: str, benchbox: Callable, tmp_path: Path) -> None:
    (tmp_path / "misbehaving.py").write_text(MISBEHAVING)
    ran = benchbox("run", f"misbehaving:{way}", "--input", "4")
    assert ran.status == (4 if way == "raises" else 2)
    assert word in ran.err
    assert "Traceback" not in ran.err


def test_one_failure_does_not_stop_the_matrix(benchbox: Callable, tmp_path: Path, short: tuple[str, ...]) -> None:
    (tmp_path / "misbehaving.py").write_text(MISBEHAVING)
    ran = benchbox("run", "misbehaving:crash", "--input", "4", "--backend", "pytorch,onnxruntime", "--json", *short)
    assert ran.status == 5
    assert [record["status"] for record in ran.document["records"]] == ["failed", "ok"]


@pytest.mark.nightly
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_what_was_measured_before_an_interrupt_is_kept(tmp_path: Path, number: signal.Signals) -> None:
    command = [
        SCRIPT,
        "run",
        "lenet5",
        "--batch",
        "1,2",
        "--trials",
        "3",
        "--threads",
        "1",
        "--max-time",
        "1",
        "--json",
    ]
    environment = {**os.environ, "BENCHBOX_ROOT": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        told = ""
        while "process 2 of 3" not in told:  # each case has been timed once
            told += run.stderr.readline()
        run.send_signal(number)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert "interrupted" in err
    records = json.loads(out)["records"]
    assert len(stored_files(tmp_path)) == len(records) == 2
    assert {record["key"]["batch"] for record in records} == {1, 2}
    for record in records:
        assert record["status"] == "ok"
        assert "INTERRUPTED" in {flag["code"] for flag in record["flags"]}
        assert {reading["n"] for reading in record["readings"]} <= {1, 2}
    assert not leftovers(tmp_path)


def test_an_onnx_file_needs_no_torch(benchbox: Callable, short: tuple[str, ...], tmp_path: Path) -> None:
    exported = benchbox("export", "lenet5", "--json").document["artifacts"][0]
    net = tmp_path / "net.onnx"
    net.write_bytes((tmp_path / exported["path"]).read_bytes())
    script = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from benchbox.cli import exit_status\n"
        f"sys.exit(exit_status(['run', 'net.onnx', '--json', *{list(short)!r}]))"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    (record,) = json.loads(run.stdout)["records"]
    assert record["status"] == "ok"
    assert record["onnx_sha256"] == exported["sha256"]
    assert record["correctness"]["hops"][0]["from"] == "onnx-unoptimised"


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        (("--mode", "batched", "--group", "3"), "batched(3)"),
        (("--mode", "cold"), "cold"),
        (("--mode", "concurrent", "--streams", "2"), "concurrent(2)"),
    ],
)
def test_modes_are_measured_and_told(
    flags: tuple[str, ...], shown: str, benchbox: Callable, short: tuple[str, ...], tmp_path: Path
) -> None:
    ran = benchbox("run", "lenet5", *flags, *short)
    assert ran.status == 0, ran.err
    assert shown in ran.out
    (record,) = benchbox("report", "--format", "json").document["records"]
    assert record["key"]["mode"] == flags[1]
    assert METRICS.keys() <= {reading["metric"] for reading in record["readings"]}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--mode", "pipelined"), "there is nothing to overlap"),
        (("--mode", "piplined"), "did you mean 'pipelined'"),
        (("--group", "3"), "--group belongs to --mode batched"),
        (("--streams", "3", "--mode", "cold"), "--streams belongs to --mode concurrent"),
        (("--ab", "backend=onnxruntime", "speed=high"), "unknown key of --ab 'speed'"),
        (("--ab", "backend=onnxruntime", "pytorch"), "KEY=VALUE"),
        (("--ab", "batch=1", "batch=1"), "are the same"),
        (("--ab", "batch=1", "python=/no/such/python"), "does not start"),
    ],
)
def test_what_modes_and_sides_refuse(flags: tuple[str, ...], words: str, benchbox: Callable) -> None:
    ran = benchbox("run", "lenet5", *flags, "--quick")
    assert ran.status in {2, 3}
    assert words in ran.err


def test_two_sides_that_take_turns(
    benchbox: Callable, short: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As below, moment by moment: so many pairs and turns at least (here fewer than a user has)."""
    monkeypatch.setattr(benchbox_cases, "TURN_S", 0.03)
    monkeypatch.setattr(benchbox_cases, "LEAST_TURNS", 20)
    monkeypatch.setattr(benchbox_cases, "LEAST_PAIRS", 3)
    ran = benchbox(
        "run", "lenet5", "--ab", "batch=1", "batch=16", "--ab-order", "paired", *short, "--no-memory", "--json"
    )
    assert ran.status == 0, ran.err
    first, second = ran.document["records"]
    assert first["plan"]["turn_s"] == second["plan"]["turn_s"] == 0.03
    assert first["plan"]["max_time_s"] == first["plan"]["min_time_s"] == pytest.approx(0.6)
    verdicts = {verdict["metric"]: verdict for verdict in ran.document["verdicts"]}
    assert verdicts["latency_p50"]["ratio"] > 2
    assert (verdicts["latency_p50"]["n_base"], verdicts["latency_p50"]["n_head"]) == (3, 3)
    assert "at least 6 processes" in verdicts["latency_p50"]["reason"]
    assert len(stored_files(tmp_path)) == 2


@pytest.mark.parametrize(
    "flags", [("--mode", "server", "--rate", "500"), ("--mode", "offline"), ("--ab-order", "pair")]
)
def test_what_cannot_take_turns_is_refused(flags: tuple[str, ...], benchbox: Callable) -> None:
    ran = benchbox("run", "lenet5", "--ab", "batch=1", "batch=2", "--ab-order", "paired", *flags, "--quick")
    assert ran.status == 2
    assert "paired" in ran.err


def test_two_sides_in_turn(benchbox: Callable, short: tuple[str, ...], tmp_path: Path) -> None:
    """Side B does 64 times the work of side A in another Python of the same version, and is never found faster."""
    sides = ("--ab", "batch=1", f"batch=64,python={sys.executable}")
    ran = benchbox("run", "lenet5", *sides, *short, "--trials", "4", "--no-memory", "--json")
    assert ran.status == 0, ran.err
    first, second = ran.document["records"]
    assert (first["key"]["batch"], second["key"]["batch"]) == (1, 64)
    assert first["environment"]["hash"] == second["environment"]["hash"]
    verdicts = {verdict["metric"]: verdict for verdict in ran.document["verdicts"]}
    assert set(verdicts) == {"latency_p50", "throughput"}
    assert verdicts["latency_p50"]["ratio"] > 2
    # inconclusive where the machine took too much of the time away
    assert verdicts["latency_p50"]["outcome"] in {"slower", "inconclusive"}
    assert (verdicts["latency_p50"]["n_base"], verdicts["latency_p50"]["n_head"]) == (4, 4)
    assert len(stored_files(tmp_path)) == 2
