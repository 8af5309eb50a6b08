"""Does ``benchbox run`` measure on this GPU from end to end? Its records are kept with the suite's figures."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchbox.backends.base import BACKENDS

REPOSITORY = Path(__file__).parents[2]
NEEDED = ("click", "pydantic", "pyarrow", "pandas", "rich", "diptest", "onnx", "onnxscript")


@pytest.mark.parametrize(
    "backend", ["tensorrt", "tensorrt-graph", "tensorrt-rtx", "onnxruntime-cuda", "pytorch-cuda", "pytorch-cuda-graph"]
)
def test_run(backend: str, torch_cuda: Any, figures: dict[str, Any], tmp_path: Path, kept_records: Path) -> None:
    missing = [package for package in NEEDED if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"benchbox run needs {', '.join(missing)}")
    state = BACKENDS.get(backend).probe()
    if not state.usable:
        pytest.skip(state.reason)
    command = ["run", "resnet50", "--backend", backend, "--precision", "fp32,fp16", "--quick", "--json"]
    ran = subprocess.run(
        [sys.executable, "-m", "benchbox", *command, "--root", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    for file in (tmp_path / "results" / "records").rglob("*.parquet"):
        kept_records.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, kept_records / file.name)
    for record in json.loads(ran.stdout)["records"]:
        readings = {reading["metric"]: reading["value"] for reading in record["readings"]}
        precision = record["key"]["precision"]
        assert record["status"] == "ok"
        assert record["correctness"]["passed"] is True
        assert readings["gpu_time_p50"] <= readings["latency_p50"]
        figures[f"{precision}_gpu_time_s"] = readings["gpu_time_p50"]
        figures[f"{precision}_latency_s"] = readings["latency_p50"]
        figures[f"{precision}_flags"] = " ".join(flag["code"] for flag in record["flags"])
