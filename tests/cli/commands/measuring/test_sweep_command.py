"""``benchbox sweep``: what it shows before, what it says of wrong files, and how it is gone on with."""

from __future__ import annotations

import datetime
import importlib.util
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from refusing_store import DENIED, NO_BUCKET, refusing_store

from benchbox.errors import StoreError
from benchbox.fleet import host_lock, unit
from benchbox.fleet.plan import plan_of, write_plan
from benchbox.fleet.sweep_file import sweep_of
from benchbox.fleet.transfer import Transfer
from benchbox.jobs import sweep

refusing = pytest.fixture(refusing_store, name="refusing")

TINY = """
[sweep]
models = ["lenet5"]
backends = ["onnxruntime"]
precisions = ["fp32", "bf16"]
passes = 1
processes = 1
quick = true
max_time_s = 0.05
threads = [1]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(host_lock, "lock_path", lambda: tmp_path / "lock")
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return str(path)


def test_a_dry_run_shows_commands_and_time(file: str, benchbox: Callable, tmp_path: Path) -> None:
    ran = benchbox("sweep", file, "--dry-run")
    assert ran.status == 0
    assert re.search(
        r"^step p1-000\d is:\n  benchbox run lenet5 --backend onnxruntime --precision", ran.out, re.MULTILINE
    )
    assert "2 cases, 4 steps, 1 unit, about" in ran.out
    assert "0 of 2 cases were timed before" in ran.out
    assert benchbox("sweep", file, "--dry-run", "--json").document["schema"] == "benchbox.sweep/1"
    assert not (tmp_path / "results").exists()


def test_a_files_own_batch_and_precision_are_shown_and_asked_for(file: str, benchbox: Callable, tmp_path: Path) -> None:
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]), helper.make_node("Neg", ["q"], ["y"])]
    border = [helper.make_tensor_value_info("x", 1, [4, 8]), helper.make_tensor_value_info("y", 3, [4, 8])]
    constants = [numpy_helper.from_array(np.array(0.1, np.float32), "s"), numpy_helper.from_array(np.int8(0), "z")]
    graph = helper.make_graph(nodes, "net", border[:1], border[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "four.onnx")
    Path(file).write_text(
        '[sweep]\nmodels = ["four.onnx", "lenet5", "gone.onnx"]\nbackends = ["onnxruntime"]\npasses = 1\n'
    )
    plan = benchbox("sweep", file, "--dry-run", "--json").document
    cases = [step["case"] for unit in plan["units"] for step in unit["steps"] if not step["anchor"]]
    asked = {case["model"]: (case["precision"], case["batch"]) for case in cases}
    # Another machine may have the file that is gone.
    assert asked == {"four.onnx": ("int8", 4), "lenet5": ("fp32", 1), "gone.onnx": (None, None)}
    Path(file).write_text(Path(file).read_text() + '[[sweep.exclude]]\nmodel = "*"\nprecision = "*"\n')
    assert "1 case," in benchbox("sweep", file, "--dry-run").out
    Path(file).write_text(Path(file).read_text().replace(', "gone.onnx"', ""))
    refused = benchbox("sweep", file, "--dry-run")
    assert (refused.status, "is empty" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--resume",), 2, "no sweep 'tiny' to resume"),
        (("--address", "a:1"), 2, "--address belongs to --engine ray"),
        (("--engine", "rai"), 2, "did you mean 'ray'?"),
        (("--store", "ftp://x"), 2, "no store is reached by 'ftp://'"),
    ],
)
def test_what_cannot_be_done_says_why(
    arguments: tuple[str, ...], status: int, words: str, file: str, benchbox: Callable
) -> None:
    ran = benchbox("sweep", file, *arguments)
    assert ran.status == status
    assert words in ran.err


def test_a_file_with_errors(benchbox: Callable, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(TINY.replace("passes", "pases"))
    ran = benchbox("sweep", "bad.toml")
    assert ran.status == 2
    assert "line 6: sweep.pases: there is no such key, did you mean 'passes'?" in ran.err
    assert benchbox("sweep", "none.toml").status == 2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"lenet5"', '"lenett5"', "line 3: sweep.models.1: there is no network 'lenett5' (did you mean 'lenet5'"),
        ("quick = true", 'modes = ["server"]', "mode server needs rate"),
        ("quick = true", "rate = 5", "rate is of mode server"),
        ("max_time_s = 0.05", "max_time_s = 5\ntimeout_s = 2", "timeout_s 2 ends a process before the max_time_s 5"),
        ("threads = [1]", '[[sweep.exclude]]\nmodel = "*"', "is empty"),
        ("threads = [1]", '[[sweep.exclude]]\nmodle = "*"', "line 11: sweep.exclude.1.modle: there is no such key"),
    ],
)
def test_what_cannot_be_meant_is_2(old: str, new: str, words: str, benchbox: Callable, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(TINY.replace(old, new))
    ran = benchbox("sweep", "bad.toml", "--dry-run")
    assert ran.status == 2
    assert words in ran.err


def test_a_clock_before_the_plan_is_3(file: str, benchbox: Callable, tmp_path: Path) -> None:
    asked = sweep_of(Path(file))
    tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    write_plan(tmp_path, plan_of(asked, estimate=lambda case, processes: 1.0, now=tomorrow))
    ran = benchbox("sweep", file, "--resume")
    assert ran.status == 3
    assert "the clock of this machine is off" in ran.err


@pytest.mark.parametrize(
    ("answer", "words"),
    [(NO_BUCKET, "there is no bucket 'records'"), (DENIED, "no permission to list in bucket 'records'")],
)
def test_a_store_that_refuses_is_6_before_anything_is_measured(
    answer: tuple[int, str], words: str, refusing: Callable, file: str, benchbox: Callable, tmp_path: Path
) -> None:
    refusing(*answer)
    ran = benchbox("sweep", file, "--store", "s3://records/here")
    assert ran.status == 6
    assert words in ran.err
    assert not list(tmp_path.glob("results/records/env=*"))


def test_records_that_could_not_be_shared_are_6_at_the_end(
    file: str, benchbox: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are stored here, and whoever waits for them elsewhere learns it; the next start shares what is left."""
    answers: list[bool] = []
    refuses = True

    def push(root: Path, objects: object) -> Transfer:
        answers.append(not refuses)
        if refuses:
            raise StoreError("no permission to write in bucket 'records'", values="403")
        return Transfer(copied=(), present=0, faults=(), size_bytes=0)

    monkeypatch.setattr(sweep, "push", push)
    monkeypatch.setattr(sweep, "measure_unit", lambda *_, **__: iter(()))
    shared = tmp_path / "shared store"
    shared.mkdir()
    ran = benchbox("sweep", file, "--store", shared.as_uri())
    assert ran.status == 6
    assert "the records are not shared" in ran.err
    assert f"benchbox store push {shlex.quote(shared.as_uri())}" in ran.err
    assert len(answers) > 1, "after each unit, and at the end"
    refuses = False
    monkeypatch.setattr(sweep, "open_units", lambda *_: ())
    benchbox("sweep", file, "--store", shared.as_uri(), "--resume")
    assert answers[-1], "nothing is left to measure, and it is shared all the same"


