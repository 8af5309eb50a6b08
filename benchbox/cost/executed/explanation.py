"""Why is a lower precision not as fast as it could be? Joins the executed layers of both with the roofline.

Each executed layer's time has one cause: it only requantises, only reorders, computes in another type than the one
asked for, or could not be attributed to a node. A layer that computes in the asked type has a roofline time, set by
arithmetic or by bytes; the time above it is due to the kernel. The causes therefore add up to the whole time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchbox.cost.grouping import grouped
from benchbox.cost.precision.precisions import MOVES
from benchbox.cost.precision.roofline import ADDED, LayerPair, bound_of, layer_pairs, least_times
from benchbox.schema.cost import PrecisionCost
from benchbox.schema.device import Device
from benchbox.schema.explanation import Cause, ExplainedGroup, Explanation, Reason
from benchbox.schema.layers import LayerRow, LayerTable
from benchbox.stats.rank import ratio_interval

REORDERED, NOWHERE = "reordering", "in no node"
_NAMED = 8
# Kernels that a runtime puts in by itself and gives names that no node has.
_REQUANTISING_KINDS = MOVES | {"Quantize", "Dequantize", "Convert", "FakeQuantize"}
_DEQUANTISING_KINDS = frozenset({"DequantizeLinear", "Dequantize"})
_REORDERING_KINDS = frozenset({"Transpose", "Reorder", "Copy", "NoOp"})


@dataclass(frozen=True, kw_only=True)
class _Part:
    """An executed layer: its main node (None for none), its cause and the layer pairs that it executes."""

    row: LayerRow
    main: LayerPair | None
    cause: Cause
    pairs: tuple[LayerPair, ...]

    @property
    def time_s(self) -> float:
        return self.row.layer.time_s or 0.0


def explanation_of(
    table: LayerTable,
    base: LayerTable,
    *,
    cost: PrecisionCost,
    base_cost: PrecisionCost,
    device: Device | None,
    key: Callable[[LayerPair], str],
    medians: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Explanation:
    """Explains the time of one table against another.

    Args:
        table: executed layers in the precision.
        base: executed layers in the precision that it is compared with.
        cost: of the network in the precision.
        base_cost: of the network in the base's.
        device: the one that both ran on; rates that it lacks are taken from ``base``.
        key: what layers are grouped by (``roofline.pair_key``).
        medians: seconds of a whole inference, one per process, in the base's precision and in the precision; None for
            the single ones of the tables.
    """
    before, after = medians or ((base.latency_s,), (table.latency_s,))
    speedup, low, high = ratio_interval(after, before)
    pairs = layer_pairs(base_cost, cost)
    by_name = {pair.name: pair for pair in pairs}
    base_parts = _parts(base, by_name, base_cost.unpacking)
    rated = device and _with_seen_rates(device, base_parts, base.precision)
    parts = _parts(table, by_name, cost.unpacking)
    matrices = [part for part in parts if part.row.macs]
    return Explanation(
        table=table,
        base=base,
        device=rated,
        groups=_groups(parts, base_parts, pairs, rated, key),
        reasons=_reasons(parts, rated),
        bound=bound_of(pairs, rated),
        matrices=len(matrices),
        wider=sum(1 for part in matrices if part.cause is Cause.WIDER),
        base_beyond_s=_beyond(base_parts, rated),
        speedup=speedup,
        speedup_interval=None if low is None or high is None else (low, high),
        processes=min(len(before), len(after)),
    )


def _beyond(parts: Sequence[_Part], device: Device | None) -> float | None:
    """Time of the base's layers above their roofline, in seconds; None where that is not known."""
    if device is None:
        return None
    beyond = 0.0
    for part in parts:
        least = [least_times(pair, device, base=True) for pair in part.pairs]
        known = [times for times in least if times is not None]
        if len(known) < len(least):
            return None
        needed = max(sum(work for work, _ in known), sum(moving for _, moving in known))
        beyond += max(0.0, part.time_s - needed)
    return beyond


def _parts(table: LayerTable, by_name: Mapping[str, LayerPair], unpacking: frozenset[str]) -> list[_Part]:
    found = []
    for row in table.rows:
        pairs = tuple(by_name[name] for name in row.nodes if name in by_name)
        main = max(pairs, key=_work, default=None)
        found.append(_Part(row=row, main=main, cause=_cause(row, main, table.precision, unpacking), pairs=pairs))
    return found


def _work(pair: LayerPair) -> tuple[int, int, int]:
    layer = pair.other or pair.base
    assert layer is not None, "a pair has one of both"
    return (layer.macs, 0 if pair.added else 1, layer.elementwise)


