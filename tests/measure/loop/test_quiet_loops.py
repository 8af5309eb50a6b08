"""Inside the timed window nothing is allocated and no garbage is collected."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from array import array

import pytest

from benchbox.backends.clock import HostStopwatch
from benchbox.measure.loop.modes import issuer_for
from benchbox.schema.plan import MeasurementPlan, Mode

COUNT = 400
# One object a sample would be hundreds. Alive at the moment of reading may be an integer or two, and what the thread
# that waits for the block makes once to wait with.
MOST_BLOCKS = COUNT // 20
MODES = [
    MeasurementPlan(mode=Mode.ISOLATED),
    MeasurementPlan(mode=Mode.BATCHED, group=4),
    MeasurementPlan(mode=Mode.COLD),
    MeasurementPlan(mode=Mode.CONCURRENT, streams=1),
]
each_mode = pytest.mark.parametrize("plan", MODES, ids=[plan.mode.value for plan in MODES])


class Probe:
    """A session that reads a gauge in each inference, into room made before."""

    def __init__(self, *, blocks: bool = True, litter: bool = False) -> None:
        self.stopwatch = HostStopwatch()
        self.seen = array("q", bytes(8 * COUNT * 10))
        self.calls = 0
        self.kept: list[object] = []
        self._blocks = blocks
        self._litter = litter

    def enqueue(self, slot: int) -> None:
        if self._litter:
            self.kept.append([object()])
        self.seen[self.calls] = sys.getallocatedblocks() if self._blocks else tracemalloc.get_traced_memory()[0]
        self.calls += 1

    def synchronize(self) -> None:
        """Nothing runs."""

    def grown(self) -> int:
        """By how much the gauge stood higher in the last tenth than after the first tenth: a leak of the loop grows."""
        tenth = self.calls // 10
        return max(self.seen[self.calls - tenth : self.calls]) - max(self.seen[tenth : 2 * tenth])


@pytest.fixture(autouse=True)
def small_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchbox.measure.loop.modes.last_cache_bytes", lambda: 1 << 10)


@each_mode
def test_no_block_of_memory_stays_allocated(plan: MeasurementPlan) -> None:
    probe = Probe()
    issuer_for([probe], plan).block(COUNT)  # type: ignore[list-item]
    assert probe.calls >= COUNT
    assert probe.grown() <= MOST_BLOCKS


@each_mode
def test_no_byte_stays_allocated(plan: MeasurementPlan) -> None:
    tracemalloc.start()
    try:
        probe = Probe(blocks=False)
        issuer_for([probe], plan).block(COUNT)  # type: ignore[list-item]
    finally:
        tracemalloc.stop()
    assert probe.grown() <= 32 * MOST_BLOCKS


@pytest.mark.parametrize("blocks", [True, False])
def test_the_gauges_see_one_object_an_inference(blocks: bool) -> None:
    tracemalloc.start()
    try:
        probe = Probe(blocks=blocks, litter=True)
        issuer_for([probe], MODES[0]).block(COUNT)  # type: ignore[list-item]
    finally:
        tracemalloc.stop()
    assert probe.grown() > COUNT / 2


@each_mode
def test_no_garbage_is_collected_between_the_first_and_the_last_inference(plan: MeasurementPlan) -> None:
    """Even where the inference itself litters enough for many collections."""
    probe = Probe(litter=True)
    at: list[int] = []

    def note(phase: str, _: object) -> None:
        at.append(probe.calls)

    gc.callbacks.append(note)
    threshold = gc.get_threshold()
    gc.set_threshold(10)
    try:
        issuer_for([probe], plan).block(COUNT)  # type: ignore[list-item]
        inside = [calls for calls in at if 0 < calls < probe.calls]
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(note)
    assert inside == []
    assert at, "before the block it is collected"
