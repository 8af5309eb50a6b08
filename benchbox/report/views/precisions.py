"""How is the analytical cost of a network shown, precision by precision, with the bound on its speed-up?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchbox.report.forms import render_form
from benchbox.report.screen import lines_below, table_of
from benchbox.report.table import Column
from benchbox.report.views.cost import document_from_cost
from benchbox.schema.cost import BoundRow, NetworkCost, PrecisionCost
from benchbox.schema.device import Device
from benchbox.store.documents import plain
from benchbox.units import (
    ABSENT,
    format_bytes,
    format_count,
    format_factor,
    format_flops_per_s,
    format_quantity,
    format_ratio,
)

_HOLDING_BACK = 3


@dataclass(frozen=True, kw_only=True)
class PrecisionRows:
    """A precision, its layers or groups of them, all of it as one row, and its operator types."""

    cost: PrecisionCost
    rows: tuple[BoundRow, ...]
    whole: BoundRow
    operators: tuple[BoundRow, ...]


def render_precisions(
    cost: NetworkCost, parts: Sequence[PrecisionRows], device: Device | None, *, named: str, form: str
) -> str:
    """The precisions as text.

    Args:
        cost: of the network as its file is.
        parts: the precisions.
        device: whose rates the bounds are of; None where its rates are unknown.
        named: what the device was called.
        form: table, md, csv or json.
    """
    return render_form(
        form,
        document=lambda: document_from_precisions(cost, parts, device),
        lines=lambda: [
            {"precision": part.cost.precision, **_row_document(row), **plain(row.bound)}
            for part in parts
            for row in part.rows
        ],
        body=lambda form: _text(cost, parts, device, named=named, form=form),
    )


def _text(cost: NetworkCost, parts: Sequence[PrecisionRows], device: Device | None, *, named: str, form: str) -> str:
    blocks = [table_of(_TOTALS, parts, form=form)]
    for part in parts:
        if part.cost.precision != "fp32":
            blocks.append(f"{_title(part.cost)}\n\n{table_of(_columns(part.whole.bound.time_s), part.rows, form=form)}")
    lines = [f"{cost.fed}, batch {cost.batch}; {_device_text(device, named)}"]
    lines += [_sentence(part) for part in parts if part.cost.precision != "fp32"]
    lines.append(
        "converted: share of the MACs in the precision. least traffic: bytes to and from memory if everything that can "
        "be fused is. Limits and bounds are speed-ups over fp32. time: share of the least possible time. 'benchbox "
        "explain NAME' defines a column"
    )
    return "\n\n".join([*blocks, lines_below(*lines)])


def document_from_precisions(
    cost: NetworkCost, parts: Sequence[PrecisionRows], device: Device | None
) -> dict[str, object]:
    """The JSON document ``benchbox.flops/1`` with the keys ``device`` and ``precisions``."""
    return {
        **document_from_cost(cost, rows=cost.layers),
        "device": plain(device),
        "precisions": [
            {
                "precision": part.cost.precision,
                "variant": part.cost.variant,
                "macs_in_precision": part.cost.macs_in_precision,
                "weight_bytes": part.cost.cost.weight_bytes,
                "activation_bytes": part.cost.cost.activation_bytes,
                "peak_activation_bytes": part.cost.cost.peak_activation_bytes,
                "least_bytes": part.whole.least_bytes,
                "bound": plain(part.whole.bound),
                "operators": [_row_document(row) for row in part.operators],
                "layers": [_row_document(row) for row in part.rows],
            }
            for part in parts
        ],
    }


def _row_document(row: BoundRow) -> dict[str, object]:
    document: dict[str, object] = plain(row)
    return {"fp32_least_bytes": document.pop("base_bytes"), **document}


def _title(cost: PrecisionCost) -> str:
    return f"{cost.precision} {cost.variant}".strip()


def _share_in_it(part: PrecisionRows) -> str:
    cost = part.cost
    return format_ratio(cost.macs_in_precision / cost.cost.macs) if cost.cost.macs else ABSENT


_TOTALS: tuple[Column[PrecisionRows], ...] = (
    Column(title="precision", cell=lambda part: _title(part.cost)),
    Column(title="converted", cell=_share_in_it, number=True),
    Column(title="weights", cell=lambda part: format_bytes(part.cost.cost.weight_bytes), number=True),
    Column(title="activations", rank=2, cell=lambda part: format_bytes(part.cost.cost.activation_bytes), number=True),
    Column(
        title="peak live", rank=3, cell=lambda part: format_bytes(part.cost.cost.peak_activation_bytes), number=True
    ),
    Column(title="least traffic", cell=lambda part: format_bytes(part.whole.least_bytes), number=True),
    Column(title="compute limit", cell=lambda part: format_factor(part.whole.bound.compute), number=True),
    Column(title="memory limit", cell=lambda part: format_factor(part.whole.bound.memory), number=True),
    Column(title="bound", cell=lambda part: format_factor(part.whole.bound.ideal), number=True),
)


def _columns(whole_s: float | None) -> tuple[Column[BoundRow], ...]:
    def share(row: BoundRow) -> str:
        time_s = row.bound.time_s
        return ABSENT if not whole_s or time_s is None else format_ratio(time_s / whole_s)

    return (
        Column(title="layer", fold=True, cell=lambda row: row.name),
        Column(title="op", rank=3, cell=lambda row: row.op),
        Column(title="type", cell=lambda row: ", ".join(row.types) or ABSENT),
        Column(title="MACs", cell=lambda row: format_count(row.macs), number=True),
        Column(title="weights", rank=3, cell=lambda row: format_bytes(row.weight_bytes), number=True),
        Column(title="writes", rank=4, cell=lambda row: format_bytes(row.write_bytes), number=True),
        Column(
            title="least traffic",
            cell=lambda row: format_bytes(row.least_bytes) if row.least_bytes else "fused",
            number=True,
        ),
        Column(
            title="fp32 traffic",
            cell=lambda row: format_bytes(row.base_bytes) if row.base_bytes else ABSENT,
            number=True,
        ),
        Column(title="compute limit", rank=2, cell=lambda row: format_factor(row.bound.compute), number=True),
        Column(title="memory limit", rank=2, cell=lambda row: format_factor(row.bound.memory), number=True),
        Column(title="bound", cell=lambda row: format_factor(row.bound.ideal), number=True),
        Column(title="limited by", cell=lambda row: row.bound.by or ABSENT),
        Column(title="time", cell=share, number=True),
    )


def _device_text(device: Device | None, named: str) -> str:
    if device is None:
        return f"the rates of {named} are unknown: only bytes are compared"
    parts = [f"rates of {device.title} ({device.source})"]
    if device.widened:
        parts.append(f"no arithmetic in {', '.join(device.widened)}: computed in fp32")
    if device.balance is None:
        parts.append("the balance of arithmetic and memory is unknown: both limits (--flops and --bandwidth give one)")
    else:
        assert device.bytes_per_s is not None, "a balance has both rates"
        parts.append(
            f"fp32 {format_flops_per_s(device.fp32_flops_per_s)}, memory {format_quantity(device.bytes_per_s, 'B/s')}: "
            f"fp32 is bound by arithmetic from {device.balance:.1f} FLOP/B on"
        )
    return "; ".join(parts)


def _sentence(part: PrecisionRows) -> str:
    """What the bound is and which operators hold it back."""
    cost, bound = part.cost, part.whole.bound
    title = _title(cost)
    wide = cost.cost.macs - cost.macs_in_precision
    rest = f"; {format_ratio(wide / cost.cost.macs)} of the MACs are in another type" if wide else ""
    if cost.precision == "int4":  # how weights are stored: nothing computes in it
        rest = f"; weights are in int4 for {_share_in_it(part)} of the MACs, which compute in a wider type"
    if bound.ideal is None or not bound.time_s:
        return (
            f"{title}: {format_factor(bound.compute)} if limited by arithmetic alone, {format_factor(bound.memory)} "
            f"by memory traffic alone{rest}"
        )
    rows = sorted(part.operators, key=lambda row: -(row.bound.time_s or 0.0))[:_HOLDING_BACK]
    held = ", ".join(
        f"{row.name} {format_ratio((row.bound.time_s or 0.0) / bound.time_s)}"
        + (f" ({format_factor(row.bound.ideal)})" if row.bound.ideal else "")
        for row in rows
        if row.bound.time_s
    )
    return f"{title}: at most {format_factor(bound.ideal)} as fast as fp32; of that time: {held}{rest}"
