"""Issuers on virtual clocks and pretended sessions: what is in flight, in a sample, in the window."""

from __future__ import annotations

import itertools
import random
import statistics
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pretended_device import PretendedDevice

from benchbox.backends.base import DeviceSession, OpenRequest
from benchbox.backends.null import NullBackend, NullSession
from benchbox.errors import UsageError
from benchbox.flags.samples import movement
from benchbox.measure.loop.floor import floor_ns
from benchbox.measure.loop.modes import (
    UNKNOWN_CACHE_BYTES,
    issuer_for,
    issuing,
    last_cache_bytes,
    mode_refusal,
    sessions_of,
)
from benchbox.metrics.workload import inferences_per_sample
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.stats.truncation import mser5_cut

SPEC = TensorSpec(name="input", dtype="float32", shape=(1, 4))


def null(**knobs: Any) -> NullSession:
    request = OpenRequest(precision=Precision.FP32, threads=1, inputs=(SPEC,), outputs=(SPEC,), slots=4)
    return NullBackend(**{"jitter": 0.0, "cold_factor": 1.0, **knobs}).open(request)


def test_batched_shares_one_clock_read_among_a_group() -> None:
    session = null(inference_ns=1000)
    block = issuer_for([session], MeasurementPlan(mode=Mode.BATCHED, group=5)).block(7)
    assert block.times_ns.tolist() == [1000] * 7
    assert block.window_ns == 7 * 5 * 1000
    assert inferences_per_sample(MeasurementPlan(mode=Mode.BATCHED, group=5)) == 5
    assert inferences_per_sample(MeasurementPlan(group=5)) == 1


