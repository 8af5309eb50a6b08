"""What is an energy counter, and what is read with it?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from benchbox.errors import MeasurementError


class CounterResetError(MeasurementError):
    """A counter of energy went backwards."""


class CounterLostError(MeasurementError):
    """A counter of energy that could be read before cannot be read any more."""


class Counter(Protocol):
    """Something that counts energy."""

    @property
    def scope(self) -> str:
        """What is counted: "gpu_board", "gpu_module", "cpu_package", "dram"."""
        ...

    def read_j(self) -> float:
        """Joules since some moment; only differences mean anything."""
        ...


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """What can be read of a device: a counter, further counters where there are any, power and temperature.

    ``look_every_s`` is how often power and counter are read under load. ``foreign`` says who else uses what is
    counted, "" for nobody; it is called before and after every window.
    """

    name: str
    counter: Counter
    beside: tuple[Counter, ...] = ()
    power_w: Callable[[], float | None] = lambda: None
    temperature_c: Callable[[], float | None] = lambda: None
    foreign: Callable[[], str] = lambda: ""
    look_every_s: float = 0.5
