"""Which flags of a run say how its cases are measured, and which plan do they make?

The plan is complete before there are cases or sides of ``--ab``: both start from it, so that no flag is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.kinds import COUNT, SECONDS
from benchbox.cli.flags.modes import LIKE_OPTION, MODE_OPTIONS, with_like, with_mode
from benchbox.cli.flags.power import CLOCK_OPTION, ENERGY_OPTIONS, with_energy
from benchbox.cli.flags.shared import grouped

if TYPE_CHECKING:
    from benchbox.jobs.cases import Case
    from benchbox.schema.plan import MeasurementPlan, Mode

# Many short processes say more than few long ones: what differs from process to process is most of the noise. A verdict
# takes at least four processes a side, and more than a reading to be of use. Without and with --quick.
TRIALS = {False: 8, True: 5}
MOST_TRIALS = {False: 12, True: 6}
PAIRED_TRIALS = {False: 8, True: 5}
# Boards at a limit of power or heat boost for a second or two. At least, and how long after that for power to level.
GPU_WARMUP_S, GPU_WARMUP_MAX_S = 3.0, 10.0


@dataclass(frozen=True, kw_only=True)
class PlanFlags:
    """The flags of a run that make its plan; None where one was not given."""

    mode: Mode
    group: int | None
    streams: int | None
    rate: float | None
    latency_bound: float | None
    threads: int | None
    trials: int | None
    warmup: float | None
    max_time: float | None
    timeout: float | None
    memory: bool
    quick: bool
    like: str | None
    transfers: bool
    energy: bool
    energy_window: float | None
    energy_windows: int | None
    lock_clocks: str | None


plan_options = grouped(
    "flags",
    PlanFlags,
    *MODE_OPTIONS,
    click.option(
        "--threads", metavar="N", type=COUNT, help="CPU threads [default: the CPUs that this process may use]."
    ),
    click.option(
        "--trials",
        metavar="N",
        type=COUNT,
        help="Fresh processes that are timed [default: 8 to 12, with --quick 5 or 6; with --ab 8 and 5 a side].",
    ),
    click.option(
        "--warmup",
        metavar="S",
        type=SECONDS,
        help="Minimum warm-up of a trial, in seconds [default: 0.5, on a GPU 3; --quick: 0.1]. It continues until "
        "times, clock and power are level.",
    ),
    click.option(
        "--max-time",
        metavar="S",
        type=SECONDS,
        help="Maximum timed duration of a trial, in seconds [default: 1.5; --quick: 0.5].",
    ),
    click.option(
        "--timeout", metavar="S", type=SECONDS, help="Seconds after which a process is killed [default: 600]."
    ),
    click.option(
        "--memory/--no-memory", default=True, help="Measure memory, in processes of their own [default: --memory]."
    ),
    click.option(
        "--quick",
        is_flag=True,
        help="Fewer and shorter trials, fewer still where they take over a minute: wider intervals.",
    ),
    LIKE_OPTION,
    click.option("--transfers", is_flag=True, help="On a GPU, also time the copies of inputs and outputs."),
    *ENERGY_OPTIONS,
    CLOCK_OPTION,
)


def plan_from_flags(flags: PlanFlags, *, paired: bool) -> MeasurementPlan:
    """The whole plan of a run, for batch size 1.

    Args:
        flags: as given.
        paired: whether two sides are measured in turn.

    Raises:
        UsageError: flags that contradict each other.
    """
    from benchbox.schema.plan import TRANSFER_TIMED

    plan = _duration(flags, paired=paired)
    plan = with_mode(
        plan,
        mode=flags.mode,
        group=flags.group,
        streams=flags.streams,
        rate=flags.rate,
        latency_bound=flags.latency_bound,
    )
    if flags.warmup:
        plan = replace(plan, warmup_s=flags.warmup, warmup_max_s=max(plan.warmup_max_s, flags.warmup))
    if flags.like:
        plan = with_like(plan, flags.like, duration_s=flags.max_time)
    if flags.transfers:
        plan = replace(plan, transfer=TRANSFER_TIMED)
    plan = with_energy(plan, asked=flags.energy, window_s=flags.energy_window, windows=flags.energy_windows)
    return replace(plan, locked_clocks=flags.lock_clocks or "")


def _duration(flags: PlanFlags, *, paired: bool) -> MeasurementPlan:
    """How many processes are timed, and for how long."""
    from benchbox.limits import effective_cpus
    from benchbox.schema.plan import MeasurementPlan

    quick = flags.quick
    count = flags.trials or (PAIRED_TRIALS if paired else TRIALS)[quick]
    longest = flags.max_time or (0.5 if quick else MeasurementPlan.max_time_s)
    plan = MeasurementPlan(
        threads=flags.threads or effective_cpus(),
        trials=count,
        max_trials=count if flags.trials or paired else MOST_TRIALS[quick],
        memory_trials=(flags.trials or MeasurementPlan.memory_trials) if flags.memory else 0,
        min_time_s=min(longest, MeasurementPlan.min_time_s),
        max_time_s=longest,
        timeout_s=flags.timeout or MeasurementPlan.timeout_s,
    )
    if not quick:
        return plan
    return replace(plan, warmup_s=0.1, warmup_max_s=0.5, min_time_s=min(longest, 0.2), timing_budget_s=4.5)


def on_hardware(cases: Sequence[Case], flags: PlanFlags) -> tuple[Case, ...]:
    """The cases on the backends that measure as ``--like`` says.

    Raises:
        UsageError: a backend that cannot, or that runs on no GPU where ``--transfers`` or ``--lock-clocks`` needs one.
    """
    from benchbox.backends.base import BACKENDS
    from benchbox.errors import UsageError
    from benchbox.measure.loop.presets import backend_like

    if flags.like:
        cases = [replace(case, backend=backend_like(flags.like, case.backend)) for case in cases]
    elif not (flags.quick or flags.warmup):
        cases = [_warmed_longer(case) if BACKENDS.get(case.backend).device == "cuda" else case for case in cases]
    hosts = ", ".join(sorted({case.backend for case in cases if BACKENDS.get(case.backend).device != "cuda"}))
    remedy = "leave it out, or name GPU backends only"
    if hosts and flags.transfers:
        raise UsageError(
            "--transfers times copies to and from a GPU",
            values=f"{hosts}: inputs and outputs are in the host's memory already",
            remedy=remedy,
        )
    if hosts and flags.lock_clocks:
        raise UsageError("--lock-clocks locks the clocks of a GPU", values=f"{hosts}: runs elsewhere", remedy=remedy)
    return tuple(cases)


def _warmed_longer(case: Case) -> Case:
    """The case with the warm-up that a GPU needs until its power is level."""
    return replace(case, plan=replace(case.plan, warmup_s=GPU_WARMUP_S, warmup_max_s=GPU_WARMUP_MAX_S))