def test_batched_on_a_device_waits_once_a_group() -> None:
    device = PretendedDevice(work_ns=1000, enqueue_ns=10)
    block = issuer_for([device], MeasurementPlan(mode=Mode.BATCHED, group=4)).block(4)
    assert block.times_ns.tolist() == [(10 + 4 * 1000) // 4] * 4
    assert device.laps.reserved == [8, 8], "no more events than the session can keep"
    assert device.laps.most_in_flight == 4


def test_pipelined_has_two_in_flight_and_hides_the_host() -> None:
    device = PretendedDevice(work_ns=1000, enqueue_ns=100)
    assert isinstance(device, DeviceSession)
    block = issuer_for([device], MeasurementPlan(mode=Mode.PIPELINED)).block(8)
    assert device.laps.most_in_flight == 2
    assert block.window_ns == 8 * 1000, "starting the next hides behind the work of the last"
    assert block.times_ns.tolist() == [2000] * 8, "a time holds the wait behind the request before it, the first too"
    assert device.laps.reserved == [6, 2], "two more run before each part"
    isolated = issuer_for([PretendedDevice(work_ns=1000, enqueue_ns=100)], MeasurementPlan()).block(8)
    assert isolated.window_ns == 8 * 1100


def test_pipelined_as_another_tool_leaves_nothing_out() -> None:
    device = PretendedDevice(work_ns=1000, enqueue_ns=100)
    block = issuer_for([device], MeasurementPlan(mode=Mode.PIPELINED, like="trtexec-11")).block(8)
    assert block.times_ns.tolist() == [1100, *[2000] * 7]
    assert block.window_ns == 100 + 8 * 1000


def test_cold_flushes_before_each_and_outside_the_clock() -> None:
    device = PretendedDevice(work_ns=1000, enqueue_ns=0)
    block = issuer_for([device], MeasurementPlan(mode=Mode.COLD)).block(5)
    assert device.flushed == 5
    assert block.times_ns.tolist() == [1000] * 5
    assert block.window_ns == 5000


def test_cold_on_a_host_sweeps_its_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchbox.measure.loop.modes.last_cache_bytes", lambda: 1 << 20)
    session = null(inference_ns=1000)
    assert issuer_for([session], MeasurementPlan(mode=Mode.COLD)).block(3).times_ns.tolist() == [1000] * 3


class Meeting:
    """A session whose inference ends only when one of every session is running."""

    class stopwatch:
        clock = "perf_counter_ns"
        now_ns = staticmethod(time.perf_counter_ns)

    def __init__(self, together: threading.Barrier) -> None:
        self._together = together

    def enqueue(self, slot: int) -> None:
        self._together.wait(timeout=60)

    def synchronize(self) -> None: ...


def test_concurrent_sessions_run_at_once() -> None:
    plan = MeasurementPlan(mode=Mode.CONCURRENT, streams=3)
    assert sessions_of(plan) == 3
    assert sessions_of(MeasurementPlan(streams=3)) == 1
    together = threading.Barrier(3)
    block = issuer_for([Meeting(together) for _ in range(3)], plan).block(10)  # type: ignore[misc]
    assert len(block.times_ns) == 12, "shared out evenly, rounded up"
    assert not together.broken, "one after another they would never have met"


def test_an_error_in_a_stream_is_told() -> None:
    class Failing(Meeting):
        def enqueue(self, slot: int) -> None:
            raise RuntimeError("no")

    alone = threading.Barrier(1)
    with pytest.raises(RuntimeError, match="no"):
        issuer_for([Failing(alone), Failing(alone)], MeasurementPlan(mode=Mode.CONCURRENT)).block(4)  # type: ignore[list-item]


class Ticking:
    """A session on a clock of its own, whose inference takes a given time, disturbed by a five-hundredth."""

    def __init__(self, inference_ns: int, *, fails: bool = False) -> None:
        draw, self._now_ns = random.Random(inference_ns), 0
        self._next_ns = lambda: round(inference_ns * draw.gauss(1, 0.002))
        self._fails = fails

    @property
    def stopwatch(self) -> Ticking:
        if self._fails:
            raise RuntimeError("no clock")
        return self

    def now_ns(self) -> int:
        return self._now_ns

    def enqueue(self, slot: int) -> None:
        self._now_ns += self._next_ns()

    def synchronize(self) -> None: ...


@pytest.mark.parametrize("apart", [1.02, 1.06])
def test_concurrent_samples_are_in_the_order_of_time(apart: float) -> None:
    """Two steady sessions of unlike speed are no shift of level, and neither of them is a warm-up."""
    plan = MeasurementPlan(mode=Mode.CONCURRENT, streams=2)
    sessions: Any = [Ticking(1_000_000), Ticking(round(apart * 1_000_000))]
    block = issuer_for(sessions, plan).block(400)
    times = block.times_ns.tolist()
    assert statistics.median(times) == pytest.approx((1 + apart) / 2 * 1e6, rel=0.01)
    assert mser5_cut(times) < 100
    assert movement(times)[0] == ""
    assert times[0] < times[1], "the faster one ended first"
    assert block.window_ns == pytest.approx(200 * apart * 1e6, rel=0.02)


def test_a_stream_that_cannot_start_leaves_no_other_waiting() -> None:
    with issuing([Ticking(1000), Ticking(1000)], MeasurementPlan(mode=Mode.CONCURRENT)) as issuer:  # type: ignore[list-item]
        issuer._sessions[1]._fails = True  # type: ignore[attr-defined]
        with pytest.raises(RuntimeError, match="no clock"):
            issuer.block(4)


def test_threads_that_cannot_be_started_leave_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[threading.Thread] = []
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if len(started) == 1:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        real(thread)

    with issuing([Ticking(1000), Ticking(1000)], MeasurementPlan(mode=Mode.CONCURRENT)) as issuer:  # type: ignore[list-item]
        monkeypatch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            issuer.block(4)
    assert not started[0].is_alive()


def test_threads_of_streams_end_with_the_measurement() -> None:
    before = threading.active_count()
    with issuing([Ticking(1000), Ticking(1000)], MeasurementPlan(mode=Mode.CONCURRENT)) as issuer:  # type: ignore[list-item]
        issuer.block(4)
        assert threading.active_count() == before + 2
    assert threading.active_count() == before


def test_pipelining_a_cpu_is_refused() -> None:
    assert "there is nothing to overlap" in (mode_refusal(Mode.PIPELINED, device="cpu") or "")
    assert mode_refusal(Mode.PIPELINED, device="cuda") is None
    assert mode_refusal(Mode.COLD, device="cpu") is None
    with pytest.raises(UsageError):
        issuer_for([null()], MeasurementPlan(mode=Mode.PIPELINED))


def test_the_last_cache(tmp_path: Path) -> None:
    assert last_cache_bytes(tmp_path) == UNKNOWN_CACHE_BYTES
    for index, size in enumerate(["32K", "1M", "300M", "odd"]):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(size + "\n")
    assert last_cache_bytes(tmp_path) == 300 << 20


def test_the_floor_is_the_loop_around_nothing() -> None:
    assert floor_ns(null()) == 0, "no virtual time passes"

    class Reading:
        """A session whose clock goes on by 7 ns with each look at it."""

        stopwatch = SimpleNamespace(clock="looks", now_ns=itertools.count(step=7).__next__)

    assert floor_ns(Reading()) == 7, "two looks at the clock"  # type: ignore[arg-type]
