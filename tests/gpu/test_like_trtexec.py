"""Does ``--like`` say what trtexec itself says of the same engine on this GPU?"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from trtexec_log import FLAGS, major_version, numbers_from_log

from benchbox.backends.base import BACKENDS

REPOSITORY = Path(__file__).parents[2]
# Of the ratio of medians over launches: 1 % for engines of 200 us and more, 2 % for shorter ones.
AGREEMENT, SHORT_AGREEMENT, SHORT_S = 0.01, 0.02, 200e-6
COMPARED = ("trtexec_gpu_time_median", "trtexec_throughput")
LAUNCHES = 3
LOG = """
[11/27/2026-10:00:00] [I] TensorRT version: 10.16.1
&&&& RUNNING TensorRT.trtexec [TensorRT v101601] [b11] # trtexec --loadEngine=x
[11/27/2026-10:00:05] [I] Throughput: 531.519 qps
[11/27/2026-10:00:05] [I] Latency: min = 2.05 ms, max = 2.5 ms, mean = 2.1 ms, median = 2.09 ms, \
percentile(90%) = 2.2 ms, percentile(95%) = 2.3 ms, percentile(99%) = 2.4 ms
[11/27/2026-10:00:05] [I] Enqueue Time: min = 0.1 ms, max = 0.3 ms, mean = 0.2 ms, median = 0.15 ms, \
percentile(90%) = 1e-1 ms
[11/27/2026-10:00:05] [I] GPU Compute Time: min = 1.8 ms, max = 2.2 ms, mean = 1.88 ms, median = 1.87793 ms
[11/27/2026-10:00:05] [I] Total GPU Compute Time: 2.99 s
"""


def test_a_log_is_read() -> None:
    found = numbers_from_log(LOG)
    assert found["trtexec_throughput"] == 531.519
    assert found["trtexec_gpu_time_median"] == pytest.approx(1.87793e-3)
    assert found["trtexec_latency_p99"] == pytest.approx(2.4e-3)
    assert found["trtexec_enqueue_time_p90"] == pytest.approx(1e-4)
    assert "trtexec_h2d_time_mean" not in found
    assert [major_version(text) for text in (LOG, "[TensorRT v8601]", "")] == [10, 8, None]


def _trtexec(engine: Path, flags: list[str]) -> str:
    command = shutil.which("trtexec")
    assert command is not None
    ran = subprocess.run(
        [command, f"--loadEngine={engine}", *flags], capture_output=True, text=True, check=False, timeout=300
    )
    if ran.returncode:
        pytest.skip(f"trtexec cannot run this engine: {(ran.stdout + ran.stderr).strip().splitlines()[-1][:200]}")
    return ran.stdout


def _benchbox(preset: str, root: Path) -> dict[str, float]:
    command = ["run", "resnet50", "--backend", "tensorrt", "--like", preset, "--trials", "1", "--json"]
    ran = subprocess.run(
        [sys.executable, "-m", "benchbox", *command, "--root", str(root)],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    (record,) = json.loads(ran.stdout)["records"]
    assert "GRAPH_FALLBACK" not in {flag["code"] for flag in record["flags"]}
    return {reading["metric"]: reading["value"] for reading in record["readings"]}


@pytest.mark.parametrize("preset", ["trtexec-10", "trtexec-11"])
def test_medians_agree(preset: str, torch_cuda: Any, figures: dict[str, Any], tmp_path: Path) -> None:
    """One launch of each in turn, so that a GPU that warms up hits both alike."""
    if shutil.which("trtexec") is None:
        pytest.skip("trtexec is not on the PATH; pip wheels carry none")
    state = BACKENDS.get("tensorrt").probe()
    if not state.usable:
        pytest.skip(state.reason)
    _benchbox(preset, tmp_path)  # builds the engine, and warms the GPU
    (engine,) = (tmp_path / "engines" / "tensorrt").glob("*.engine")
    version = major_version(_trtexec(engine, ["--duration=1"]))
    if (preset, version) not in FLAGS:
        pytest.skip(f"how trtexec {version} measures as {preset} does is not known")
    flags = FLAGS[preset, version or 0]
    theirs, ours = [], []
    for _ in range(LAUNCHES):
        theirs.append(numbers_from_log(_trtexec(engine, flags)))
        ours.append(_benchbox(preset, tmp_path))
    for name in COMPARED:
        told = [statistics.median(side[name] for side in sides) for sides in (ours, theirs)]
        figures[name], figures[f"{name}_of_trtexec"] = told
    short = figures["trtexec_gpu_time_median"] < SHORT_S
    for name in COMPARED:
        ratio = figures[name] / figures[f"{name}_of_trtexec"]
        figures[f"{name}_ratio"] = ratio
        assert ratio == pytest.approx(1.0, abs=SHORT_AGREEMENT if short else AGREEMENT), name
