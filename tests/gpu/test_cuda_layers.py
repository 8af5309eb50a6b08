"""Do both CUDA layers keep the contract on a real GPU, and is the context shared with PyTorch?"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from layer_contract import CHECKS
from networks import independent_median_s

from benchbox.backends.cuda.choice import LAYERS, open_layer
from benchbox.backends.cuda.interface import CudaLayer
from benchbox.backends.cuda.laps import EventLaps
from benchbox.errors import EnvironmentLackError


def _layer(name: str) -> CudaLayer:
    try:
        layer = open_layer(name)
    except EnvironmentLackError as error:
        pytest.skip(": ".join(part for part in (error.what, error.values) if part))
    assert not layer.gpu().simulated
    return layer


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(name: str, check: Callable[[CudaLayer], None]) -> None:
    layer = _layer(name)
    try:
        check(layer)
    finally:
        layer.close()


@pytest.mark.parametrize("name", LAYERS)
def test_streams_and_addresses_are_pytorchs(name: str, torch_cuda: Any) -> None:
    """One context: PyTorch computes on our stream, and its memory is copied by us."""
    layer = _layer(name)
    stream = layer.stream()
    target = layer.pinned(4 * 1024)
    with torch_cuda.cuda.stream(torch_cuda.cuda.ExternalStream(layer.handle(stream))):
        made = torch_cuda.arange(1024, device="cuda", dtype=torch_cuda.float32) * 2
        layer.download(target, made.data_ptr(), 4096, stream)
        layer.synchronize(stream)
    assert target.bytes.view("float32").tolist() == [2.0 * index for index in range(1024)]
    layer.free_pinned(target)
    layer.destroy_stream(stream)
    layer.close()


@pytest.mark.parametrize("name", LAYERS)
def test_event_times_agree_with_torch(name: str, torch_cuda: Any, figures: dict[str, Any]) -> None:
    """Our events and PyTorch's around the same matrix products, each in its own loop: medians within 3 %."""
    layer = _layer(name)
    stream = layer.stream()
    outside = torch_cuda.cuda.ExternalStream(layer.handle(stream))
    factor = torch_cuda.randn(2048, 2048, device="cuda")
    made = torch_cuda.empty_like(factor)

    def work() -> None:
        for _ in range(8):
            torch_cuda.mm(factor, factor, out=made)

    laps = EventLaps(layer, stream)
    ours, theirs = [], []
    for _ in range(3):  # alternating, so that a clock that moves moves both
        theirs.append(independent_median_s(torch_cuda, work, outside))
        laps.reserve(200)
        with torch_cuda.cuda.stream(outside), torch_cuda.inference_mode():
            for _ in range(200):
                laps.around(work)
                layer.synchronize(stream)
        laps.collect()
        ours.append(statistics.median(laps.gpu_ns) * 1e-9)
        laps.forget()
    ratio = statistics.median(ours) / statistics.median(theirs)
    figures.update(gpu_time_s=statistics.median(ours), torch_event_s=statistics.median(theirs), ratio=ratio)
    laps.close()
    layer.destroy_stream(stream)
    layer.close()
    assert ratio == pytest.approx(1, abs=0.03)


def test_event_times_agree_with_cuda_bench(torch_cuda: Any, figures: dict[str, Any], tmp_path: Path) -> None:
    """NVIDIA's own harness on the same matrix products, in a process of its own: within 10 %, as it fills the queue."""
    if importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.bench") is None:
        pytest.skip("cuda-bench is not installed")
    script = Path(__file__).with_name("nvbench_products.py")
    ran = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "out.json")], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    theirs = float(ran.stdout.strip().splitlines()[-1])
    layer = _layer("cuda-bindings")
    stream = layer.stream()
    factor = torch_cuda.randn(2048, 2048, device="cuda")
    made = torch_cuda.empty_like(factor)

    def work() -> None:
        for _ in range(8):
            torch_cuda.mm(factor, factor, out=made)

    laps = EventLaps(layer, stream)
    laps.reserve(400)
    with torch_cuda.cuda.stream(torch_cuda.cuda.ExternalStream(layer.handle(stream))), torch_cuda.inference_mode():
        for _ in range(400):
            laps.around(work)
            layer.synchronize(stream)
    laps.collect()
    ours = statistics.median(laps.gpu_ns[100:]) * 1e-9
    figures.update(gpu_time_s=ours, cuda_bench_s=theirs, ratio=ours / theirs)
    laps.close()
    layer.close()
    assert ours / theirs == pytest.approx(1, abs=0.10)
