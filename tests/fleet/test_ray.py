"""A sweep on a Ray cluster on this machine: units are placed, records meet, and whatever is killed loses nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Cluster, S3Server, free_port, kill, steps_running

from benchbox.errors import EnvironmentLackError
from benchbox.fleet.plan import plan_of
from benchbox.fleet.ray import measure_on_node, measure_on_ray
from benchbox.fleet.sweep_file import Sweep
from benchbox.jobs.sweep import node_facts
from benchbox.schema.record import Status
from benchbox.store.records import record_files, records_under

SWEEP = """
[sweep]
models = ["lenet5"]
backends = ["onnxruntime", "openvino"]
passes = 2
processes = 2
quick = true
max_time_s = 0.05
threads = [1]
"""
STEPS = 4 + 3  # with three anchors
# How often something is killed; a moment takes some ten seconds.
MOMENTS = int(os.environ.get("BENCHBOX_KILLS", "12"))
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="runs where Ray is installed: pip install 'benchbox[ray]'"
)


def test_a_node_of_another_version_measures_nothing(tmp_path: Path) -> None:
    sweep = Sweep(models=["lenet5"], backends=["onnxruntime"], name="s")
    plan = dataclasses.replace(plan_of(sweep, estimate=lambda case, processes: 1.0), version="0.0.1")
    end = measure_on_node(plan, 1, str(tmp_path), "", "2.60.0", node_facts, {})
    assert "the plan is of 0.0.1: install the same on all nodes" in end.unfit
    assert end.lines == ()
    assert list(tmp_path.iterdir()) == []


@needs_ray
def test_where_no_cluster_is_that_is_said_at_once(tmp_path: Path) -> None:
    sweep = Sweep(models=["lenet5"], backends=["onnxruntime"], name="s")
    plan = plan_of(sweep, estimate=lambda case, processes: 1.0)
    ends = measure_on_ray(
        plan, [1], root=tmp_path, store="", address=f"127.0.0.1:{free_port()}", probe=node_facts, files={},
        look=lambda: None, say=pytest.fail,
    )  # fmt: skip
    with pytest.raises(EnvironmentLackError, match="there is no Ray cluster"):
        next(ends)


@pytest.fixture
def server() -> Iterator[S3Server]:
    pytest.importorskip("moto.server", reason="S3 itself is tested where moto[server] is installed")
    server = S3Server()
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def cluster(tmp_path: Path, server: S3Server) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "nodes", nodes=3, environment=server.environment)
    try:
        yield cluster
    finally:
        cluster.close()


def started(file: Path, cluster: Cluster, server: S3Server, *arguments: str) -> subprocess.Popen[Any]:
    command = [sys.executable, "-m", "benchbox", "sweep", str(file), "--engine", "ray", "--address", cluster.address]
    command += ["--store", "s3://records/here", "--json", *arguments]
    return subprocess.Popen(
        command, cwd=file.parent, env={**os.environ, **server.environment}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def marks(root: Path) -> Counter[str]:
    return Counter(record.environment.observed["sweep"] for record in records_under(root) if record.status is Status.OK)


@pytest.mark.nightly
@needs_ray
def test_units_are_measured_by_the_cluster_and_records_meet_in_the_store(
    cluster: Cluster, server: S3Server, tmp_path: Path
) -> None:
    file = tmp_path / "two.toml"
    file.write_text(SWEEP)
    run = started(file, cluster, server)
    out, err = run.communicate(timeout=400)
    assert run.returncode == 0, err.decode()
    assert all(step["done"] for step in json.loads(out)["steps"])
    assert set(marks(tmp_path).values()) == {1}
    observed = next(iter(records_under(tmp_path))).environment.observed
    assert observed["dispatcher"].startswith("ray ")
    assert float(observed["dispatcher_cpu_s"]) >= 0
    assert os.getuid() != 0 or "low_priority" not in observed, "Ray's workers have nice 15"
    for require, words in (
        ('labels = { benchbox-class = "h100" }', "benchbox-class=other, benchbox-class=test"),
        ('cpu = "abacus*"', "not 'abacus*'"),
    ):
        file.write_text(f"{SWEEP}[sweep.require]\n{require}\n")
        refused = started(file, cluster, server)
        _, err = refused.communicate(timeout=120)
        assert refused.returncode == 3
        assert words in err.decode()


@pytest.mark.nightly
@needs_ray
def test_whatever_is_killed_each_step_has_its_record_once(cluster: Cluster, server: S3Server, tmp_path: Path) -> None:
    """The driver, a node, a step or the store, at random moments, in one sweep after the other."""
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}", flush=True)
    drawn, moments = random.Random(seed), 0
    killed: Counter[str] = Counter()
    sweeps = 0
    while moments < MOMENTS:
        sweeps += 1
        folder = tmp_path / f"sweep-{sweeps}"
        folder.mkdir()
        file = folder / f"kills{sweeps}.toml"
        file.write_text(SWEEP)
        run = started(file, cluster, server)
        while moments < MOMENTS:
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.communicate(timeout=drawn.uniform(2, 14))
                if run.returncode == 0:
                    break
                run = started(file, cluster, server, *resumed(folder))
                continue
            what = drawn.choice(["driver", "node", "step", "store"])
            moments += 1
            killed[what] += 1
            print(f"moment {moments}, sweep {sweeps}: the {what} is killed", flush=True)
            if what == "driver":
                kill(run.pid)
                run.communicate(timeout=60)
                run = started(file, cluster, server, *resumed(folder))
            elif what == "node":
                number = drawn.choice([2, 3])
                cluster.kill(number)
                time.sleep(drawn.uniform(0, 3))
                cluster.start(number)
            elif what == "step":
                for process in steps_running(str(tmp_path))[:1]:
                    kill(process.pid)
            else:
                server.kill()
                time.sleep(drawn.uniform(0, 3))
                server.start()
        completed(run, file, cluster, server)
    print(f"{moments} moments in {sweeps} sweeps: {dict(killed)}", flush=True)


def resumed(folder: Path) -> list[str]:
    return ["--resume"] if list(folder.glob("results/sweeps/*/plan.json")) else []


def completed(run: subprocess.Popen[Any], file: Path, cluster: Cluster, server: S3Server) -> None:
    """Goes on until all is done; then every step has one record with numbers, and all can be read."""
    out, err = b"", b""
    for _ in range(4):
        with contextlib.suppress(ValueError):  # its output was read already
            out, err = run.communicate(timeout=600)
        if run.returncode == 0:
            break
        run = started(file, cluster, server, *resumed(file.parent))
    assert run.returncode == 0, out.decode() + err.decode()
    found = marks(file.parent)
    assert set(found.values()) == {1}, found
    # The store may still have the records of the sweeps before, which are fetched with the others.
    assert sum(f"-{file.stem}-" in mark for mark in found) == STEPS, found
    assert len(list(records_under(file.parent))) == len(record_files(file.parent)), "all can be read"
