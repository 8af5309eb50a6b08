"""What is inside the time of one inference? This is the only definition, for every backend and every mode here.

Isolated: inputs are resident, one request is in flight. The clock is read, the inference is started, its end is waited
for, the clock is read. The next one starts afterwards, on the next input slot. Inside are the runtime's call, its
kernels and its synchronisation, and on a device the two events around it; outside are uploads, downloads, and
everything that Python does between inferences.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import numpy as np

from benchbox.backends.base import DeviceSession

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchbox.backends.base import Session


def timed_block(session: Session, count: int, *, slots: int) -> NDArray[np.int64]:
    """Times of ``count`` isolated inferences in nanoseconds of the session's stopwatch, on the slots in turn.

    Nothing is allocated while the clock runs but small integers, and the garbage collector is off.

    Args:
        session: with inputs resident in ``slots`` slots.
        count: how many inferences.
        slots: how many distinct inputs to rotate through.
    """
    if isinstance(session, DeviceSession):
        return _device_block(session, count, slots)
    return _host_block(session, count, slots)


def _device_block(session: DeviceSession, count: int, slots: int) -> NDArray[np.int64]:
    """In parts for which the session can keep events; making and reading those lies between the parts."""
    parts = []
    for first in range(0, count, session.laps.block):
        size = min(session.laps.block, count - first)
        session.laps.reserve(size)
        parts.append(_host_block(session, size, slots))
        session.laps.collect()
    return np.concatenate(parts)


def _host_block(session: Session, count: int, slots: int) -> NDArray[np.int64]:
    now, enqueue, synchronize = session.stopwatch.now_ns, session.enqueue, session.synchronize
    order = [index % slots for index in range(count)]
    times = [0] * count
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for index, slot in enumerate(order):
            begin = now()
            enqueue(slot)
            synchronize()
            times[index] = now() - begin
    finally:
        if collecting:
            gc.enable()
    return np.array(times, dtype=np.int64)
