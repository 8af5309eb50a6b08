"""Which sides are measured in turn, and what are their verdicts?"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from benchbox.cli.flags.kinds import BACKEND, COUNT, PRECISION, SHAPE, Kind
from benchbox.cli.flags.shared import grouped

if TYPE_CHECKING:
    from benchbox.cli.flags.network import NetworkFlags
    from benchbox.jobs.cases import Case
    from benchbox.jobs.run import Outcome
    from benchbox.schema.model import Precision
    from benchbox.schema.record import Record
    from benchbox.schema.verdict import Verdict

F = TypeVar("F", bound=Callable[..., Any])
Labels = list[tuple[str, str]]

METRICS = ("latency_p50", "throughput", "peak_host_memory")
KEYS = ("model", "input", "weights", "backend", "precision", "batch", "threads", "python")


class SideText(Kind):
    """KEY=VALUE,... of what differs on a side."""

    name = "side"

    def names(self) -> Iterable[str]:
        """The beginnings of what a side says."""
        backends, precisions = (kind.names() for kind in (BACKEND, PRECISION))
        return (
            *(f"precision={name}" for name in precisions),
            *(f"backend={name}" for name in backends),
            *(f"{key}=" for key in KEYS if key not in {"precision", "backend"}),
        )


_SIDE = SideText()
_PLAIN = ("model", "backend", "precision")  # in the order of the tables


def ab_options(function: F) -> F:
    """``--ab`` and ``--also`` as one argument ``variants``: the texts of all sides, none without --ab."""

    def joined(ab: tuple[str, str] | None, also: tuple[str, ...]) -> tuple[str, ...]:
        from benchbox.errors import UsageError

        if also and not ab:
            raise UsageError("--also adds a variant to --ab", values=f"got {also[0]}", remedy="--ab A B --also C")
        return (*(ab or ()), *also)

    return grouped(
        "variants",
        joined,
        click.option(
            "--ab",
            nargs=2,
            type=_SIDE,
            metavar="A B",
            help="Measure two sides in turn, A B B A, and judge B against A, for each combination asked for. A side is "
            "KEY=VALUE,... of model, input, weights, backend, precision, batch, threads and python (an interpreter "
            "with benchbox in it, or a command that starts one), for example precision=fp32 precision=int8; everything "
            "else is the same on both sides.",
        ),
        click.option(
            "--also",
            multiple=True,
            type=_SIDE,
            metavar="C",
            help="With --ab: a further side that is measured in turn with them and judged against A, for example "
            "precision=bf16. Repeatable.",
        ),
    )(function)


def network_of_sides(network: NetworkFlags, variants: Sequence[str]) -> NetworkFlags:
    """The network of the command; that of side A where no MODEL was named and every side names one."""
    models = [_pairs(text).get("model") for text in variants]
    if network.models or not models or not all(models):
        return network
    return replace(network, models=(str(models[0]),))


def precisions_of_sides(variants: Sequence[str], asked: Sequence[Precision]) -> tuple[Precision, ...]:
    """Every precision that some side runs in."""
    named = [_pairs(text).get("precision") for text in variants]
    found = [PRECISION.parse(name, flag="precision") for name in named if name]
    return tuple(dict.fromkeys([*found, *(asked if not all(named) else ())]))


def backend_of_sides(variants: Sequence[str]) -> str | None:
    """The backend of side A where every side names one: then there is none to choose."""
    named = [_pairs(text).get("backend") for text in variants]
    return BACKEND.parse(str(named[0]), flag="backend") if named and all(named) else None


def sides_of_cases(
    cases: Sequence[Case], variants: Sequence[str], network: NetworkFlags, *, own_precisions: bool = False
) -> tuple[tuple[Case, ...], ...]:
    """The sides of each combination that was asked for, A first; each group once.

    Args:
        cases: what was asked for.
        variants: what differs on each side, as text.
        network: input shape, weights and derivation, where a side names another model or precision.
        own_precisions: nobody asked for a precision: another model runs in its own.

    Raises:
        UsageError: a side cannot be read, or two sides of a group are one case.
    """
    from benchbox.errors import UsageError

    pairs = [_pairs(text) for text in variants]
    groups = tuple(dict.fromkeys(tuple(_side(case, pair, network, own_precisions) for pair in pairs) for case in cases))
    for group in groups:
        for place, side in enumerate(group[1:], start=1):
            if side == group[0] and pairs[0] == pairs[place]:
                raise UsageError(
                    "both sides of --ab are the same",
                    values=f"{variants[0]} and {variants[place]}",
                    remedy="say what differs, for example precision=fp32 precision=int8",
                )
    return groups


def _side(case: Case, pairs: dict[str, str], network: NetworkFlags, own_precisions: bool) -> Case:
    side = case
    if {"model", "input", "weights"} & pairs.keys():
        side = replace(side, source=_network_of_side(case, pairs, network).source())
    if "model" in pairs:
        side = _as_the_network_is(side, network, own_precisions)
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


def _as_the_network_is(side: Case, network: NetworkFlags, own_precisions: bool) -> Case:
    """The side at the batch size and in the precision of its network, as far as nobody asked for others."""
    from benchbox.jobs.prepare import own_batch, own_precision

    if not side.batch_asked:
        side = side.at_batch(own_batch(side.source))
    if not own_precisions:
        return side
    precision = own_precision(side.source)
    return replace(side, precision=precision, derivation=network.derivation.for_precision(precision))


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


def between(outcomes: Sequence[Outcome], *, quick: bool = False) -> tuple[Verdict, ...]:
    """Every other side judged against side A, by their places; none if A is not among them."""
    from benchbox.gate.comparable import Measured, Rules
    from benchbox.gate.judge import verdict_between
    from benchbox.schema.plan import Mode

    in_order = sorted(outcomes, key=lambda outcome: outcome.place)
    if len(in_order) < 2 or in_order[0].place != 0:
        return ()
    base, *heads = (Measured(record=outcome.record, trials=outcome.trials) for outcome in in_order)
    return tuple(
        verdict_between(base, head, metric, Rules(across_environments=True, quick=quick))
        for head in heads
        for metric in METRICS
        # In mode offline no sample has a time of its own; with --no-memory nobody asked for memory.
        if not (metric == "latency_p50" and head.record.key.mode is Mode.OFFLINE)
        and not (metric == "peak_host_memory" and not head.record.plan.memory_trials)
    )


def labels_of_verdicts(verdicts: Sequence[Verdict], records: Sequence[Record], variants: Sequence[str]) -> Labels:
    """What side A and the other side of each verdict are called: as typed, without a key that goes without saying.

    Args:
        verdicts: of one group.
        records: of its sides, in their order.
        variants: the texts of its sides.
    """
    labels = _plain_labels(records, variants) or variants
    texts = dict(zip((record.id for record in records), labels, strict=False))
    return [(labels[0], texts.get(verdict.head_records[0], "") if verdict.head_records else "") for verdict in verdicts]


def _plain_labels(records: Sequence[Record], variants: Sequence[str]) -> list[str]:
    """What differs between the sides without its keys, "openvino int8"; none where that does not tell them apart."""
    pairs = [_pairs(text) for text in variants]
    given = {key for side in pairs for key in side}
    keys = [key for key in _PLAIN if key in given]
    if not given <= set(_PLAIN) or len(records) != len(variants):
        return []
    if len(keys) == 1 and all(pairs):  # as typed: a model's file says more than its name
        return [side[keys[0]] for side in pairs]
    labels = [" ".join(str(getattr(record.key, key)) for key in keys) for record in records]
    return labels if len(set(labels)) == len(labels) else []


def note_on_order(verdicts: Sequence[Verdict], records: Sequence[Record]) -> list[str]:
    """What decides where times stayed open that were measured one process after the other."""
    from benchbox.jobs.cases import takes_turns
    from benchbox.metrics.metric import METRICS
    from benchbox.schema.trial import Pass
    from benchbox.schema.verdict import Outcome

    undecided = any(
        verdict.outcome is Outcome.INCONCLUSIVE and verdict.low and METRICS.get(verdict.metric).pass_ is Pass.TIMING
        for verdict in verdicts
    )
    in_turns = any(record.plan.turn_s for record in records)
    if not undecided or in_turns or not all(takes_turns(record.key.backend, record.key.mode) for record in records):
        return []
    return [
        "inconclusive: --ab-order paired lets both sides take turns of 0.2 s, far sharper on a machine others use too"
    ]


def notes_on_sides(records: Sequence[Record], variants: Sequence[str]) -> list[str]:
    """Where two sides turned out to be the same thing, or where more than what was asked for tells them apart."""
    from benchbox.schema.identity import identity_of

    notes = []
    first = records[0]
    for record, text in zip(records[1:], variants[1:], strict=False):
        if first.onnx_sha256 is None or record.onnx_sha256 != first.onnx_sha256:
            continue
        file = f"the same ONNX file, sha256 {first.onnx_sha256[:8]}"
        apart = set(identity_of(first).differences(identity_of(record))) - {"model", "variant"}
        if not apart and first.environment.hash == record.environment.hash:
            notes.append(f"{variants[0]} and {text} are {file}, run alike: they differ by noise alone")
        elif first.key.model != record.key.model:
            notes.append(f"{variants[0]} and {text} are {file}: the models do not differ")
    if len({record.engine_sha256 for record in records} - {None}) > 1:
        notes.append(
            "each side is one build of its engine, and the interval does not cover which kernels the builder picks: "
            "compare a small difference with how far builds of one side are apart (run --builds)"
        )
    return notes
