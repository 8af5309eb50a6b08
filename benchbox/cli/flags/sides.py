"""Which two sides are measured in turn, and what is their verdict?"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.shared import parse_count, parse_precision

if TYPE_CHECKING:
    from benchbox.jobs.run import Case, Outcome
    from benchbox.schema.plan import MeasurementPlan
    from benchbox.schema.verdict import Verdict


METRICS = ("latency_p50", "throughput")


ab_option = click.option(
    "--ab",
    nargs=2,
    metavar="A B",
    help="Measure two sides in turn, A B B A, and judge B against A. A side is KEY=VALUE,... of model, backend, "
    "precision, batch, threads and python (an interpreter with benchbox in it, or a command that starts one).",
)


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
    from benchbox.gate.comparable import Measured, Rules
    from benchbox.gate.judge import verdict_between
    from benchbox.schema.plan import Mode

    if len(outcomes) != 2:
        return ()
    base, head = (Measured(record=outcome.record, trials=outcome.trials) for outcome in outcomes)
    # In mode offline no sample has a time of its own.
    metrics = METRICS[1:] if head.record.key.mode is Mode.OFFLINE else METRICS
    return tuple(verdict_between(base, head, metric, Rules(across_environments=True)) for metric in metrics)
