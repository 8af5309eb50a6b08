"""Which flags of a run say how requests are issued, and how do they change its plan?"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.kinds import COUNT, MODE, PRESET, RATE, SECONDS

if TYPE_CHECKING:
    from benchbox.schema.plan import MeasurementPlan, Mode

MODE_OPTIONS = (
    click.option(
        "--mode",
        metavar="M",
        type=MODE,
        default="isolated",
        show_default=True,
        help="How requests are issued: isolated (one at a time), batched (groups between two clock reads), cold "
        "(caches flushed before each), concurrent (several sessions), pipelined (two in flight; GPU); by MLPerf "
        "LoadGen: single-stream, multi-stream, offline, server (samples arrive at random; --rate).",
    ),
    click.option("--group", metavar="K", type=COUNT, help="Inferences per group in mode batched [default: 10]."),
    click.option(
        "--streams",
        metavar="N",
        type=COUNT,
        help="Sessions at once in modes concurrent [default: 2] and server [default: 1], samples per query in "
        "multi-stream [default: 8].",
    ),
    click.option(
        "--rate", metavar="QPS", type=RATE, help="Samples that arrive per second in mode server, for example 40."
    ),
    click.option(
        "--latency-bound",
        metavar="S",
        type=SECONDS,
        help="Seconds within which LoadGen requires 99 % of the answers in mode server, for example 0.1.",
    ),
)
LIKE_OPTION = click.option(
    "--like",
    metavar="TOOL",
    type=PRESET,
    help="Measure what trtexec-10 or trtexec-11 reports by default; for TensorRT engines.",
)
# So many standard deviations of a Poisson count: one run in a thousand has fewer samples.
_SPREADS = 3.0
# What a preset decides itself.
_PRESET_DECIDES = ("mode", "group", "streams", "rate", "latency_bound", "transfers", "quick", "warmup")


def with_like(plan: MeasurementPlan, name: str, *, duration_s: float | None) -> MeasurementPlan:
    """The plan that measures as a tool does; raises UsageError if flags were given that the tool decides itself."""
    from benchbox.measure.loop.presets import plan_like, require_no_other_way

    given = [
        parameter
        for parameter in _PRESET_DECIDES
        if click.get_current_context().get_parameter_source(parameter) is click.core.ParameterSource.COMMANDLINE
    ]
    require_no_other_way(name, [f"--{parameter.replace('_', '-')}" for parameter in given])
    return plan_like(plan, name, duration_s=duration_s)


def with_mode(
    plan: MeasurementPlan,
    *,
    mode: Mode,
    group: int | None,
    streams: int | None,
    rate: float | None,
    latency_bound: float | None,
) -> MeasurementPlan:
    """The plan in a mode; raises UsageError for flags that belong to another mode."""
    from benchbox.errors import UsageError
    from benchbox.schema.plan import Mode

    # Without --streams; MLPerf's queries of multi-stream have 8 samples.
    usual = {Mode.CONCURRENT: plan.streams, Mode.MULTI_STREAM: 8, Mode.SERVER: 1}
    owners: dict[str, tuple[float | None, tuple[Mode, ...]]] = {
        "--group": (group, (Mode.BATCHED,)),
        "--streams": (streams, tuple(usual)),
        "--rate": (rate, (Mode.SERVER,)),
        "--latency-bound": (latency_bound, (Mode.SERVER,)),
    }
    for flag, (value, modes) in owners.items():
        if value is not None and mode not in modes:
            raise UsageError(f"{flag} belongs to --mode {' or '.join(modes)}", values=f"the mode is {mode}")
    if mode is Mode.SERVER:
        _require_enough(rate, plan)
    return replace(
        plan,
        mode=mode,
        group=group or plan.group,
        streams=streams or usual.get(mode, plan.streams),
        rate_per_s=rate,
        latency_bound_s=latency_bound,
    )


def _require_enough(rate: float | None, plan: MeasurementPlan) -> None:
    """Raises UsageError without a rate, and for one at which too few samples arrive."""
    from benchbox.errors import UsageError

    if rate is None:
        raise UsageError(
            "--mode server needs --rate: how many samples arrive per second",
            remedy="measure --mode isolated first; one session can serve about 70 % of its samples/s",
        )
    if rate * plan.max_time_s < plan.min_samples:
        raise UsageError(
            f"at --rate {rate:g} too few samples arrive",
            values=f"{rate * plan.max_time_s:.3g} in {plan.max_time_s:g} s; at least {plan.min_samples} are needed",
            remedy=f"use --max-time {math.ceil(plan.min_samples / rate)} or longer",
        )


def note_on_mode(plan: MeasurementPlan) -> str:
    """What LoadGen will say of a run of this plan, where that is known before: too few samples for its p99; else "".

    Arrivals are random: where about as many are expected as are needed, half of the runs have fewer.
    """
    from benchbox.schema.plan import QUERIES_FOR_P99, Mode

    enough = QUERIES_FOR_P99 + _SPREADS * math.sqrt(QUERIES_FOR_P99)
    if plan.mode is not Mode.SERVER or plan.rate_per_s is None or plan.rate_per_s * plan.max_time_s >= enough:
        return ""
    return (
        f"note: LoadGen needs {QUERIES_FOR_P99} samples for a valid run, {plan.rate_per_s:g}/s for "
        f"{plan.max_time_s:g} s give about {plan.rate_per_s * plan.max_time_s:.0f}: use --max-time "
        f"{math.ceil(enough / plan.rate_per_s)} or longer, else records get LOADGEN_INVALID"
    )
