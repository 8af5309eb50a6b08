"""What did an energy counter read while a network ran?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# What NVML's counter counts: the board of a GPU, or the module that it shares with a CPU.
BOARD, MODULE = "gpu_board", "gpu_module"


@dataclass(frozen=True, kw_only=True)
class EnergyWindow:
    """One window: from one tick of the counter to another, inferences running all the while.

    ``energy_j`` is what each counter (by scope) grew in ``duration_s``, both read at the ticks. ``inferences`` ran
    between them; of the two in which the ticks fell, the share of their time that lies between. ``edge_s`` is how far
    apart the readings lay between which a tick was seen, the wider of both edges. ``power_j`` is the power that the
    sensor showed meanwhile, integrated over ``duration_s``; None without a sensor.
    """

    energy_j: Mapping[str, float]
    duration_s: float
    inferences: float
    edge_s: float = 0.0
    power_j: float | None = None
    temperature_before_c: float | None = None
    temperature_after_c: float | None = None


@dataclass(frozen=True, kw_only=True)
class EnergyRun:
    """What the energy pass of one case brought back.

    ``scope`` says what the counter counts ("gpu_board", "gpu_module", "cpu_package"), ``counter`` where it was read.
    ``tick_s`` is the time between two of its steps as seen, ``idle_power_w`` the power by scope while the network was
    loaded and did nothing for ``idle_s``. ``resets`` counts the windows that were lost because the counter went
    backwards. ``absent`` says why there is no number, "" where there is one; ``shared`` is set where the reason is
    other users of the device.
    ``load`` is how the inferences ran: "isolated" or "pipelined". ``others_cpu_share`` is the share of all CPUs that
    other processes used meanwhile, None where irrelevant or unknown.
    """

    counter: str = ""
    scope: str = ""
    tick_s: float | None = None
    window_s: float = 0.0
    idle_s: float = 0.0
    idle_power_w: Mapping[str, float] = field(default_factory=dict)
    windows: tuple[EnergyWindow, ...] = ()
    resets: int = 0
    absent: str = ""
    shared: bool = False
    others_cpu_share: float | None = None
    load: str = ""
