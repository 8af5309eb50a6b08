"""Which flags of a run say how requests are issued, and which two sides are measured in turn?"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from benchbox.cli.options import parse_count, parse_precision, parse_seconds

if TYPE_CHECKING:
    from benchbox.pipeline import Case, Outcome
    from benchbox.schema.plan import MeasurementPlan, Mode
    from benchbox.schema.verdict import Verdict

F = TypeVar("F", bound=Callable[..., Any])
METRICS = ("latency_p50", "throughput")
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
    from benchbox.measure.presets import plan_like, require_no_other_way

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
    from benchbox.measure.presets import backend_like

    if not plan.like:
        return tuple(cases)
    alike = [replace(case, backend=backend_like(plan.like, case.backend), mode=plan.mode) for case in cases]
    return tuple(alike)


ab_option = click.option(
    "--ab",
    nargs=2,
    metavar="A B",
    help="Measure two sides in turn, A B B A, and judge B against A. A side is KEY=VALUE,... of model, backend, "
    "precision, batch, threads and python (an interpreter with benchbox in it, or a command that starts one).",
)


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


def two_sides(cases: Sequence[Case], plan: MeasurementPlan, sides: tuple[str, str]) -> tuple[Case, Case]:
    """Side A and side B of the one case that was asked for.

    Raises:
        UsageError: there is more than one case, or a side cannot be read.
    """
    from benchbox.errors import UsageError

    if len(cases) != 1:
        raise UsageError(
            "--ab takes one case apart",
            values=f"{len(cases)} combinations were asked for",
            remedy="name one MODEL, backend, precision and batch; the sides say what differs",
        )
    first, second = (_side(cases[0], plan, text) for text in sides)
    return first, second


def _side(case: Case, plan: MeasurementPlan, text: str) -> Case:
    from benchbox.backends.base import BACKENDS
    from benchbox.errors import UsageError
    from benchbox.models.sources import resolve
    from benchbox.registry import require_known

    setters: dict[str, Callable[[Case, str], Case]] = {
        "model": lambda side, value: replace(
            side, source=resolve(value, input_shape=case.source.input_shape, weights=None)
        ),
        "backend": lambda side, value: replace(side, backend=BACKENDS.get(value).name),
        "precision": lambda side, value: replace(
            side, precision=parse_precision(value), derivation=side.derivation.for_precision(parse_precision(value))
        ),
        "batch": lambda side, value: replace(side, batch=parse_count(value, flag="batch")),
        "threads": lambda side, value: replace(side, plan=replace(plan, threads=parse_count(value, flag="threads"))),
        "python": lambda side, value: replace(side, interpreter=tuple(shlex.split(value))),
    }
    side = case
    for pair in text.split(","):
        key, equals, value = pair.partition("=")
        if not equals or not value:
            raise UsageError(
                "a side of --ab is KEY=VALUE,...", values=f"got '{text}'", remedy=f"keys: {', '.join(setters)}"
            )
        side = setters[require_known("key of --ab", key.strip(), list(setters))](side, value.strip())
    return side


def between(outcomes: Sequence[Outcome]) -> tuple[Verdict, ...]:
    """Side B judged against side A; none if one of them has no numbers."""
    from benchbox.gate.judging import Measured, Rules, verdict_between
    from benchbox.schema.plan import Mode

    if len(outcomes) != 2:
        return ()
    base, head = (Measured(record=outcome.record, trials=outcome.trials) for outcome in outcomes)
    # In mode offline no sample has a time of its own.
    metrics = METRICS[1:] if head.record.key.mode is Mode.OFFLINE else METRICS
    return tuple(verdict_between(base, head, metric, Rules(across_environments=True)) for metric in metrics)
