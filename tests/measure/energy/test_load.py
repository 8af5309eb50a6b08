"""Under which load energy is measured: as many requests in flight as when they were timed."""

from __future__ import annotations

import pytest
from pretended_device import PretendedDevice

from benchbox.measure.energy.trial import PipelinedLoad, SessionLoad, load_of
from benchbox.schema.plan import MeasurementPlan, Mode

WORK_NS, ENQUEUE_NS = 100_000, 60_000


def _ran(plan: MeasurementPlan, count: int) -> tuple[PretendedDevice, SessionLoad, int]:
    device = PretendedDevice(work_ns=WORK_NS, enqueue_ns=ENQUEUE_NS)
    load = load_of(device, plan)  # type: ignore[arg-type]
    load.warm()
    device.laps.most_in_flight = 0
    begin = device.stopwatch.now_ns()
    for _ in range(count):
        load.start()
        load.finish()
    return device, load, device.stopwatch.now_ns() - begin


@pytest.mark.parametrize("count", [3, 50])  # a block of the pretended laps has eight
def test_the_load_of_mode_pipelined_keeps_the_device_busy(count: int) -> None:
    device, load, took_ns = _ran(MeasurementPlan(mode=Mode.PIPELINED), count)
    assert isinstance(load, PipelinedLoad)
    assert device.laps.most_in_flight == 2
    # The device works all the time, but for one launch at the beginning of each block.
    assert took_ns <= count * WORK_NS + (count // device.laps.block + 1) * ENQUEUE_NS


@pytest.mark.parametrize("mode", [Mode.ISOLATED, Mode.COLD, Mode.CONCURRENT])
def test_the_load_of_other_modes_is_one_request_at_a_time(mode: Mode) -> None:
    device, load, took_ns = _ran(MeasurementPlan(mode=mode), 10)
    assert load.mode is Mode.ISOLATED
    assert device.laps.most_in_flight == 1
    assert took_ns == 10 * (WORK_NS + ENQUEUE_NS)
