"""What is inside the time of one inference? This is the only definition, for every backend and every mode.

The clock is read, the inference is started, its end is waited for, the clock is read. Inputs are resident. Inside are
the runtime's call, its kernels and its synchronisation, and on a device the two events around it; outside are uploads,
downloads, and everything that Python does between inferences. ``modes.py`` says how many of them are in flight.
"""

from __future__ import annotations

import contextlib
import gc
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchbox.backends.base import DeviceSession

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchbox.backends.base import Session


@dataclass(frozen=True, kw_only=True)
class Block:
    """Times of consecutive samples (ns), and the span from the first start to the last end without pauses (ns)."""

    times_ns: NDArray[np.int64]
    window_ns: int


def isolated_block(session: Session, count: int, *, slots: int) -> Block:
    """One request in flight: the next one starts when the last one's end was seen, on the next slot."""
    return blocks_of_laps(session, count, lambda size: _one_by_one(session, size, slots))


def blocks_of_laps(session: Session, count: int, run: Callable[[int], Block], *, each: int = 1, lead: int = 0) -> Block:
    """Runs ``count`` samples of ``each`` inferences, on a device in parts for which the session can keep events.

    Each part has ``lead`` inferences before its samples, which ``run`` starts and leaves out.

    Making and reading events lies between the parts; inside them nothing is allocated but integers that die at once,
    and the garbage collector is off.
    """
    if not isinstance(session, DeviceSession):
        with collector_off():
            return run(count)
    most = max(1, (session.laps.block - lead) // each)
    parts = []
    for first in range(0, count, most):
        size = min(most, count - first)
        session.laps.reserve(size * each, lead=lead)
        with collector_off():
            parts.append(run(size))
        session.laps.collect()
    return joined(parts)


def joined(parts: list[Block]) -> Block:
    """Blocks one after another as one; the pauses between them are in no window."""
    return Block(
        times_ns=np.concatenate([part.times_ns for part in parts]), window_ns=sum(part.window_ns for part in parts)
    )


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    """Collects garbage now and not again until the block ends."""
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def no_times(count: int) -> array[int]:
    """Room for ``count`` times in ns, made before the clock starts: storing one keeps no object alive."""
    return array("q", bytes(8 * count))


def _one_by_one(session: Session, count: int, slots: int) -> Block:
    now, enqueue, synchronize = session.stopwatch.now_ns, session.enqueue, session.synchronize
    order = [index % slots for index in range(count)]
    times = no_times(count)
    start = now()
    if isinstance(session, DeviceSession):
        for index, slot in enumerate(order):
            begin = now()
            enqueue(slot)
            synchronize()
            end = now()
            times[index] = end - begin
    else:  # done on return: a call that waits for nothing would only be in the time
        for index, slot in enumerate(order):
            begin = now()
            enqueue(slot)
            end = now()
            times[index] = end - begin
    return Block(window_ns=now() - start, times_ns=np.frombuffer(times, dtype=np.int64))
