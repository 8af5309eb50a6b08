"""A clock that goes backwards, jumps, or stands still while the machine sleeps gives no numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchbox.errors import MeasurementError
from benchbox.measure.loop.clock_steps import SteadyClock, kernel_ns, require_forward
from benchbox.measure.loop.sampling import sample
from benchbox.measure.loop.timing import Block
from benchbox.measure.loop.warmup import warm_up
from benchbox.schema.plan import MeasurementPlan

HOUR = 3600 * 10**9
EACH = 1_000_000


class Clocks:
    """Inferences of a millisecond on a clock that steps before number ``at``; a second clock goes on rightly."""

    def __init__(self, *, step_ns: int = 0, at: int = 500) -> None:
        self.true_ns = self.shown_ns = 0
        self.calls = 0
        self._step_ns, self._at = step_ns, at

    def now_ns(self) -> int:
        return self.shown_ns

    def kernel(self) -> int:
        return self.true_ns

    def block(self, count: int) -> Block:
        times = []
        start = self.now_ns()
        for _ in range(count):
            begin = self.now_ns()
            self.calls += 1
            self.true_ns += EACH
            self.shown_ns += EACH + (self._step_ns if self.calls == self._at else 0)
            times.append(self.now_ns() - begin)
        return Block(times_ns=np.array(times), window_ns=self.now_ns() - start)


PLAN = MeasurementPlan(warmup_s=0.1, min_time_s=1.0, max_time_s=2.0)


def measured(clocks: Clocks, *, second: Callable[[], int] | None) -> tuple[int, ...]:
    issuer = SteadyClock(clocks, clock="tested", other=second)
    warm = warm_up(issuer, PLAN)
    return tuple(sample(issuer, PLAN, typical_ns=warm.typical_ns).times_ns.tolist())


def test_clocks_that_agree_give_numbers() -> None:
    clocks = Clocks()
    assert set(measured(clocks, second=clocks.kernel)) == {EACH}


@pytest.mark.parametrize("at", [3, 500], ids=["in the warm-up", "in the samples"])
@pytest.mark.parametrize("step_ns", [-HOUR, HOUR, 2 * 10**9], ids=["an hour back", "an hour on", "two seconds on"])
def test_a_clock_that_steps_gives_none(step_ns: int, at: int) -> None:
    clocks = Clocks(step_ns=step_ns, at=at)
    with pytest.raises(MeasurementError, match="clock"):
        measured(clocks, second=clocks.kernel)
    assert clocks.calls < 3000, "found out at once, not when the hour has passed"


def test_a_clock_that_goes_backwards_needs_no_second_one() -> None:
    with pytest.raises(MeasurementError, match="backwards"):
        measured(Clocks(step_ns=-HOUR), second=None)


def test_a_machine_that_sleeps_is_found_out() -> None:
    """The monotonic clock stands still in sleep, the kernel's other one does not."""
    clocks = Clocks()
    sleeping = iter([0] * 12)
    with pytest.raises(MeasurementError, match="slept"):
        measured(clocks, second=lambda: clocks.true_ns + next(sleeping, 30 * 10**9))


def test_being_kept_from_the_processor_between_two_readings_is_no_step() -> None:
    """The second clock is read before and after the first: what lies between is not known better than that."""
    clocks = Clocks()
    late = iter(range(10**6))
    found = measured(clocks, second=lambda: clocks.true_ns + (10**9 if next(late) % 2 else 0))
    assert set(found) == {EACH}


def test_times_of_other_clocks_must_not_be_negative() -> None:
    require_forward([], clock="events")
    require_forward([0, 5], clock="events")
    with pytest.raises(MeasurementError, match="-5 ns by events"):
        require_forward([3, -5], clock="events")


def test_the_kernel_has_such_a_clock() -> None:
    first = kernel_ns()
    assert first > 0
    assert kernel_ns() >= first
