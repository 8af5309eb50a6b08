"""Which flags of a run say how requests are issued, and which two sides are measured in turn?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from benchbox.cli.flags.shared import parse_count, parse_seconds

if TYPE_CHECKING:
    from benchbox.jobs.run import Case
    from benchbox.schema.plan import MeasurementPlan, Mode

F = TypeVar("F", bound=Callable[..., Any])
# LoadGen takes about 10 us to issue a query to Python.
MOST_RATE_PER_S = 100_000


def mode_options(function: F) -> F:
    """``--mode`` and what the modes need to know."""
    for option in (
        click.option(
            "--latency-bound",
            metavar="S",
            help="Seconds within which LoadGen wants 99 % of the samples answered in mode server.",
        ),
        click.option("--rate", metavar="QPS", help="Samples that arrive per second in mode server."),
        click.option(
            "--streams",
            metavar="N",
            help="Sessions at once in modes concurrent [default: 2] and server [default: 1], samples of a query in "
            "multi-stream [default: 8].",
        ),
        click.option("--group", metavar="K", help="Inferences started together in mode batched [default: 10]."),
        click.option(
            "--mode",
            metavar="M",
            default="isolated",
            show_default=True,
            help="How requests are issued: isolated (one at a time), batched (groups between two clock reads), cold "
            "(caches flushed before each), concurrent (several sessions), pipelined (two in flight; GPU); by MLPerf "
            "LoadGen: single-stream, multi-stream, offline, server (samples arrive at random; --rate).",
        ),
    ):
        function = option(function)
    return function


like_option = click.option(
    "--like",
    metavar="TOOL",
    help="Measure what trtexec-10 or trtexec-11 reports by default; for engines of TensorRT.",
)


def with_like(plan: MeasurementPlan, name: str, *, duration: str | None) -> MeasurementPlan:
    """The plan that measures as a tool does; raises UsageError beside flags of which the tool says what they are."""
    from benchbox.measure.loop.presets import plan_like, require_no_other_way

    given = [
        parameter
        for parameter in ("mode", "group", "streams", "rate", "latency_bound", "transfers", "quick")
        if click.get_current_context().get_parameter_source(parameter) is click.core.ParameterSource.COMMANDLINE
    ]
    require_no_other_way(name, [f"--{parameter.replace('_', '-')}" for parameter in given])
    return plan_like(plan, name, duration_s=parse_seconds(duration, flag="--max-time") if duration else None)


def cases_like(cases: Sequence[Case], plan: MeasurementPlan) -> tuple[Case, ...]:
    """The cases on the backends that run as the plan's tool does; as they are where it has none.

    Raises:
        UsageError: a case's backend cannot.
    """
    from benchbox.measure.loop.presets import backend_like

    if not plan.like:
        return tuple(cases)
    alike = [replace(case, backend=backend_like(plan.like, case.backend), mode=plan.mode) for case in cases]
    return tuple(alike)


def with_mode(
    plan: MeasurementPlan,
    *,
    mode: Mode,
    group: str | None,
    streams: str | None,
    rate: str | None,
    latency_bound: str | None,
) -> MeasurementPlan:
    """The plan with what was asked of a mode; raises UsageError for what the mode has no use for."""
    from benchbox.errors import UsageError
    from benchbox.schema.plan import Mode

    # Without --streams; MLPerf's queries of multi-stream have 8 samples.
    usual = {Mode.CONCURRENT: plan.streams, Mode.MULTI_STREAM: 8, Mode.SERVER: 1}
    owners: dict[str, tuple[str | None, tuple[Mode, ...]]] = {
        "--group": (group, (Mode.BATCHED,)),
        "--streams": (streams, tuple(usual)),
        "--rate": (rate, (Mode.SERVER,)),
        "--latency-bound": (latency_bound, (Mode.SERVER,)),
    }
    for flag, (text, modes) in owners.items():
        if text is not None and mode not in modes:
            raise UsageError(f"{flag} belongs to --mode {' or '.join(modes)}", values=f"the mode is {mode}")
    return replace(
        plan,
        mode=mode,
        group=parse_count(group, flag="--group") if group else plan.group,
        streams=parse_count(streams, flag="--streams") if streams else usual.get(mode, plan.streams),
        rate_per_s=_rate(rate, plan) if mode is Mode.SERVER else None,
        latency_bound_s=parse_seconds(latency_bound, flag="--latency-bound") if latency_bound else None,
    )


def _rate(text: str | None, plan: MeasurementPlan) -> float:
    """Samples a second; raises UsageError without any, and for rates that cannot be offered or make too few samples."""
    from benchbox.errors import UsageError

    if text is None:
        raise UsageError(
            "--mode server needs --rate: how many samples arrive per second",
            remedy="measure --mode isolated first; 70 % of its samples/s is a load that one session can serve",
        )
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate <= MOST_RATE_PER_S:
        raise UsageError(
            f"--rate takes samples per second, above 0 and up to {MOST_RATE_PER_S:g}",
            values=f"got '{text}'",
            remedy="more than that cannot be issued from Python",
        )
    if rate * plan.max_time_s < plan.min_samples:
        raise UsageError(
            f"at --rate {rate:g} too few samples arrive",
            values=f"{rate * plan.max_time_s:.3g} in {plan.max_time_s:g} s; at least {plan.min_samples} are needed",
            remedy=f"use --max-time {math.ceil(plan.min_samples / rate)} or longer",
        )
    return rate
