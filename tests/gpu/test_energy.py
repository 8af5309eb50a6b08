"""What do this GPU's energy counter and clocks do: how often does it step, does it agree with the power sensor?"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

import pytest

from benchbox.errors import EnvironmentLackError
from benchbox.machine.energy_counter import CounterLostError, Gauge
from benchbox.machine.gpu.clock_lock import locked_clocks
from benchbox.machine.gpu.facts import gpu_now
from benchbox.machine.gpu.nvml import gpu_gauge
from benchbox.measure.energy.procedure import EnergyPlan, energy_run
from benchbox.measure.energy.trial import HostTime


class _Products:
    """Matrix products of a few milliseconds, on the GPU by themselves."""

    overlaps = True

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._a = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
        self._b = torch.empty_like(self._a)

    def warm(self) -> float:
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < 1.0:
            self.start()
            self.finish()
            count += 1
        return (time.perf_counter() - begin) / count

    def start(self) -> None:
        self._torch.matmul(self._a, self._a, out=self._b)

    def finish(self) -> None:
        self._torch.cuda.synchronize()


def test_the_counter_and_the_power_sensor_agree(torch_cuda: Any, figures: dict[str, Any]) -> None:
    """Steps, idle and busy power, and how far windows of the same work differ; nobody else is asked about here."""
    load = _Products(torch_cuda)
    with gpu_gauge() as gauge:
        if not isinstance(gauge, Gauge):
            pytest.skip(gauge)
        figures["foreign"] = gauge.foreign() or "nobody"
        plan = EnergyPlan(windows=3, window_s=10.0, idle_s=5.0, seed=0)
        run = energy_run(replace(gauge, foreign=lambda: ""), load, plan, HostTime())
    assert run.absent == ""
    powers = [window.energy_j["gpu_board"] / window.duration_s for window in run.windows]
    per_product = [window.energy_j["gpu_board"] / window.inferences for window in run.windows]
    figures["tick_s"] = run.tick_s
    figures["idle_w"], figures["busy_w"] = run.idle_power_w["gpu_board"], sum(powers) / len(powers)
    figures["edge_s"] = max(window.edge_s for window in run.windows)
    figures["joules_spread"] = (max(per_product) - min(per_product)) / min(per_product)
    assert figures["busy_w"] > figures["idle_w"]
    integrated = [window.power_j for window in run.windows if window.power_j is not None]
    if integrated:
        counted = sum(window.energy_j["gpu_board"] for window in run.windows)
        figures["sensor_over_counter"] = sum(integrated) / counted
        assert figures["sensor_over_counter"] == pytest.approx(1.0, abs=0.05)


def test_an_energy_counter_only_grows(torch_cuda: Any, figures: dict[str, Any]) -> None:
    """Every step of two seconds: how long, and how long a reading takes."""
    with gpu_gauge() as gauge:
        if not isinstance(gauge, Gauge):
            pytest.skip(gauge)
        steps, reads, begin = [], 0, time.perf_counter()
        last_j, last_at = gauge.counter.read_j(), begin
        while (now := time.perf_counter()) - begin < 2.0:
            try:
                energy_j = gauge.counter.read_j()
            except CounterLostError as error:
                pytest.fail(str(error))
            assert energy_j >= last_j
            reads += 1
            if energy_j != last_j:
                steps.append(now - last_at)
                last_j, last_at = energy_j, now
    figures["steps"] = len(steps)
    figures["longest_step_s"], figures["shortest_step_s"] = max(steps[1:]), min(steps[1:])
    figures["read_s"] = 2.0 / reads


def test_clocks_are_held_and_set_free(torch_cuda: Any, figures: dict[str, Any]) -> None:
    """Only where whoever runs the suite says that the GPU's settings may be changed."""
    if os.environ.get("BENCHBOX_GPU_MAY_LOCK") != "1":
        pytest.skip("changes the GPU's settings: set BENCHBOX_GPU_MAY_LOCK=1 where that is allowed")
    load = _Products(torch_cuda)
    try:
        with locked_clocks(None):
            load.warm()
            figures["held_sm_clock_mhz"] = gpu_now().get("gpu_sm_clock_mhz")
    except EnvironmentLackError as error:
        pytest.skip(error.values)
    load.warm()
    figures["free_sm_clock_mhz"] = gpu_now().get("gpu_sm_clock_mhz")
