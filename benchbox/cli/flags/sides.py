"""Which two sides are measured in turn, and what is their verdict?"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.kinds import BACKEND, COUNT, PRECISION, SHAPE

if TYPE_CHECKING:
    from benchbox.cli.flags.network import NetworkFlags
    from benchbox.jobs.cases import Case
    from benchbox.jobs.run import Outcome
    from benchbox.schema.verdict import Verdict


METRICS = ("latency_p50", "throughput")
KEYS = ("model", "input", "weights", "backend", "precision", "batch", "threads", "python")


ab_option = click.option(
    "--ab",
    nargs=2,
    metavar="A B",
    help="Measure two sides in turn, A B B A, and judge B against A. A side is KEY=VALUE,... of model, input, weights, "
    "backend, precision, batch, threads and python (an interpreter with benchbox in it, or a command that starts one), "
    "for example precision=fp32 precision=int8; everything else is the same on both sides.",
)


def two_sides(cases: Sequence[Case], sides: tuple[str, str], network: NetworkFlags) -> tuple[Case, Case]:
    """Side A and side B of the one case that was asked for.

    Args:
        cases: what was asked for.
        sides: what differs, as text.
        network: input shape, weights and derivation, where a side names another model or precision.

    Raises:
        UsageError: there is more than one case, or a side cannot be read.
    """
    from benchbox.errors import UsageError

    if len(cases) != 1:
        raise UsageError(
            "--ab needs exactly one case",
            values=f"{len(cases)} combinations were asked for",
            remedy="name one MODEL, backend, precision and batch; the sides say what differs",
        )
    first, second = (_side(cases[0], _pairs(text), network) for text in sides)
    return first, second


def _side(case: Case, pairs: dict[str, str], network: NetworkFlags) -> Case:
    side = case
    if {"model", "input", "weights"} & pairs.keys():
        side = replace(side, source=_network_of_side(case, pairs, network).source())
    if "backend" in pairs:
        side = replace(side, backend=BACKEND.parse(pairs["backend"], flag="backend"))
    if "precision" in pairs:
        precision = PRECISION.parse(pairs["precision"], flag="precision")
        side = replace(side, precision=precision, derivation=network.derivation.for_precision(precision))
    if "batch" in pairs:
        side = replace(side, plan=replace(side.plan, batch=COUNT.parse(pairs["batch"], flag="batch")))
    if "threads" in pairs:
        side = replace(side, plan=replace(side.plan, threads=COUNT.parse(pairs["threads"], flag="threads")))
    if "python" in pairs:
        side = replace(side, interpreter=tuple(shlex.split(pairs["python"])))
    return side


def _network_of_side(case: Case, pairs: dict[str, str], network: NetworkFlags) -> NetworkFlags:
    shape = network.inputs[0] if "model" in pairs else case.source.input_shape
    if "input" in pairs:
        shape = SHAPE.parse(pairs["input"], flag="input")
    return replace(
        network,
        models=(pairs.get("model", case.source.reference),),
        inputs=(shape, network.inputs[1]),
        weights=pairs.get("weights", network.weights),
    )


def _pairs(text: str) -> dict[str, str]:
    from benchbox.errors import UsageError
    from benchbox.registry import require_known

    found: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not value:
            raise UsageError(
                "a side of --ab is KEY=VALUE,...", values=f"got '{text}'", remedy=f"keys: {', '.join(KEYS)}"
            )
        if require_known("key of --ab", key, KEYS) in found:
            raise UsageError(f"a side of --ab says {key} twice", values=f"got '{text}'")
        found[key] = value
    return found


def between(outcomes: Sequence[Outcome]) -> tuple[Verdict, ...]:
    """Side B judged against side A, by their places; none if one of them has no numbers."""
    from benchbox.gate.comparable import Measured, Rules
    from benchbox.gate.judge import verdict_between
    from benchbox.schema.plan import Mode

    if len(outcomes) != 2:
        return ()
    in_order = sorted(outcomes, key=lambda outcome: outcome.place)
    base, head = (Measured(record=outcome.record, trials=outcome.trials) for outcome in in_order)
    # In mode offline no sample has a time of its own.
    metrics = METRICS[1:] if head.record.key.mode is Mode.OFFLINE else METRICS
    return tuple(verdict_between(base, head, metric, Rules(across_environments=True)) for metric in metrics)
