"""How is the energy of a session's inferences measured: by which counter, under which load?

A session on a device of its own is measured by the device's counter, any other by the processor's. Inferences run on
the input slots in turn: in mode pipelined on a device two are in flight, as when they were timed, so that joules and
throughput are of the same load; in every other mode one is.
"""

from __future__ import annotations

import contextlib
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import override

from benchbox.backends.base import DeviceSession
from benchbox.machine.counters import counters, differences, others_share
from benchbox.machine.energy_counter import Gauge
from benchbox.machine.gpu.nvml import gpu_gauge
from benchbox.machine.rapl import powercap_root, rapl_gauge
from benchbox.measure.energy.procedure import COOL_AT_MOST_S, PATIENCE_S, EnergyPlan, energy_run
from benchbox.measure.loop.modes import issuer_for
from benchbox.measure.loop.warmup import warm_up
from benchbox.schema.energy import EnergyRun
from benchbox.schema.plan import MeasurementPlan, Mode

if TYPE_CHECKING:
    from benchbox.backends.base import Session

# Clocks rise and power sensors average for about a second.
LEAD_IN_S = 1.0


class HostTime:
    """The monotonic clock of the host."""

    def now_s(self) -> float:
        """Seconds of ``time.perf_counter``."""
        return time.perf_counter()

    def sleep(self, duration_s: float) -> None:
        """Sleeps."""
        time.sleep(duration_s)


class SessionLoad:
    """A session's inferences on its input slots in turn, one in flight; the slots are filled."""

    mode = Mode.ISOLATED

    def __init__(self, session: Session, plan: MeasurementPlan) -> None:
        self.overlaps = isinstance(session, DeviceSession)
        self._session = session
        self._plan = replace(plan, mode=self.mode, warmup_s=max(plan.warmup_s, LEAD_IN_S))
        self._next = 0

    def warm(self) -> float:
        """The plan's warm-up, of at least a second; the time from one inference to the next at its end in s."""
        warm = warm_up(issuer_for([self._session], self._plan), self._plan)
        if isinstance(self._session, DeviceSession):
            self._session.laps.forget()
        return warm.typical_ns * 1e-9

    def start(self) -> None:
        """Enqueues an inference."""
        self._session.enqueue(self._next)
        self._next = (self._next + 1) % self._plan.input_slots

    def finish(self) -> None:
        """Waits for it."""
        self._session.synchronize()


class PipelinedLoad(SessionLoad):
    """The same with two in flight: the end of the one before is waited for, so the device never waits for the host."""

    mode = Mode.PIPELINED

    def __init__(self, session: DeviceSession, plan: MeasurementPlan) -> None:
        super().__init__(session, plan)
        self._laps = session.laps
        self._in_block = 0

    @override
    def warm(self) -> float:
        self._in_block = 0
        return super().warm()

    @override
    def start(self) -> None:
        if self._in_block == 0:
            self._laps.reserve(self._laps.block)
        super().start()
        self._in_block += 1

    @override
    def finish(self) -> None:
        if self._in_block > 1:
            self._laps.wait(self._in_block - 2)
        if self._in_block == self._laps.block:  # every event is used: they are read, and the pipeline runs dry once
            self._session.synchronize()
            self._laps.collect()
            self._laps.forget()
            self._in_block = 0


def load_of(session: Session, plan: MeasurementPlan) -> SessionLoad:
    """The load of a plan's mode."""
    if plan.mode is Mode.PIPELINED and isinstance(session, DeviceSession):
        return PipelinedLoad(session, plan)
    return SessionLoad(session, plan)


def energy_of_session(
    session: Session, plan: MeasurementPlan, *, virtual: bool, users_before: frozenset[int] = frozenset()
) -> EnergyRun:
    """Measures as planned; only the reason is returned where no counter can be read.

    Args:
        session: open, with inputs resident in its slots.
        plan: with the number and length of the windows; the idle power is taken over one more window.
        virtual: no time passes in the session.
        users_before: who used the GPU before this process made its CUDA context.
    """
    if virtual:
        return EnergyRun(absent="no time passes and nothing is computed on a virtual clock")
    with contextlib.ExitStack() as closing:
        found = closing.enter_context(_gauge(session, users_before))
        if isinstance(found, str):
            return EnergyRun(absent=found)
        windows = EnergyPlan(
            windows=plan.energy_windows,
            window_s=plan.energy_window_s,
            idle_s=plan.energy_window_s,
            seed=plan.seed,
        )
        before = counters()
        load = load_of(session, plan)
        run = replace(energy_run(found, load, windows, HostTime()), load=load.mode.value)
        session.synchronize()
        if isinstance(session, DeviceSession):
            return run
        # A processor's counter counts whatever runs on it.
        return replace(run, others_cpu_share=others_share(differences(before, counters())))


def _gauge(session: Session, users_before: frozenset[int]) -> AbstractContextManager[Gauge | str]:
    return gpu_gauge(users_before) if isinstance(session, DeviceSession) else rapl_gauge(root=powercap_root())


def with_time_for_energy(plan: MeasurementPlan) -> MeasurementPlan:
    """The plan with a time limit that leaves room for all windows, each taken twice, and their cool-downs."""
    each_s = plan.energy_window_s + max(plan.warmup_s, LEAD_IN_S) + COOL_AT_MOST_S + PATIENCE_S
    return replace(plan, timeout_s=plan.timeout_s + (2 * plan.energy_windows + 1) * each_s)
