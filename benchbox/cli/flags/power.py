"""Which flags of a run use the hardware's energy counters and clocks, and how do they change its plan?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.kinds import BASE_CLOCK, CLOCK, COUNT, Number

if TYPE_CHECKING:
    from benchbox.schema.plan import MeasurementPlan

DEFAULT_WINDOWS, LEAST_WINDOWS, LEAST_WINDOW_S = 5, 2, 1.0
_WINDOW = Number(
    f"seconds, at least {LEAST_WINDOW_S:g}",
    lambda number: number >= LEAST_WINDOW_S,
    remedy="counters step every 100 ms and sensors average over 1 s: shorter windows say nothing",
)
ENERGY_OPTIONS = (
    click.option(
        "--energy",
        is_flag=True,
        help="Also measure joules per sample, where the GPU or the CPU counts them; takes over a minute per case.",
    ),
    click.option(
        "--energy-window",
        metavar="S",
        type=_WINDOW,
        help="Seconds per energy window [default: 10; at least 1, below 10 it is flagged].",
    ),
    click.option(
        "--energy-windows",
        metavar="N",
        type=COUNT,
        help=f"Number of energy windows [default: {DEFAULT_WINDOWS}; at least {LEAST_WINDOWS}].",
    ),
)
CLOCK_OPTION = click.option(
    "--lock-clocks",
    metavar="[=MHZ]",
    type=CLOCK,
    is_flag=False,
    flag_value=BASE_CLOCK,
    help="Lock the GPU's clocks for the run, at its base clock or at =MHZ, and unlock them afterwards; needs root.",
)


def with_energy(plan: MeasurementPlan, *, asked: bool, window_s: float | None, windows: int | None) -> MeasurementPlan:
    """The plan with energy, if one of its flags was given; raises UsageError for fewer than 2 windows."""
    from dataclasses import replace

    from benchbox.errors import UsageError

    if not (asked or window_s or windows):
        return plan
    count = windows or DEFAULT_WINDOWS
    if count < LEAST_WINDOWS:
        raise UsageError(
            f"--energy-windows takes at least {LEAST_WINDOWS}",
            values=f"got {count}",
            remedy="one window says nothing about spread",
        )
    return replace(plan, energy_windows=count, energy_window_s=window_s or plan.energy_window_s)


@contextlib.contextmanager
def locked(clock: str) -> Iterator[None]:
    """Locks the GPU's clocks at what a plan says ("1410 MHz", "base"); "" leaves them free."""
    if not clock:
        yield
        return
    from benchbox.machine.gpu.clock_lock import locked_clocks

    with locked_clocks(None if clock == BASE_CLOCK else int(clock.split()[0])):
        yield
