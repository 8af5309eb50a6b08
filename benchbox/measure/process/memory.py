"""What happens in a process whose memory is measured?

The network is loaded and run a few times, and after each phase the kernel's own high-water mark of the host and the
device's free memory are read. Nothing polls. What comes and goes in between is in the host's mark, in that of the
device's memory pool and in what the driver accounts; of the free memory only what is held at those moments is seen.

Counting a runtime's allocations one by one takes another allocator than a deployment has: such a process (``tracked``)
gives that count and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from benchbox.backends.base import BASE, TRACKED, DeviceSession
from benchbox.machine.counters import peak_resident_bytes, resident_bytes
from benchbox.machine.gpu.nvml import accounted_bytes, gpu_users
from benchbox.metrics.device_memory import held_name
from benchbox.metrics.host_phases import FIRST, LOAD, RUN, RUNTIME, STEADY
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.trial import Trial

if TYPE_CHECKING:
    from benchbox.backends.base import Session

INFERENCES = 5
# What a process whose runtime counts its allocations says of memory.
OF_TRACKED = ("allocated_peak", "declared_weights", "declared_context", "buffers")


def memory_trial(
    blank: Trial,
    session: Session,
    plan: MeasurementPlan,
    *,
    runtime_bytes: int,
    users_before: frozenset[int],
    free_before: int | None = None,
    fill: Callable[[], None],
) -> Trial:
    """The trial with what the host and the device held.

    Args:
        blank: with its number.
        session: just opened.
        plan: its input slots are used in turn.
        runtime_bytes: resident after the runtime was loaded and before the network was.
        users_before: who used the GPU before this process made its CUDA context.
        free_before: free memory of the GPU at that moment, None where unknown.
        fill: makes inputs resident in every slot.
    """
    host_bytes = {RUNTIME: runtime_bytes, LOAD: peak_resident_bytes()}
    device_bytes = _held(session, LOAD)
    fill()
    for index in range(INFERENCES):
        session.enqueue(index % plan.input_slots)
        session.synchronize()
        if index == 0:
            host_bytes[FIRST] = peak_resident_bytes()
            device_bytes |= _held(session, FIRST)
    device_bytes |= _held(session, STEADY)
    if isinstance(session, DeviceSession):
        users = gpu_users(users_before)
        known = users.own_bytes if users else None
        found = session.device_memory()
        base = found.pop(BASE, None)
        own = users.own if users else None
        beside = {
            "process": known,
            "accounted": None if own is None else accounted_bytes(own),
            "context": None if base is None or free_before is None else free_before - base,
        }
        device_bytes |= {**found, **{name: value for name, value in beside.items() if value is not None}}
        if device_bytes.pop(TRACKED, 0):
            device_bytes = {name: device_bytes[name] for name in OF_TRACKED if name in device_bytes}
    peak = peak_resident_bytes()
    return replace(
        blank,
        peak_host_bytes=peak,
        host_bytes={**host_bytes, RUN: peak, STEADY: resident_bytes()},
        device_bytes=device_bytes,
    )


def _held(session: Session, phase: str) -> dict[str, int]:
    """What the device holds at the end of a phase; nothing where there is no device."""
    return {held_name(phase): session.device_memory()["device_held"]} if isinstance(session, DeviceSession) else {}