def test_a_machine_that_nobody_has(benchbox: Callable, tmp_path: Path) -> None:
    (tmp_path / "gpu.toml").write_text(TINY + '[sweep.require]\ngpu = "*H100*"\ncpu = "abacus*"\n')
    ran = benchbox("sweep", "gpu.toml")
    assert ran.status == 3
    assert "not 'abacus*'" in ran.err
    (tmp_path / "class.toml").write_text(TINY + '[sweep.require]\nlabels = { benchbox-class = "h100" }\n')
    ran = benchbox("sweep", "class.toml")
    assert ran.status == 3
    assert "benchbox-class=h100 is asked for" in ran.err


def test_without_ray(file: str, benchbox: Callable) -> None:
    if importlib.util.find_spec("ray") is not None:
        pytest.skip("runs where Ray is not installed")
    ran = benchbox("sweep", file, "--engine", "ray")
    assert ran.status == 3
    assert "pip install 'benchbox[ray]'" in ran.err


def test_an_interrupted_sweep_goes_on(
    file: str, benchbox: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps end without records, as when their processes are killed; later they are measured, and not once more."""
    calls: list[str] = []

    def killed(root: Path, plan: object, step: unit.Step, **choice: object) -> int:
        calls.append(step.name)
        return -9

    monkeypatch.setattr(unit, "_run", killed)
    ran = benchbox("sweep", file, "--json")
    assert ran.status == 5
    assert [step["done"] for step in ran.document["steps"]] == [False] * 4
    assert len(calls) == 8, "each step was tried twice"
    plan = json.loads(next(tmp_path.glob("results/sweeps/*/plan.json")).read_text())
    assert ran.document["plan"] == plan["id"]
    text = benchbox("sweep", file, "--resume")
    assert "no record, exit status -9" in text.err
    assert "--resume  (not done: 4 steps)" in text.out
