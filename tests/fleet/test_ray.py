"""A sweep on a Ray cluster of two nodes on this machine: units are placed, records meet, killed nodes lose nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchbox.fleet.plan import plan_of
from benchbox.fleet.ray import measure_on_node
from benchbox.fleet.sweep_file import Sweep
from benchbox.schema.record import Status
from benchbox.store.records import records_under

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
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="runs where Ray is installed: pip install 'benchbox[ray]'"
)


def test_a_node_of_another_version_says_so(tmp_path: Path) -> None:
    sweep = Sweep(models=["lenet5"], backends=["onnxruntime"], name="s")
    plan = dataclasses.replace(plan_of(sweep, estimate=lambda case, processes: 1.0), version="0.0.1")
    end = measure_on_node(plan, 1, str(tmp_path), "", "2.60.0")
    assert "the plan is of 0.0.1: install the same on all nodes" in end.fault
    assert end.lines == ()


def _ray(*arguments: str) -> None:
    command = [sys.executable, "-m", "ray.scripts.scripts", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture
def cluster() -> Iterator[str]:
    """Two nodes on loopback addresses, each offering a machine; the address of the head."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    node = ["--num-cpus", "1", "--num-gpus", "0", "--resources", '{"benchbox_machine": 1}', "--disable-usage-stats"]
    node += ["--object-store-memory", "100000000", "--labels", "benchbox-class=test"]
    head = ["--head", "--node-ip-address", "127.0.0.1", "--port", str(port), "--include-dashboard=false"]
    _ray("start", *head, *node)
    try:
        _ray("start", "--address", f"127.0.0.1:{port}", "--node-ip-address", "127.0.0.2", *node)
        yield f"127.0.0.1:{port}"
    finally:
        _ray("stop", "--force")


def started(file: Path, address: str, *arguments: str) -> subprocess.Popen[Any]:
    command = [sys.executable, "-m", "benchbox", "sweep", str(file), "--engine", "ray", "--address", address, "--json"]
    return subprocess.Popen([*command, *arguments], cwd=file.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def marks(root: Path) -> Counter[str]:
    return Counter(record.environment.observed["sweep"] for record in records_under(root) if record.status is Status.OK)


@pytest.mark.nightly
@needs_ray
def test_units_are_measured_by_the_cluster_and_records_meet_in_the_store(cluster: str, tmp_path: Path) -> None:
    file = tmp_path / "two.toml"
    file.write_text(SWEEP)
    run = started(file, cluster, "--store", str(tmp_path / "store"))
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err.decode()
    assert all(step["done"] for step in json.loads(out)["steps"])
    assert set(marks(tmp_path).values()) == {1}
    observed = next(iter(records_under(tmp_path))).environment.observed
    assert observed["dispatcher"].startswith("ray ")
    assert float(observed["dispatcher_cpu_s"]) >= 0
    file.write_text(SWEEP + '[sweep.require]\nlabels = { benchbox-class = "h100" }\n')
    refused = started(file, cluster)
    _, err = refused.communicate(timeout=60)
    assert refused.returncode == 3
    assert b"benchbox-class=test" in err


@pytest.mark.nightly
@needs_ray
def test_a_killed_node_and_a_killed_driver_lose_nothing(cluster: str, tmp_path: Path) -> None:
    file = tmp_path / "kills.toml"
    file.write_text(SWEEP)
    run = started(file, cluster)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("results/sweeps/*/steps/*.log")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    raylets = [process for process in psutil.process_iter(["name"]) if process.info["name"] == "raylet"]
    with contextlib.suppress(psutil.NoSuchProcess):
        raylets[-1].kill()
    time.sleep(3)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate(timeout=60)
    again = started(file, cluster, "--resume")
    out, err = again.communicate(timeout=400)
    assert again.returncode == 0, out.decode() + err.decode()
    assert set(marks(tmp_path).values()) == {1}
    assert len(marks(tmp_path)) == 4 + 3