def _cause(row: LayerRow, main: LayerPair | None, precision: str, unpacking: frozenset[str]) -> Cause:
    """The cause of a layer; BEYOND for those in the asked type, until their roofline time is subtracted."""
    layer = row.layer
    if not row.macs and row.nodes and unpacking.issuperset(row.nodes):
        return Cause.UNPACKING
    if not row.nodes and layer.kind in _DEQUANTISING_KINDS and layer.executed == "int32":
        return Cause.UNPACKING  # a bias that the runtime quantised itself: activations are never int32
    if not row.macs and (layer.kind in _REQUANTISING_KINDS or (main is not None and main.op in MOVES)):
        return Cause.REQUANTISING
    if layer.moves or (main is None and layer.kind in _REORDERING_KINDS):
        return Cause.REORDERING
    if main is None and not row.nodes:
        return Cause.UNKNOWN
    if main is None:  # only Q/DQ nodes, which the cost model folds away
        return Cause.REQUANTISING
    if layer.executed and layer.executed != _executed_name(precision):
        return Cause.WIDER if row.macs else Cause.BETWEEN
    return Cause.BEYOND


def _executed_name(precision: str) -> str:
    """The type that a runtime reports for a precision: tf32 layers are reported as fp32."""
    return "fp32" if precision == "tf32" else precision


def _with_seen_rates(device: Device, parts: Sequence[_Part], precision: str) -> Device:
    """The device; rates that it lacks are the best that any layer reached."""
    relative = device.rates.get(precision, 1.0)
    timed = [part for part in parts if part.time_s]
    work = max((2 * part.row.macs / part.time_s for part in timed), default=0.0) / relative
    moved = max((sum(pair.base_bytes for pair in part.pairs) / part.time_s for part in timed), default=0.0)
    return replace(
        device,
        fp32_flops_per_s=device.fp32_flops_per_s or work or None,
        bytes_per_s=device.bytes_per_s or moved or None,
    )


def _groups(
    parts: Sequence[_Part],
    base_parts: Sequence[_Part],
    pairs: Sequence[LayerPair],
    device: Device | None,
    key: Callable[[LayerPair], str],
) -> tuple[ExplainedGroup, ...]:
    """Longest first; every executed layer of either table is in one."""
    after, before = (grouped(found, lambda part: _group_of(part, key)) for found in (parts, base_parts))
    paper = grouped(pairs, key)
    groups = [
        ExplainedGroup(
            name=name,
            time_s=sum(part.time_s for part in after.get(name, ())),
            base_time_s=sum(part.time_s for part in before.get(name, ())),
            bound=bound_of(paper.get(name, ()), device),
            reasons=_reasons(after.get(name, ()), device),
        )
        for name in dict.fromkeys([*after, *before])
    ]
    return tuple(sorted(groups, key=lambda group: -max(group.time_s, group.base_time_s)))


def _group_of(part: _Part, key: Callable[[LayerPair], str]) -> str:
    if part.cause in {Cause.REQUANTISING, Cause.UNPACKING}:
        return ADDED
    if part.cause is Cause.REORDERING:
        return REORDERED
    return NOWHERE if part.main is None else key(part.main)


def _reasons(parts: Sequence[_Part], device: Device | None) -> tuple[Reason, ...]:
    """Every cause with time, longest first; they add up to the time of the parts."""
    times: dict[Cause, float] = {}
    owners: dict[Cause, list[_Part]] = {}
    for part in parts:
        for cause, time_s in _split(part, device).items():
            if time_s > 0:
                times[cause] = times.get(cause, 0.0) + time_s
                owners.setdefault(cause, []).append(part)
    return tuple(
        Reason(
            cause=cause,
            time_s=time_s,
            layers=len(owners[cause]),
            names=tuple(part.row.name for part in sorted(owners[cause], key=lambda part: -part.time_s)[:_NAMED]),
            kinds=tuple(Counter(_kind(part) for part in owners[cause]).most_common()),
        )
        for cause, time_s in sorted(times.items(), key=lambda item: -item[1])
    )


def _kind(part: _Part) -> str:
    return (
        part.main.op
        if part.main is not None and part.cause not in {Cause.REQUANTISING, Cause.UNPACKING}
        else part.row.layer.kind
    )


def _split(part: _Part, device: Device | None) -> dict[Cause, float]:
    """The time of a layer by cause: the roofline time of layers in the asked type is split off."""
    if part.cause is not Cause.BEYOND or device is None:
        return {part.cause: part.time_s}
    least = [least_times(pair, device) for pair in part.pairs]
    if any(times is None for times in least):
        return {part.cause: part.time_s}
    work = sum(times[0] for times in least if times is not None)
    moving = sum(times[1] for times in least if times is not None)
    cause, needed = (Cause.ARITHMETIC, work) if work > moving else (Cause.BYTES, moving)
    taken = min(needed, part.time_s)
    return {cause: taken, Cause.BEYOND: part.time_s - taken}
