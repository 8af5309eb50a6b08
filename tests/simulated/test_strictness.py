"""Does the simulated device refuse what a real one refuses? Each rule makes a mistake visible that was made once."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from simulation import simulated

MIB = 1 << 20


@pytest.fixture
def simulation() -> Iterator[ModuleType]:
    with simulated() as module:
        module.DEVICE.require_context()
        yield module


def _inference(simulation: ModuleType, stream: Any) -> None:
    simulation.DEVICE.put(stream, simulation.Work(simulation.DEVICE.next_inference_ns, lambda: None, kernel=True))


def _timed(simulation: ModuleType, *, inferences: int) -> list[float]:
    """Milliseconds between two events around each, all started before the first is waited for."""
    device = simulation.DEVICE
    stream = device.new_stream()
    pairs = [(simulation.SimulatedEvent(), simulation.SimulatedEvent()) for _ in range(inferences)]
    for start, end in pairs:
        device.record(start, stream)
        _inference(simulation, stream)
        device.record(end, stream)
    device.run(stream)
    return [device.elapsed_ms(start, end) for start, end in pairs]


def test_a_launch_lies_between_two_events_only_where_the_device_was_idle(simulation: ModuleType) -> None:
    assert _timed(simulation, inferences=3) == pytest.approx([0.405, 0.4, 0.4])


def test_events_resolve_half_a_microsecond_in_32_bits() -> None:
    with simulated(inference_ns=400_200, launch_ns=0) as simulation:
        times = _timed(simulation, inferences=5)
    assert set(np.round(np.array(times) * 1e6 / 500, 3) % 1) == {0}
    assert len(set(times)) == 2, "the same inference takes one of two times"
    assert all(time == float(np.float32(time)) for time in times)


@pytest.mark.parametrize("call", ["allocate", "free", "allocate_host", "run"])
def test_what_is_unsafe_spoils_a_capture(call: str, simulation: ModuleType) -> None:
    device = simulation.DEVICE
    stream, address = device.new_stream(), device.allocate(256)
    device.begin_capture(stream, simulation.THREAD_LOCAL)
    arguments = {"allocate": 256, "free": address, "allocate_host": 256, "run": stream}
    with pytest.raises(simulation.Fault, match="cudaErrorStreamCaptureUnsupported"):
        getattr(device, call)(arguments[call])
    with pytest.raises(simulation.Fault, match="cudaErrorStreamCaptureInvalidated"):
        _inference(simulation, stream)
    with pytest.raises(simulation.Fault, match="cudaErrorStreamCaptureInvalidated"):
        device.end_capture(stream)
    device.free(address)
    assert device.graphs == set()


@pytest.mark.parametrize("global_mode", [True, False])
def test_other_threads_spoil_a_capture_in_the_global_mode_only(global_mode: bool, simulation: ModuleType) -> None:
    device = simulation.DEVICE
    stream = device.new_stream()
    device.begin_capture(stream, simulation.GLOBAL if global_mode else simulation.THREAD_LOCAL)
    with ThreadPoolExecutor(1) as other:
        allocated = other.submit(device.allocate, 256)
        assert isinstance(allocated.exception(), simulation.Fault) is global_mode
        with pytest.raises(simulation.Fault, match="cudaErrorStreamCaptureWrongThread"):
            other.submit(device.end_capture, stream).result()
    if global_mode:
        with pytest.raises(simulation.Fault, match="Invalidated"):
            device.end_capture(stream)
    else:
        device.destroy_graph(device.end_capture(stream))


def test_events_of_a_capture_cannot_be_read(simulation: ModuleType) -> None:
    device = simulation.DEVICE
    stream, event = device.new_stream(), simulation.SimulatedEvent()
    device.begin_capture(stream, simulation.THREAD_LOCAL)
    device.record(event, stream)
    device.destroy_graph(device.end_capture(stream))
    with pytest.raises(simulation.Fault, match="cudaErrorCapturedEvent"):
        device.elapsed_ms(event, event)


def test_memory_falls_in_grains_by_the_context_by_kernels_and_by_the_pool(simulation: ModuleType) -> None:
    device = simulation.DEVICE
    assert device.taken_bytes == 256 * MIB, "the context"
    first, second = device.allocate(1000), device.allocate(1000)
    assert device.taken_bytes == 258 * MIB
    device.free(first)
    device.free(second)
    pooled = device.allocate_from_pool(5 * MIB)
    assert device.taken_bytes == (256 + 32) * MIB
    device.free(pooled)
    runtime = importlib.import_module("cuda.bindings.runtime")
    kinds = runtime.cudaMemPoolAttr
    high = [runtime.cudaMemPoolGetAttribute("pool", kind)[1] for kind in (kinds(6), kinds(8))]
    assert high == [32 * MIB, 5 * MIB], "the marks stay"
    _timed(simulation, inferences=1)
    assert device.taken_bytes == (256 + 8) * MIB, "the kernels that were loaded"


def test_the_power_of_an_instant_is_not_the_mean(simulation: ModuleType) -> None:
    api = importlib.import_module("pynvml")
    numbers = [api.NVML_FI_DEV_POWER_INSTANT, api.NVML_FI_DEV_POWER_AVERAGE]
    read = [[value.value.uiVal for value in api.nvmlDeviceGetFieldValues("device 0", numbers)] for _ in range(5)]
    instants, means = zip(*read, strict=True)
    assert len(set(means)) == 1
    assert max(instants) > 1.2 * means[0] > means[0] > 1.2 * min(instants)
