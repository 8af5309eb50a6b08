"""How much faster than fp32, or another base, can a precision be at most, layer by layer?

A layer takes at least max(multiply-adds / rate of the precision, bytes / bandwidth) (Williams, Waterman and Patterson
2009, Roofline); its bound is that time in the base over that time in the precision, and a network's is the sum over
the sum (Amdahl 1967). Operations other than multiply-adds count by their bytes alone, and bytes are the least that must
move (``fusing.py``), in the base as in the precision.

Without a bandwidth, or without an absolute rate, the larger of both times is not known. Then there are two limits: of
arithmetic alone and of bytes alone. One layer's bound is never above the larger of its two, since
max(a, b) / max(c, d) <= max(a/c, b/d).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchbox.cost.grouping import group_of, grouped, kind_of
from benchbox.schema.cost import Bound, BoundRow, LayerCost, PrecisionCost
from benchbox.schema.device import Device

ADDED = "casts and Q/DQ"


@dataclass(frozen=True, kw_only=True)
class LayerPair:
    """A layer in the base and in a precision; ``base`` is None for what is added, ``other`` for what is dropped.

    ``type`` and ``base_type`` are what it computes in. Bytes are the least that must move, of the kernel that the layer
    leads.
    """

    name: str
    op: str
    type: str
    base_type: str
    added: bool
    base: LayerCost | None
    other: LayerCost | None
    base_bytes: int
    other_bytes: int


def layer_pairs(base: PrecisionCost | None, other: PrecisionCost) -> tuple[LayerPair, ...]:
    """Every layer of either, once, in the order of the precision's graph; without a base there are no bounds."""
    before = {layer.name: layer for layer in base.cost.layers} if base else {}
    old, types = (base.least_bytes, base.types) if base else ({}, {})
    after = {layer.name: layer for layer in other.cost.layers}
    pairs = [
        LayerPair(
            name=layer.name,
            op=layer.op,
            type=other.types[layer.name],
            base_type=types.get(layer.name, ""),
            added=layer.name in other.added,
            base=before.get(layer.name),
            other=layer,
            base_bytes=old.get(layer.name, 0),
            other_bytes=other.least_bytes[layer.name],
        )
        for layer in other.cost.layers
    ]
    pairs += [
        LayerPair(
            name=layer.name,
            op=layer.op,
            type="",
            base_type=types[layer.name],
            added=base is not None and layer.name in base.added,
            base=layer,
            other=None,
            base_bytes=old[layer.name],
            other_bytes=0,
        )
        for layer in before.values()
        if layer.name not in after
    ]
    return tuple(pairs)


def rows_from_pairs(
    pairs: Sequence[LayerPair], device: Device | None, *, key: Callable[[LayerPair], str]
) -> tuple[BoundRow, ...]:
    """One row for each value of the key, in the order of first appearance."""
    return tuple(row_from_pairs(name, parts, device) for name, parts in grouped(pairs, key).items())


def row_from_pairs(name: str, pairs: Sequence[LayerPair], device: Device | None) -> BoundRow:
    """All pairs as one row."""
    after = [pair.other for pair in pairs if pair.other is not None]
    return BoundRow(
        name=name,
        op=kind_of([pair.op for pair in pairs]),
        layers=len(pairs),
        types=tuple(dict.fromkeys(pair.type for pair in pairs if pair.type)),
        macs=sum(layer.macs for layer in after),
        weight_bytes=sum(layer.weight_bytes for layer in after),
        read_bytes=sum(layer.read_bytes for layer in after),
        write_bytes=sum(layer.write_bytes for layer in after),
        least_bytes=sum(pair.other_bytes for pair in pairs),
        base_bytes=sum(pair.base_bytes for pair in pairs),
        bound=bound_of(pairs, device),
    )


def pair_key(by: str) -> Callable[[LayerPair], str]:
    """What pairs are grouped by: ``grouping.GROUPINGS``, but that what was added is one group unless by layer."""

    def key(pair: LayerPair) -> str:
        return ADDED if pair.added and by != "layer" else group_of(by, name=pair.name, op=pair.op)

    return key


def bound_of(pairs: Iterable[LayerPair], device: Device | None) -> Bound:
    """The bound of layers that run one after the other.

    Args:
        pairs: of the layers.
        device: whose rates count; None for one of which nothing is known: only bytes are compared then.
    """
    pairs = tuple(pairs)
    rates = [_rate(pair.other, pair.type, device) for pair in pairs]
    base_rates = [_rate(pair.base, pair.base_type, device) for pair in pairs]
    old_bytes = sum(pair.base_bytes for pair in pairs)
    new_bytes = sum(pair.other_bytes for pair in pairs)
    memory = old_bytes / new_bytes if old_bytes and new_bytes else None
    if any(rate is None for rate in (*rates, *base_rates)):
        return Bound(compute=None, memory=memory)
    old_work = sum(_macs(pair.base) / rate for pair, rate in zip(pairs, base_rates, strict=True) if rate)
    new_work = sum(_macs(pair.other) / rate for pair, rate in zip(pairs, rates, strict=True) if rate)
    compute = old_work / new_work if old_work and new_work else None
    if device is None or device.fp32_flops_per_s is None or device.bytes_per_s is None:
        return Bound(compute=compute, memory=memory)
    old = new = bound_by_compute = 0.0
    for pair, rate, base_rate in zip(pairs, rates, base_rates, strict=True):
        assert rate is not None and base_rate is not None, "looked at above"  # noqa: PT018
        old += max(_times(pair.base, pair.base_bytes, base_rate, device))
        work, moving = _times(pair.other, pair.other_bytes, rate, device)
        new += max(work, moving)
        bound_by_compute += work if work > moving else 0.0
    by = "" if not new else "compute" if bound_by_compute > new / 2 else "memory"
    ideal = old / new if old and new else None
    return Bound(compute=compute, memory=memory, ideal=ideal, time_s=new, base_time_s=old, by=by)


def least_times(pair: LayerPair, device: Device, *, base: bool = False) -> tuple[float, float] | None:
    """Seconds of a layer's arithmetic and of its bytes in the precision, or the base; None without known rates."""
    layer, kind, moved = (
        (pair.base, pair.base_type, pair.base_bytes) if base else (pair.other, pair.type, pair.other_bytes)
    )
    rate = _rate(layer, kind, device)
    if rate is None or device.fp32_flops_per_s is None or device.bytes_per_s is None:
        return None
    return _times(layer, moved, rate, device)


def _rate(layer: LayerCost | None, kind: str, device: Device | None) -> float | None:
    """Multiply-adds per time relative to fp32; 1 for a layer without any, whose rate does not matter."""
    if not _macs(layer):
        return 1.0
    return None if device is None else device.rates.get(kind)


def _macs(layer: LayerCost | None) -> int:
    return 0 if layer is None else layer.macs


def _times(layer: LayerCost | None, moved_bytes: int, rate: float, device: Device) -> tuple[float, float]:
    assert device.fp32_flops_per_s is not None, "the caller has seen it"
    assert device.bytes_per_s is not None, "the caller has seen it"
    return 2 * _macs(layer) / (rate * device.fp32_flops_per_s), moved_bytes / device.bytes_per_s
