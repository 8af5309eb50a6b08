"""How long does the device work on an inference when it need not wait for the host?

In the timed loop the device is idle when an inference is started: between its two events lies also the way of the first
kernel from the host to the device, and every gap that the host leaves. Here, after the samples, a few inferences are
started on a stream that is held back until all their work lies on it (``backends/cuda/gate.py``), as nvbench does it.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from benchbox.backends.base import DeviceSession, GatedSession
from benchbox.errors import MeasurementError
from benchbox.metrics.device_times import GATE_FORCED, GATED, GATED_SAMPLES
from benchbox.schema.plan import TRANSFER_INSIDE, Mode

if TYPE_CHECKING:
    from benchbox.backends.base import Session
    from benchbox.schema.plan import MeasurementPlan

MOST_SAMPLES, LEAST_SAMPLES, MOST_S = 100, 5, 0.5
_MODES = frozenset({Mode.ISOLATED, Mode.PIPELINED, Mode.BATCHED, Mode.COLD})


def gated_times(session: Session, plan: MeasurementPlan) -> dict[str, float]:
    """Counters of a few gated inferences; empty where a stream cannot be held back or copies are a part of requests.

    Call it after the session's own laps were read: they are dropped. In mode cold caches are filled before each.
    """
    if not isinstance(session, DeviceSession) or not isinstance(session, GatedSession):
        return {}
    if plan.mode not in _MODES or plan.like or plan.transfer == TRANSFER_INSIDE:
        return {}
    try:
        gate = session.gate()
    except MeasurementError:
        return {}
    laps = session.laps
    laps.forget()
    try:
        begin, count = time.perf_counter(), 0
        while count < MOST_SAMPLES and (count < LEAST_SAMPLES or time.perf_counter() - begin < MOST_S):
            if plan.mode is Mode.COLD:
                session.flush_cache()
            laps.reserve(1)
            try:
                gate.shut()
            except MeasurementError:  # only the first use shows whether this GPU can
                return {}
            try:
                session.enqueue(count % plan.input_slots)
            finally:
                gate.open()
            session.synchronize()
            laps.collect()
            if gate.forced:
                return {GATE_FORCED: 1.0}
            count += 1
        return {GATED: statistics.median(laps.gpu_ns) * 1e-9, GATED_SAMPLES: float(count)}
    finally:
        laps.forget()
        gate.close()
