"""Did the clock step while inferences were timed?

The clock of a session is compared with a second one of the kernel's, which also counts while the machine sleeps. Where
the two disagree, or a time is negative, there are no numbers: neither is subtracted, corrected or left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from benchbox.errors import MeasurementError

if TYPE_CHECKING:
    from benchbox.measure.loop.modes import Issuer
    from benchbox.measure.loop.timing import Block

# Clocks of one kernel are slewed alike; what is left are their resolutions, and a hypervisor's mending of a clock.
APART_S, APART = 0.05, 0.01


def kernel_ns() -> int:
    """Nanoseconds since the machine was started, sleep included; where no such clock is, the monotonic one."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SteadyClock:
    """An issuer that looks after each block whether its clock still goes as another one does.

    Args:
        issuer: times the blocks.
        clock: name of its clock, for the message.
        other: the second clock in ns; None: there is none to compare with (virtual time).
    """

    def __init__(self, issuer: Issuer, *, clock: str, other: Callable[[], int] | None = kernel_ns) -> None:
        self.now_ns = issuer.now_ns
        self._issuer = issuer
        self._clock = clock
        self._other = other
        self._start = self._both()

    def block(self, count: int) -> Block:
        """``count`` samples; raises MeasurementError where the clock stepped."""
        block = self._issuer.block(count)
        require_forward([int(block.times_ns.min(initial=0)), block.window_ns], clock=self._clock)
        self._require_agreement()
        return block

    def _both(self) -> tuple[int, int, int]:
        """The other clock, this one, the other one again: between those two readings lies this one's moment."""
        if self._other is None:
            return 0, 0, 0
        return self._other(), self.now_ns(), self._other()

    def _require_agreement(self) -> None:
        if self._other is None:
            return
        before, now = self._start, self._both()
        passed, least, most = now[1] - before[1], now[0] - before[2], now[2] - before[0]
        apart = APART_S * 1e9 + APART * most
        if not least - apart <= passed <= most + apart:
            raise MeasurementError(
                "the clock stepped while inferences were timed, or the machine slept",
                values=f"{passed * 1e-9:.3f} s passed by {self._clock}, {least * 1e-9:.3f} to {most * 1e-9:.3f} s by "
                "the kernel's clock that also counts sleep",
                remedy="run it again on a machine that stays awake and is not moved to another host meanwhile",
            )


def require_forward(times_ns: Iterable[int], *, clock: str) -> None:
    """Raises MeasurementError where a time is negative: that clock went backwards."""
    earliest = min(times_ns, default=0)
    if earliest < 0:
        raise MeasurementError(
            "the clock went backwards while inferences were timed",
            values=f"a time of {earliest} ns by {clock}",
            remedy="run it again; where it comes back, this machine's clock cannot be measured with",
        )
