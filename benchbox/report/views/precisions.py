"""How is the cost of a network on paper shown, precision by precision, with the bound on its speed-up?"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchbox.report.table import Column, markdown_table, text_table
from benchbox.report.views.cost import document_from_cost
from benchbox.schema.cost import Bound, BoundRow, NetworkCost, PrecisionCost
from benchbox.schema.device import Device
from benchbox.units import (
    ABSENT,
    format_bytes,
    format_count,
    format_factor,
    format_flops_per_s,
    format_quantity,
    format_ratio,
)

_TOTALS = (
    Column(title="precision"),
    Column(title="in it", number=True),
    Column(title="weights", number=True),
    Column(title="activations", number=True),
    Column(title="at most alive", number=True),
    Column(title="must move", number=True),
    Column(title="compute limit", number=True),
    Column(title="memory limit", number=True),
    Column(title="bound", number=True),
)
_ROWS = (
    Column(title="layer"),
    Column(title="op"),
    Column(title="type"),
    Column(title="MACs", number=True),
    Column(title="weights", number=True),
    Column(title="writes", number=True),
    Column(title="must move", number=True),
    Column(title="in fp32", number=True),
    Column(title="compute limit", number=True),
    Column(title="memory limit", number=True),
    Column(title="bound", number=True),
    Column(title="by"),
    Column(title="least time", number=True),
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
        device: whose rates the bounds are of; None where nothing is known of it.
        named: what the device was called.
        form: table, md, csv or json.
    """
    if form == "json":
        return json.dumps(document_from_precisions(cost, parts, device), indent=2)
    if form == "csv":
        return _csv(parts)
    draw = markdown_table if form == "md" else text_table
    shape = "x".join(map(str, cost.input_shape))
    blocks = [draw(_TOTALS, [_total_texts(part) for part in parts])]
    for part in parts:
        if part.cost.precision != "fp32":
            total = part.whole.bound.time_s
            blocks.append(f"{_title(part.cost)}\n\n{draw(_ROWS, [_row_texts(row, total) for row in part.rows])}")
    lines = [f"{cost.model}, input {shape}, batch {cost.batch}; {_device_text(device, named)}"]
    lines += [_sentence(part) for part in parts if part.cost.precision != "fp32"]
    lines.append("must move: bytes if all that can be is fused; bounds are against fp32; definitions: docs/metrics.md")
    return "\n\n".join([*blocks, "\n".join(lines)])


def document_from_precisions(
    cost: NetworkCost, parts: Sequence[PrecisionRows], device: Device | None
) -> dict[str, object]:
    """The JSON document ``benchbox.flops/1`` with the keys ``device`` and ``precisions``."""
    return {
        **document_from_cost(cost, rows=cost.layers),
        "device": None if device is None else _device_document(device),
        "precisions": [
            {
                "precision": part.cost.precision,
                "variant": part.cost.variant,
                "macs_in_precision": part.cost.macs_in_precision,
                "weight_bytes": part.cost.cost.weight_bytes,
                "activation_bytes": part.cost.cost.activation_bytes,
                "peak_activation_bytes": part.cost.cost.peak_activation_bytes,
                "least_bytes": part.whole.least_bytes,
                "bound": _bound_document(part.whole.bound),
                "operators": [_row_document(row) for row in part.operators],
                "layers": [_row_document(row) for row in part.rows],
            }
            for part in parts
        ],
    }


def _device_document(device: Device) -> dict[str, object]:
    return {
        "name": device.name,
        "title": device.title,
        "rates": dict(device.rates),
        "fp32_flops_per_s": device.fp32_flops_per_s,
        "bytes_per_s": device.bytes_per_s,
        "widened": list(device.widened),
        "source": device.source,
    }


def _row_document(row: BoundRow) -> dict[str, object]:
    return {
        "name": row.name,
        "op": row.op,
        "layers": row.layers,
        "types": list(row.types),
        "macs": row.macs,
        "weight_bytes": row.weight_bytes,
        "read_bytes": row.read_bytes,
        "write_bytes": row.write_bytes,
        "least_bytes": row.least_bytes,
        "fp32_least_bytes": row.base_bytes,
        "bound": _bound_document(row.bound),
    }


def _bound_document(bound: Bound) -> dict[str, object]:
    return {
        "compute": bound.compute,
        "memory": bound.memory,
        "ideal": bound.ideal,
        "by": bound.by,
        "time_s": bound.time_s,
        "base_time_s": bound.base_time_s,
    }


def _csv(parts: Sequence[PrecisionRows]) -> str:
    lines = [
        {"precision": part.cost.precision, **_flat(_row_document(row)), **_flat(_bound_document(row.bound))}
        for part in parts
        for row in part.rows
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().rstrip("\n")


def _flat(document: Mapping[str, object]) -> dict[str, object]:
    return {
        key: " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else value
        for key, value in document.items()
        if not isinstance(value, dict)
    }


def _title(cost: PrecisionCost) -> str:
    return f"{cost.precision} {cost.variant}".strip()


def _total_texts(part: PrecisionRows) -> tuple[str, ...]:
    cost, bound = part.cost.cost, part.whole.bound
    return (
        _title(part.cost),
        format_ratio(part.cost.macs_in_precision / cost.macs) if cost.macs else ABSENT,
        format_bytes(cost.weight_bytes),
        format_bytes(cost.activation_bytes),
        format_bytes(cost.peak_activation_bytes),
        format_bytes(part.whole.least_bytes),
        format_factor(bound.compute),
        format_factor(bound.memory),
        format_factor(bound.ideal),
    )


def _row_texts(row: BoundRow, whole_s: float | None) -> tuple[str, ...]:
    bound = row.bound
    return (
        row.name,
        row.op,
        ", ".join(row.types) or ABSENT,
        format_count(row.macs),
        format_bytes(row.weight_bytes),
        format_bytes(row.write_bytes),
        format_bytes(row.least_bytes) if row.least_bytes else "fused",
        format_bytes(row.base_bytes) if row.base_bytes else ABSENT,
        format_factor(bound.compute),
        format_factor(bound.memory),
        format_factor(bound.ideal),
        bound.by or ABSENT,
        ABSENT if not whole_s or bound.time_s is None else format_ratio(bound.time_s / whole_s),
    )


def _device_text(device: Device | None, named: str) -> str:
    if device is None:
        return f"no rates are known of {named}: only bytes are compared"
    parts = [f"rates of {device.title} ({device.source})"]
    if device.widened:
        parts.append(f"no arithmetic in {', '.join(device.widened)}: computed in fp32")
    if device.balance is None:
        parts.append("no balance of arithmetic and memory known: both limits (--flops and --bandwidth give one)")
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
    if bound.ideal is None or not bound.time_s:
        return (
            f"{title}: {format_factor(bound.compute)} if arithmetic took all the time, {format_factor(bound.memory)} "
            f"if bytes did{rest}"
        )
    rows = sorted(part.operators, key=lambda row: -(row.bound.time_s or 0.0))[:_HOLDING_BACK]
    held = ", ".join(
        f"{row.name} {format_ratio((row.bound.time_s or 0.0) / bound.time_s)}"
        + (f" ({format_factor(row.bound.ideal)})" if row.bound.ideal else "")
        for row in rows
        if row.bound.time_s
    )
    return f"{title}: at most {format_factor(bound.ideal)} as fast as fp32; least time: {held}{rest}"
