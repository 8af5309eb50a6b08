"""Events around inferences: which of them are timed, and from where to where a block lasts."""

from __future__ import annotations

from typing import Any

import pytest

from benchbox.backends.cuda.laps import EventLaps
from benchbox.measure.loadgen import trial as loadgen
from benchbox.measure.loadgen.trial import loadgen_trial
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.trial import Evidence, Pass, Trial


class Events:
    """Each record takes the next time of a device: inferences of 100 ns, 10 ns apart."""

    def __init__(self) -> None:
        self.now = 0
        self.recorded = 0

    def event(self, *, blocking: bool = False) -> list[int]:
        return [0]

    def record(self, event: list[int], stream: Any) -> None:
        self.now += 100 if self.recorded % 2 else 10
        self.recorded += 1
        event[0] = self.now

    def wait(self, event: list[int]) -> None:
        assert event[0], "waited for before it was recorded"

    def elapsed_ns(self, start: list[int], end: list[int]) -> int:
        return end[0] - start[0]

    def destroy_event(self, event: list[int]) -> None: ...


def _laps(count: int, *, lead: int, run: int) -> tuple[EventLaps, Events]:
    events = Events()
    laps = EventLaps(events, stream=None)
    laps.reserve(count, lead=lead)
    for _ in range(run):
        laps.around(lambda: None)
    laps.collect()
    return laps, events


def test_a_lead_is_in_no_time_and_the_block_lasts_from_its_end() -> None:
    laps, _ = _laps(3, lead=2, run=5)
    assert laps.gpu_ns == (100,) * 3
    assert len(laps.enqueue_ns) == 3
    assert laps.window_ns == 3 * 110
    laps, _ = _laps(3, lead=0, run=3)
    assert (len(laps.gpu_ns), laps.window_ns) == (3, 100 + 2 * 110)


def test_what_was_not_reserved_is_not_timed() -> None:
    """Also where a longer block before it has left its events."""
    laps, events = _laps(4, lead=0, run=4)
    before = events.recorded
    laps.reserve(0)
    laps.around(lambda: None)
    assert events.recorded == before
    laps.reserve(1)
    for _ in range(3):
        laps.around(lambda: None)
    laps.collect()
    assert len(laps.gpu_ns) == 5


def test_queries_of_loadgen_have_no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the warm-up would be around the first queries alone."""
    from pretended_device import PretendedDevice

    class Reached(Exception):
        """LoadGen would start now."""

    def start(sessions: Any, *_: Any, **__: Any) -> None:
        assert [session.laps.reserved[-1] for session in sessions] == [0]
        raise Reached

    monkeypatch.setattr(loadgen, "run_loadgen", start)
    device: Any = PretendedDevice(work_ns=200_000_000, enqueue_ns=100)
    evidence = Evidence(backend="null", device="cuda", providers=(), threads=1)
    plan = MeasurementPlan(mode=Mode.OFFLINE, warmup_s=0.0, warmup_max_s=0.0, warmup_iterations=1)
    blank = Trial(number=0, pass_=Pass.TIMING, started_at="", duration_s=0.0, evidence=evidence)
    with pytest.raises(Reached):
        loadgen_trial(blank, [device], plan)
    assert any(device.laps.reserved[:-1]), "the warm-up had events"
