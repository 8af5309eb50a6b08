"""What does NVML tell of this GPU while it works, and how long does asking take?"""

from __future__ import annotations

import time
from typing import Any

import pytest

from benchbox.flags.gpu import flags_of_gpu
from benchbox.machine.gpu.facts import gpu_facts, gpu_now
from benchbox.machine.gpu.watch import gpu_watch
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.trial import Evidence, Pass, Trial

WANTED = ("gpu_clock_median_hz", "gpu_throttle_hw_s", "gpu_throttle_sw_thermal_s", "gpu_power_capped_s")


def test_a_working_gpu_is_watched(torch_cuda: Any, figures: dict[str, Any]) -> None:
    """Half a second of matrix products in blocks; what could not be read is named, not failed: GPUs differ."""
    matrix = torch_cuda.randn(4096, 4096, device="cuda", dtype=torch_cuda.float16)
    with gpu_watch() as watch:
        if watch is None:
            pytest.skip("NVML is not there: no nvidia-ml-py or no driver")
        looks: list[float] = []
        watch.begin()
        for _ in range(10):
            end = time.perf_counter() + 0.05
            while time.perf_counter() < end:
                torch_cuda.matmul(matrix, matrix)
                torch_cuda.cuda.synchronize()
            begin = time.perf_counter()
            watch.look()
            looks.append(time.perf_counter() - begin)
        seen = watch.seen()
    figures.update({name: seen[name] for name in seen if name != "gpu_looks"})
    figures["look_s"] = sorted(looks)[len(looks) // 2]
    figures["not_told"] = [name for name in WANTED if name not in seen] or "nothing"
    assert seen["gpu_looks"] == 10.0
    if "gpu_clock_median_hz" in seen:
        assert 1e8 < seen["gpu_clock_min_hz"] <= seen["gpu_clock_median_hz"] <= seen["gpu_clock_max_hz"]
        assert seen["gpu_clock_max_hz"] <= 1.02 * seen.get("gpu_clock_limit_hz", float("inf"))
    for name in WANTED[1:]:
        assert 0 <= seen.get(name, 0.0) <= 1.5 * seen["gpu_window_s"], f"{name} is counted in another unit"
    trial = Trial(
        number=0,
        pass_=Pass.TIMING,
        started_at="",
        duration_s=1.0,
        evidence=Evidence(backend="", device="", providers=(), threads=1),
        counters=seen,
    )
    figures["flags"] = [flag.code for flag in flags_of_gpu([trial], MeasurementPlan())] or "none"


def test_the_environment_knows_this_gpu(torch_cuda: Any, figures: dict[str, Any]) -> None:
    facts, now = gpu_facts(), gpu_now()
    if not facts:
        pytest.skip("NVML is not there: no nvidia-ml-py or no driver")
    properties = torch_cuda.cuda.get_device_properties(0)
    assert facts["gpu_compute_capability"] == f"{properties.major}.{properties.minor}"
    assert gpu_facts() == facts, "two captures are equal"
    figures["facts"], figures["now"] = sorted(facts), sorted(now)
