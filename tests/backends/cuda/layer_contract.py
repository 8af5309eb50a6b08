"""What must every CUDA layer do? The same checks run on the simulated device here and on a real GPU (tests/gpu)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from benchbox.backends.cuda.interface import CudaLayer
from benchbox.errors import BenchboxError, DeviceMemoryError, EnvironmentLackError, MeasurementError


def copies_there_and_back(layer: CudaLayer) -> None:
    stream = layer.stream()
    source, target = layer.pinned(4096), layer.pinned(4096)
    address = layer.allocate(4096)
    source.bytes[:] = np.arange(4096) % 251
    target.bytes[:] = 0
    layer.upload(address, source, 4096, stream)
    layer.download(target, address, 4096, stream)
    layer.synchronize(stream)
    assert np.array_equal(source.bytes, target.bytes)
    layer.fill(address, 7, 4096, stream)
    layer.download(target, address, 4000, stream)
    layer.synchronize(stream)
    assert set(target.bytes[:4000]) == {7}
    assert np.array_equal(target.bytes[4000:], source.bytes[4000:]), "no byte more than was asked for"
    layer.free(address)
    layer.free_pinned(source)
    layer.free_pinned(target)
    layer.destroy_stream(stream)


def memory_is_counted_and_aligned(layer: CudaLayer) -> None:
    before = layer.memory()
    assert 0 < before.free_bytes <= before.total_bytes
    size = 64 << 20
    address = layer.allocate(size)
    assert address % 256 == 0
    assert layer.memory().free_bytes <= before.free_bytes - size
    layer.free(address)
    assert layer.memory().free_bytes == pytest.approx(before.free_bytes, abs=4 << 20)


def too_much_is_an_error_that_leaves_the_device_usable(layer: CudaLayer) -> None:
    total = layer.memory().total_bytes
    with pytest.raises(DeviceMemoryError, match=f"{2 * total} bytes were asked for"):
        layer.allocate(2 * total)
    address = layer.allocate(1024)
    layer.free(address)


def events_take_the_time_of_the_stream(layer: CudaLayer) -> None:
    stream = layer.stream()
    start, middle, end = (layer.event() for _ in range(3))
    address = layer.allocate(32 << 20)
    layer.record(start, stream)
    layer.fill(address, 1, 32 << 20, stream)
    layer.record(middle, stream)
    layer.fill(address, 2, 32 << 20, stream)
    layer.record(end, stream)
    layer.wait(end)
    first, second, both = (
        layer.elapsed_ns(start, middle),
        layer.elapsed_ns(middle, end),
        layer.elapsed_ns(start, end),
    )
    assert first > 0
    assert second > 0
    assert both == pytest.approx(first + second, abs=2000), "events resolve about half a microsecond"
    for event in (start, middle, end):
        layer.destroy_event(event)
    layer.free(address)
    layer.destroy_stream(stream)


def a_stream_waits_for_an_event_of_another(layer: CudaLayer) -> None:
    first, second = layer.stream(), layer.stream()
    size = 32 << 20
    target, address = layer.pinned(256), layer.allocate(size)
    target.bytes[:] = 0
    layer.fill(address, 0, size, first)
    layer.synchronize(first)
    for blocking in (False, True):
        written, copied = layer.event(blocking=blocking), layer.event(blocking=blocking)
        layer.fill(address, 5 + blocking, size, first)
        layer.record(written, first)
        layer.hold(second, written)
        layer.download(target, address, 256, second)
        layer.record(copied, second)
        layer.wait(copied)
        assert set(target.bytes) == {5 + blocking}, "the copy has waited for what the other stream wrote"
        layer.destroy_event(written)
        layer.destroy_event(copied)
    for stream in (first, second):
        layer.synchronize(stream)
        layer.destroy_stream(stream)
    layer.free(address)
    layer.free_pinned(target)


def an_event_that_was_not_recorded_has_no_time(layer: CudaLayer) -> None:
    with pytest.raises(MeasurementError, match="CUDA reports an error"):
        layer.elapsed_ns(layer.event(), layer.event())


def graphs_replay_what_was_captured(layer: CudaLayer) -> None:
    stream = layer.stream()
    if not layer.captures_graphs:
        with pytest.raises(EnvironmentLackError, match="cannot capture CUDA graphs"):
            layer.capture(stream, lambda: None)
        return
    target, address = layer.pinned(256), layer.allocate(256)
    target.bytes[:] = 0
    layer.fill(address, 1, 256, stream)
    layer.synchronize(stream)
    graph = layer.capture(stream, lambda: layer.fill(address, 9, 256, stream))
    layer.download(target, address, 256, stream)
    layer.synchronize(stream)
    assert set(target.bytes) == {1}, "capturing runs nothing"
    for _ in range(2):
        layer.launch(graph, stream)
        layer.download(target, address, 256, stream)
        layer.synchronize(stream)
        assert set(target.bytes) == {9}
        layer.fill(address, 1, 256, stream)
    layer.synchronize(stream)
    layer.destroy_graph(graph)
    layer.free(address)
    layer.free_pinned(target)
    layer.destroy_stream(stream)


def an_error_inside_a_capture_ends_it(layer: CudaLayer) -> None:
    if not layer.captures_graphs:
        return
    stream = layer.stream()

    def fail() -> None:
        raise MeasurementError("on purpose")

    with pytest.raises(BenchboxError, match="on purpose"):
        layer.capture(stream, fail)
    layer.synchronize(stream)
    layer.destroy_stream(stream)


def what_cannot_be_captured_is_refused_and_leaves_nothing(layer: CudaLayer) -> None:
    if not layer.captures_graphs:
        return
    stream, address = layer.stream(), layer.allocate(256)
    with pytest.raises(MeasurementError, match="StreamCapture"):
        layer.capture(stream, lambda: layer.free(layer.allocate(256)))
    with pytest.raises(MeasurementError, match="StreamCapture"):
        layer.capture(stream, lambda: layer.synchronize(stream))
    graph = layer.capture(stream, lambda: layer.fill(address, 3, 256, stream))
    layer.launch(graph, stream)
    layer.synchronize(stream)
    layer.destroy_graph(graph)
    layer.free(address)
    layer.destroy_stream(stream)


def another_thread_can_use_it(layer: CudaLayer) -> None:
    """As sessions do whose requests are answered in threads."""
    stream, address = layer.stream(), layer.allocate(256)
    start, end = layer.event(), layer.event()

    def work() -> int:
        layer.record(start, stream)
        layer.fill(address, 1, 256, stream)
        layer.record(end, stream)
        layer.wait(end)
        return layer.elapsed_ns(start, end)

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(work).result() >= 0
    for event in (start, end):
        layer.destroy_event(event)
    layer.free(address)
    layer.destroy_stream(stream)


def bytes_move_on_the_device(layer: CudaLayer) -> None:
    stream, target = layer.stream(), layer.pinned(256)
    here, there = layer.allocate(256), layer.allocate(256)
    layer.fill(here, 7, 256, stream)
    layer.fill(there, 1, 256, stream)
    layer.copy(there, here, 200, stream)
    layer.download(target, there, 256, stream)
    layer.synchronize(stream)
    assert (set(target.bytes[:200]), set(target.bytes[200:])) == ({7}, {1})
    for address in (here, there):
        layer.free(address)
    layer.free_pinned(target)
    layer.destroy_stream(stream)


def streams_have_numbers(layer: CudaLayer) -> None:
    streams = [layer.stream() for _ in range(2)]
    assert len({layer.handle(stream) for stream in streams}) == 2
    for stream in streams:
        layer.destroy_stream(stream)


def the_device_has_a_name_and_versions(layer: CudaLayer) -> None:
    assert layer.gpu().name
    assert layer.gpu().target.removeprefix("sm").isdigit()
    assert layer.versions()[layer.name]
    peak = layer.pool_peak_bytes()
    assert peak is None or peak >= 0


CHECKS: tuple[Callable[[CudaLayer], None], ...] = (
    copies_there_and_back,
    memory_is_counted_and_aligned,
    too_much_is_an_error_that_leaves_the_device_usable,
    events_take_the_time_of_the_stream,
    a_stream_waits_for_an_event_of_another,
    an_event_that_was_not_recorded_has_no_time,
    graphs_replay_what_was_captured,
    an_error_inside_a_capture_ends_it,
    what_cannot_be_captured_is_refused_and_leaves_nothing,
    another_thread_can_use_it,
    bytes_move_on_the_device,
    streams_have_numbers,
    the_device_has_a_name_and_versions,
)
