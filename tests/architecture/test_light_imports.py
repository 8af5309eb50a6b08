"""What may not be loaded before it is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "onnx", "onnxruntime", "onnxscript", "tensorrt", "openvino", "pycuda", "scipy")
FAT = ("pandas", "pyarrow", "pydantic", "rich", "numpy")


def _loaded(arguments: list[str], root: Path) -> set[str]:
    """Top-level modules in the process after a command has run in it."""
    script = (
        "import sys\n"
        "from benchbox.cli import exit_status\n"
        f"status = exit_status({arguments!r})\n"
        "sys.stderr.write('\\nLOADED ' + ' '.join({name.split('.')[0] for name in sys.modules}))\n"
        "sys.exit(status)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "BENCHBOX_ROOT": str(root)},
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return set(run.stderr.rsplit("LOADED ", 1)[1].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["report", "--help"],
        ["flops", "--help"],
        ["completion", "bash"],
        ["--version"],
        ["gate", "--help"],
        ["baseline", "accept", "--help"],
    ],
    ids=" ".join,
)
def test_help_loads_nothing_it_does_not_need(arguments: list[str], tmp_path: Path) -> None:
    loaded = _loaded(arguments, tmp_path)
    assert not loaded & {*HEAVY, *FAT}


@pytest.mark.parametrize(
    "arguments",
    [["report"], ["report", "--json"], ["models"], ["models", "--json"], ["gate", "--no-exit"], ["baseline", "show"]],
    ids=" ".join,
)
def test_report_and_models_load_no_runtime(arguments: list[str], tmp_path: Path) -> None:
    assert not _loaded(arguments, tmp_path) & set(HEAVY)
