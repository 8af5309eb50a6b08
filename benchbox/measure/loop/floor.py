"""How long does the harness itself take? The same loop around a no-op.

A floor is reported beside the numbers and raises a flag where they come near it; it is never subtracted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchbox.measure.loop.timing import isolated_block

if TYPE_CHECKING:
    from benchbox.backends.base import DeviceSession, Session, Stopwatch

SAMPLES = 2000


class _Nothing:
    """A session whose inference is an empty call, on another session's clock."""

    def __init__(self, stopwatch: Stopwatch) -> None:
        self.stopwatch = stopwatch

    def enqueue(self, slot: int) -> None:
        """No-op."""

    def synchronize(self) -> None:
        """No-op."""


def floor_ns(session: Session) -> int:
    """Median time of the isolated loop around an empty inference, by the session's clock."""
    nothing: Session = _Nothing(session.stopwatch)  # type: ignore[assignment]
    return int(np.median(isolated_block(nothing, SAMPLES, slots=1).times_ns))


def gpu_floor_ns(session: DeviceSession) -> int:
    """Median time between two events with nothing between them, by the device's clock.

    Call it after the session's own laps were read: they are dropped.
    """
    laps = session.laps
    laps.forget()
    count = min(SAMPLES, laps.block)
    laps.reserve(count)
    for _ in range(count):
        laps.around(_nothing)
    session.synchronize()
    laps.collect()
    found = int(np.median(laps.gpu_ns))
    laps.forget()
    return found


def _nothing() -> None:
    """A no-op in place of an inference."""
