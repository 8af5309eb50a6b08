"""What happens in a timed process whose requests LoadGen issues?

Sessions are warmed up before, as in the other modes, since LoadGen has no warm-up. Then it runs once, and every query
counts: none is cut off as warm-up, so that percentiles are those that LoadGen reports. The same scenario around a
no-op shows afterwards what LoadGen and Python themselves take.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from benchbox.backends.base import DeviceSession
from benchbox.machine.counters import differences
from benchbox.machine.gpu.watch import GpuWatch
from benchbox.measure.loadgen.issuing import CLOCK, loadgen_floor_ns, run_loadgen
from benchbox.measure.loop.compilations import counters_of
from benchbox.measure.loop.modes import issuer_for
from benchbox.measure.loop.warmup import warm_up
from benchbox.schema.plan import TRANSFER_TIMED, MeasurementPlan, Mode
from benchbox.schema.trial import Trial

if TYPE_CHECKING:
    from benchbox.backends.base import Session


def loadgen_trial(
    blank: Trial, sessions: Sequence[Session], plan: MeasurementPlan, watch: GpuWatch | None = None
) -> Trial:
    """The trial with what LoadGen measured.

    Args:
        blank: with its number.
        sessions: with inputs resident in every slot.
        plan: of one of LoadGen's modes.
        watch: of the GPU, which is looked at before and after only: LoadGen does not stop.

    Raises:
        EnvironmentLackError: LoadGen is not installed.
        MeasurementError: LoadGen left no times.
    """
    at_once = Mode.CONCURRENT if len(sessions) > 1 else Mode.ISOLATED
    issuer = issuer_for(sessions, replace(plan, mode=at_once))
    warm = warm_up(issuer, plan, clock_hz=watch.clock_hz if watch else None)
    if watch:
        watch.begin()
    for session in sessions:
        if isinstance(session, DeviceSession):
            session.laps.reserve(0)  # events of the warm-up would be around the first queries and no others
    before = counters_of(sessions[0])
    begin = time.perf_counter()
    found = run_loadgen(sessions, plan, number=blank.number, typical_ns=warm.typical_ns)
    grown = {**differences(before, counters_of(sessions[0])), "window_s": time.perf_counter() - begin}
    if watch:
        watch.look()
        grown |= watch.seen()
    trial = replace(
        blank,
        clock=CLOCK,
        warmup_ns=tuple(warm.times_ns.tolist()),
        settled=warm.settled,
        samples_ns=tuple(found.times_ns.tolist()),
        floor_ns=loadgen_floor_ns(plan),
        window_ns=found.window_ns,
        stopped_by=found.stopped_by,
        counters=grown,
        loadgen=found.run,
    )
    session = sessions[0]
    return _on_device(trial, session, plan) if isinstance(session, DeviceSession) else trial


def _on_device(trial: Trial, session: DeviceSession, plan: MeasurementPlan) -> Trial:
    """Copies of inputs and outputs, where requested.

    The device's own times of inferences are absent: events can be kept for part of a run only, and LoadGen does not
    stop for them to be read.
    """
    session.laps.collect()
    session.laps.forget()
    if plan.transfer != TRANSFER_TIMED:
        return trial
    h2d_ns, d2h_ns = session.transfer_ns(plan.min_samples)
    return replace(trial, h2d_ns=h2d_ns, d2h_ns=d2h_ns)
