"""Energy by a counter that steps: exact where it is read at its steps, wrong where not, absent where it must be."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from counters import FakeCounter, FakeDevice, FakeLoad, FakeTime
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbox.machine.energy_counter import CounterLostError, Gauge
from benchbox.measure.energy.procedure import EnergyPlan, energy_run
from benchbox.schema.energy import EnergyRun, EnergyWindow

PLAN = EnergyPlan(windows=5, window_s=10.0, idle_s=10.0, seed=0)


def bench(**knobs: Any) -> tuple[FakeTime, FakeDevice, FakeCounter, FakeLoad]:
    """A device with its counter and load; each knob goes where it belongs."""
    time = FakeTime()
    device = FakeDevice(time=time, **{key: knobs.pop(key) for key in ("idle_w", "busy_w", "drift") if key in knobs})
    load = FakeLoad(
        device=device, **{key: knobs.pop(key) for key in ("busy_s", "gap_s", "overlaps", "warm_s") if key in knobs}
    )
    return time, device, FakeCounter(device=device, **knobs), load


def gauge(counter: FakeCounter, **fields: Any) -> Gauge:
    return Gauge(name="fake", counter=counter, **fields)


def per_inference_j(run: EnergyRun, window: EnergyWindow) -> float:
    return window.energy_j[run.scope] / window.inferences


def true_j(load: FakeLoad) -> float:
    """Of an inference and the gap behind it (the reads of clock and counter lengthen the gap a little)."""
    return load.device.idle_w * (load.busy_s + load.gap_s) + load.device.busy_w * load.busy_s


@pytest.mark.parametrize("window_s", [1.0, 10.0])
def test_a_window_from_tick_to_tick_is_exact(window_s: float) -> None:
    time, _, counter, load = bench()
    plan = EnergyPlan(windows=5, window_s=window_s, idle_s=window_s, seed=0)
    run = energy_run(gauge(counter), load, plan, time)
    assert run.absent == ""
    assert run.tick_s == pytest.approx(0.1, abs=1e-4)
    assert run.idle_power_w["gpu_board"] == pytest.approx(60.0, rel=1e-3)
    assert len(run.windows) == 5
    for window in run.windows:
        assert window_s <= window.duration_s <= window_s + 0.3
        assert per_inference_j(run, window) == pytest.approx(true_j(load), rel=5e-3 / window_s)
        assert window.edge_s < 2e-3


def unaligned_error(window_s: float, begin_s: float) -> float:
    """Of a reading that takes the counter as it stands before and after: relative error of the mean power."""
    time, device, counter, load = bench()
    time.sleep(begin_s)
    for _ in range(round(1.0 / load.busy_s)):
        load.start()
        load.finish()
    before_j, begin = counter.read_j(), time.now
    while time.now - begin < window_s:
        load.start()
        load.finish()
    counted_w = (counter.read_j() - before_j) / (time.now - begin)
    return abs(counted_w / ((device.energy_j(time.now) - device.energy_j(begin)) / (time.now - begin)) - 1)


def test_without_alignment_the_same_window_errs() -> None:
    """The reason for all of it: up to one tick of 100 ms at either end."""
    begins = [0.013 * step for step in range(8)]
    worst_10, worst_1 = (max(unaligned_error(window_s, begin) for begin in begins) for window_s in (10.09, 1.09))
    assert 5e-3 < worst_10 < 2e-2
    assert 5e-2 < worst_1 < 2e-1
    time, _, counter, load = bench()
    run = energy_run(gauge(counter), load, PLAN, time)
    worst_aligned = max(abs(per_inference_j(run, window) / true_j(load) - 1) for window in run.windows)
    assert worst_aligned < 1e-3
    assert worst_10 > 5 * worst_aligned


@settings(max_examples=15, deadline=None)
@given(
    busy_s=st.floats(0.0005, 0.4),
    gap_s=st.floats(0.0, 0.002),
    phase_s=st.floats(0.0, 0.1),
    busy_w=st.floats(20.0, 600.0),
    overlaps=st.booleans(),
)
def test_energy_is_right_whatever_the_inference(
    busy_s: float, gap_s: float, phase_s: float, busy_w: float, overlaps: bool
) -> None:
    """Long inferences too: a tick falls somewhere into one, and still whole inferences are divided by."""
    time, _, counter, load = bench(
        busy_s=busy_s, gap_s=gap_s, phase_s=phase_s, busy_w=busy_w, overlaps=overlaps, tick_s=0.1
    )
    plan = EnergyPlan(windows=2, window_s=4.0, idle_s=2.0, seed=1)
    run = energy_run(gauge(counter), load, plan, time)
    for window in run.windows:
        # Where the load cannot be watched while it runs, a tick is known to one inference (or one tick) at each end.
        tolerance = 2e-3 + 2 * min(busy_s + gap_s, 0.1) / 4.0 if not overlaps or busy_s > 0.05 else 4e-3
        period_s = window.duration_s / window.inferences
        expected = load.device.idle_w * period_s + busy_w * busy_s
        assert per_inference_j(run, window) == pytest.approx(expected, rel=tolerance)


def test_a_processor_whose_counter_ticks_fast() -> None:
    """RAPL: a step a millisecond, inferences that block, memory counted beside."""
    time, device, counter, load = bench(overlaps=False, tick_s=0.001, scope="cpu_package")
    memory = FakeDevice(time=time, idle_w=3.0, busy_w=5.0, pieces=device.pieces, _busy_before=device._busy_before)
    dram = FakeCounter(device=memory, tick_s=0.001, scope="dram")
    run = energy_run(gauge(counter, beside=(dram,)), load, PLAN, time)
    assert run.scope == "cpu_package"
    assert run.tick_s == pytest.approx(0.001, rel=0.1)
    assert run.idle_power_w == pytest.approx({"cpu_package": 60.0, "dram": 3.0}, rel=1e-3)
    for window in run.windows:
        assert per_inference_j(run, window) == pytest.approx(true_j(load), rel=1e-3)
        assert window.energy_j["dram"] / window.inferences == pytest.approx(
            3.0 * (load.busy_s + load.gap_s) + 5.0 * load.busy_s, rel=2e-3
        )


def test_a_sensor_that_looks_a_quarter_of_the_time() -> None:
    """25 % duty and an inference in step with it: one phase sees only work or only gaps, random phases average it."""
    knobs: dict[str, Any] = {"busy_s": 0.05, "gap_s": 0.05, "seen_share": 0.25, "overlaps": True}
    runs = []
    for seed in range(4):
        time, _, counter, load = bench(**knobs)
        plan = EnergyPlan(windows=8, window_s=2.0, idle_s=1.0, seed=seed)
        runs.append(energy_run(gauge(counter), load, plan, time))
    powers = [window.energy_j["gpu_board"] / window.duration_s for run in runs for window in run.windows]
    truth = 60.0 + 240.0 * 0.5
    assert max(powers) - min(powers) > 0.5 * truth, "a window alone is off by its phase"
    assert sum(powers) / len(powers) == pytest.approx(truth, rel=0.15), "phases average out"


def test_drift_widens_the_spread_and_cooling_is_waited_for() -> None:
    """A thermometer that falls by 1 °C a second of rest: each window begins as cool as the first, within 2 °C."""
    time, device, counter, load = bench()

    def temperature() -> float:
        rested = time.now - max((end for _, end in device.pieces), default=0.0)
        return 40.0 if not device.pieces else max(40.0, 55.0 - rested)

    run = energy_run(gauge(counter, temperature_c=temperature), load, PLAN, time)
    assert run.windows[0].temperature_before_c == 40.0
    assert all(40.0 <= (window.temperature_before_c or 0) <= 42.0 for window in run.windows)
    assert all((window.temperature_after_c or 0) > 50.0 for window in run.windows)


def test_without_a_thermometer_there_is_a_fixed_rest() -> None:
    time, device, counter, load = bench()
    energy_run(gauge(counter), load, PLAN, time)
    rests = [after[0] - before[1] for before, after in itertools.pairwise(device.pieces)]
    assert sum(rest >= 5.0 for rest in rests) == PLAN.windows - 1


def test_a_device_that_does_not_cool_is_not_waited_for_forever() -> None:
    time, device, counter, load = bench()
    run = energy_run(gauge(counter, temperature_c=lambda: 40.0 + 9 * bool(device.pieces)), load, PLAN, time)
    assert len(run.windows) == 5
    assert time.now < 5 * (10 + 31 + 2) + 20


def test_phases_are_random_and_seeded() -> None:
    def begins(seed: int) -> list[float]:
        time, device, counter, load = bench()
        energy_run(gauge(counter), load, EnergyPlan(windows=4, window_s=1.0, idle_s=1.0, seed=seed), time)
        rests = itertools.pairwise(device.pieces)
        return [after[0] - before[1] for before, after in rests if after[0] - before[1] > 0.5]

    assert begins(3) == begins(3)
    assert begins(3) != begins(4)
    assert len({round(rest, 4) for rest in begins(3)}) == 3


def test_a_reset_costs_its_window_and_is_counted() -> None:
    time, _, counter, load = bench(resets=[30.0])
    run = energy_run(gauge(counter), load, PLAN, time)
    assert (len(run.windows), run.resets, run.absent) == (5, 1, "")
    for window in run.windows:
        assert per_inference_j(run, window) == pytest.approx(true_j(load), rel=1e-3)


def test_a_reset_while_idle_is_measured_again() -> None:
    time, _, counter, load = bench(resets=[5.0])
    run = energy_run(gauge(counter), load, PLAN, time)
    assert run.resets == 1
    assert run.idle_power_w["gpu_board"] == pytest.approx(60.0, rel=1e-3)


def test_a_counter_that_keeps_falling_gives_no_number() -> None:
    time, _, counter, load = bench(resets=[float(moment) for moment in range(0, 2000, 4)])
    run = energy_run(gauge(counter), load, PLAN, time)
    assert run.windows == ()
    assert "went backwards 6 times" in run.absent


@pytest.mark.parametrize("frozen_after_s", [0.0, 25.0])
def test_a_counter_that_stands_still_gives_no_number(frozen_after_s: float) -> None:
    time, _, counter, load = bench(frozen_after_s=frozen_after_s)
    run = energy_run(gauge(counter), load, PLAN, time)
    assert run.windows == ()
    assert "same energy" in run.absent
    assert not run.shared


def test_others_on_the_device_mean_no_number() -> None:
    time, _, counter, load = bench()
    run = energy_run(gauge(counter, foreign=lambda: "2 other processes use the GPU"), load, PLAN, time)
    assert run.shared
    assert run.windows == ()
    assert load.started == 0, "nothing is run for nothing"


def test_others_that_come_later_mean_no_number_either() -> None:
    time, _, counter, load = bench()
    run = energy_run(gauge(counter, foreign=lambda: "somebody came" if time.now > 30 else ""), load, PLAN, time)
    assert (run.shared, run.windows, run.absent) == (True, (), "somebody came")


def test_a_counter_that_is_lost_gives_no_number() -> None:
    time, device, _, load = bench()

    class Lost(FakeCounter):
        def read_j(self) -> float:
            if device.time.now > 20:
                raise CounterLostError("gone", values="no such device")
            return super().read_j()

    run = energy_run(gauge(Lost(device=device)), load, PLAN, time)
    assert run.windows == ()
    assert run.absent == "gone no such device"


def test_an_inference_in_flight_is_finished_when_the_counter_fails() -> None:
    time, _, counter, load = bench(resets=[12.0, 13.0, 14.0])
    finished = 0
    plain = load.finish

    def counting() -> None:
        nonlocal finished
        finished += 1
        plain()

    load.finish = counting  # type: ignore[method-assign]
    energy_run(gauge(counter), load, EnergyPlan(windows=2, window_s=1.0, idle_s=1.0, seed=0), time)
    assert finished == load.started


def test_a_pause_of_the_machine_at_an_edge_costs_less_than_an_inference() -> None:
    """Half a second passes between the last tick and the end of its inference: the joules were counted before."""
    time, device, counter, load = bench(busy_s=0.01)
    plain = load.finish

    def pausing() -> None:
        plain()
        if math.floor((time.now - counter.phase_s) / counter.tick_s) != math.floor(
            (time.now - load.busy_s - counter.phase_s) / counter.tick_s
        ):
            time.sleep(0.5)

    load.finish = pausing  # type: ignore[method-assign]
    run = energy_run(gauge(counter), load, EnergyPlan(windows=2, window_s=10.0, idle_s=2.0, seed=0), time)
    for window in run.windows:
        counted_w = window.energy_j["gpu_board"] / window.duration_s
        busy_j = (counted_w - device.idle_w) * window.duration_s
        assert window.inferences * load.busy_s * device.busy_w == pytest.approx(busy_j, abs=2 * load.busy_s * 240.0)


def test_power_is_integrated_over_the_same_time() -> None:
    time, device, counter, load = bench(gap_s=0.0)
    run = energy_run(gauge(counter, power_w=lambda: device.power_w(time.now)), load, PLAN, time)
    for window in run.windows:
        assert window.power_j is not None
        assert window.power_j == pytest.approx(window.energy_j["gpu_board"], rel=0.02)
    time, device, counter, load = bench()
    assert all(window.power_j is None for window in energy_run(gauge(counter), load, PLAN, time).windows)
    assert math.isfinite(time.now)
