"""A disk that fills: a clear error, nothing half-written, and what was there before stays readable.

A limit on the size of files stands in for the full disk: the same calls fail, with "File too large".
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from simulation import environment

from benchbox.store.records import SIMULATION_MARK, record_files, records_under

SHORT = ("--quick", "--trials", "1", "--max-time", "0.05", "--threads", "1")
LIMITED = "import os, resource, sys; n = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (n, n)); "


def benchbox(*arguments: str, file_bytes: int, **knobs: Any) -> subprocess.CompletedProcess[str]:
    """A command that can write no file of more than ``file_bytes``, on the simulated GPU where it has knobs."""
    start = LIMITED + "os.execv(sys.executable, [sys.executable, '-m', 'benchbox', *sys.argv[2:]])"
    return subprocess.run(
        [sys.executable, "-c", start, str(file_bytes), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=Path(__file__).parents[2],
        env=environment(**knobs) if knobs else None,
    )


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A matrix product with 40 kB of weights."""
    from onnx import TensorProto, helper, numpy_helper

    path = tmp_path_factory.mktemp("network") / "small.onnx"
    weights = numpy_helper.from_array(np.random.default_rng(0).standard_normal((100, 100)).astype(np.float32), "w")
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 100]) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "small", [given], [made], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def measured(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with one record in it."""
    root = tmp_path_factory.mktemp("measured")
    ran = benchbox("run", str(network), *SHORT, "--root", str(root), file_bytes=1 << 30)
    assert ran.returncode == 0, ran.stderr
    return root


def files(root: Path) -> dict[Path, bytes]:
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_while_a_network_is_exported(network: Path, tmp_path: Path) -> None:
    command = ("export", str(network), "--precision", "fp16", "--root", str(tmp_path))
    ran = benchbox(*command, file_bytes=10_000)
    assert ran.returncode == 6, ran.stderr
    assert "the exported network cannot be written" in ran.stderr
    assert "File too large" in ran.stderr
    assert not [path for path in files(tmp_path) if path.suffix == ".onnx" or path.name.startswith(".")]
    assert benchbox(*command, file_bytes=1 << 30).returncode == 0, "with room again it goes on"


def test_while_a_record_is_written(measured: Path, network: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(measured, root)
    before = files(root)
    # Room for the files of workers that only say that there is no room, not for a record.
    ran = benchbox("run", str(network), *SHORT, "--root", str(root), file_bytes=3000)
    assert ran.returncode == 6, ran.stderr
    assert "records cannot be written" in ran.stderr
    assert "File too large" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert files(root) == before
    assert [record.status for record in records_under(root)] == ["ok"]


def test_while_an_engine_is_written(network: Path, tmp_path: Path) -> None:
    (tmp_path / SIMULATION_MARK).parent.mkdir()
    (tmp_path / SIMULATION_MARK).touch()
    command = ("build", str(network), "--backend", "tensorrt", "--root", str(tmp_path))
    ran = benchbox(*command, file_bytes=20_000, target="sm86")
    assert ran.returncode == 6, ran.stderr
    assert "cannot be written" in ran.stderr
    left = files(tmp_path)
    assert not [path for path in left if path.suffix == ".engine" or path.name.startswith(".")]
    built = benchbox(*command, file_bytes=1 << 30, target="sm86")
    assert built.returncode == 0, built.stderr


def test_the_record_that_was_there_is_still_there(measured: Path) -> None:
    (file,) = record_files(measured)
    assert file.stat().st_size > 3000, "the limit above is one"
