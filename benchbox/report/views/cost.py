"""How is the cost of a network on paper shown?"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from benchbox.registry import require_known
from benchbox.report.table import Column, markdown_table, text_table
from benchbox.schema.cost import LayerCost, NetworkCost
from benchbox.units import format_bytes, format_count, format_ratio

_COLUMNS = (
    Column(title="layer"),
    Column(title="op"),
    Column(title="output"),
    Column(title="params", number=True),
    Column(title="MACs", number=True),
    Column(title="FLOPs", number=True),
    Column(title="share", number=True),
    Column(title="weights", number=True),
    Column(title="reads", number=True),
    Column(title="writes", number=True),
    Column(title="FLOP/B", number=True),
)
_COUNT = Column(title="count", number=True)
FORMS = ("table", "md", "csv", "json")
SHOWN = 5
_OWN = ("mac", "flop")  # conventions whose numbers are in columns of their own already


def render_cost(cost: NetworkCost, *, rows: Sequence[LayerCost], form: str, tree: bool = False) -> str:
    """The cost as text.

    Args:
        cost: of the whole network.
        rows: its layers, or groups of them.
        form: one of ``FORMS``.
        tree: whether rows lie inside each other: they are indented, and do not add up.
    """
    if form == "json":
        return json.dumps(document_from_cost(cost, rows=rows), indent=2)
    if form == "csv":
        return _csv(rows)
    extra = cost.convention not in _OWN
    columns = (*_COLUMNS[:6], _COUNT, *_COLUMNS[6:]) if extra else _COLUMNS
    texts = [_texts(row, cost.count, extra=extra, tree=tree) for row in rows]
    total = _texts(_total(cost), cost.count, extra=extra, tree=False)
    table = (markdown_table if form == "md" else text_table)(columns, [*texts, total])
    return f"{table}\n\n{_summary(cost)}"


def _total(cost: NetworkCost) -> LayerCost:
    return LayerCost(
        name="total",
        op=f"batch {cost.batch}",
        output_shape=(),
        macs=cost.macs,
        elementwise=cost.flops - 2 * cost.macs,
        params=cost.params,
        weight_bytes=cost.weight_bytes,
        read_bytes=sum(layer.read_bytes for layer in cost.layers),
        write_bytes=cost.activation_bytes,
        count=cost.count,
    )


def require_form(form: str) -> str:
    """The format's name if there is such a one, else a UsageError with the nearest."""
    return require_known("format", form, FORMS)


def document_from_cost(cost: NetworkCost, *, rows: Sequence[LayerCost]) -> dict[str, object]:
    """The JSON document ``benchbox.flops/1``."""
    return {
        "schema": "benchbox.flops/1",
        "model": cost.model,
        "input_shape": list(cost.input_shape),
        "batch": cost.batch,
        "convention": cost.convention,
        "count": cost.count,
        "params": cost.params,
        "macs": cost.macs,
        "flops": cost.flops,
        "weight_bytes": cost.weight_bytes,
        "activation_bytes": cost.activation_bytes,
        "peak_activation_bytes": cost.peak_activation_bytes,
        "arithmetic_intensity": _total(cost).intensity,
        "uncounted": list(cost.uncounted),
        "layers": [_document(row) for row in rows],
        "onnx_sha256": cost.onnx_sha256,
    }


def _document(row: LayerCost) -> dict[str, object]:
    return {
        "name": row.name,
        "op": row.op,
        "output_shape": list(row.output_shape),
        "params": row.params,
        "macs": row.macs,
        "flops": row.flops,
        "count": row.count,
        "weight_bytes": row.weight_bytes,
        "read_bytes": row.read_bytes,
        "write_bytes": row.write_bytes,
        "arithmetic_intensity": row.intensity,
    }


def _texts(row: LayerCost, whole: int, *, extra: bool, tree: bool) -> tuple[str, ...]:
    parent, _, own = row.name.rpartition(".")
    indent = "  " * (row.name.count("."))
    return (
        f"{indent}{own}" if tree and parent else row.name,
        row.op,
        "x".join(map(str, row.output_shape)),
        format_count(row.params),
        format_count(row.macs),
        format_count(row.flops),
        *((format_count(row.count),) if extra else ()),
        format_ratio(row.count / whole if whole else 0.0),
        format_bytes(row.weight_bytes),
        format_bytes(row.read_bytes),
        format_bytes(row.write_bytes),
        "" if row.intensity is None else f"{row.intensity:.2f}",
    )


def _csv(rows: Sequence[LayerCost]) -> str:
    text = io.StringIO()
    lines = [{**_document(row), "output_shape": "x".join(map(str, row.output_shape))} for row in rows]
    writer = csv.DictWriter(text, fieldnames=list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().rstrip("\n")


def _summary(cost: NetworkCost) -> str:
    shape = "x".join(map(str, cost.input_shape))
    lines = [
        f"{cost.model}, input {shape}, batch {cost.batch}: {cost.macs:,} MACs, {cost.flops:,} FLOPs (2·MACs plus "
        f"elementwise), {cost.params:,} parameters",
        f"weights {format_bytes(cost.weight_bytes)}, activations written {format_bytes(cost.activation_bytes)}, "
        f"at most {format_bytes(cost.peak_activation_bytes)} alive at once; share is of the {cost.convention} count"
        + ("" if cost.convention in _OWN else f", {cost.count:,}"),
        f"counted on ONNX sha256 {cost.onnx_sha256[:16]}…; definitions: docs/metrics.md",
    ]
    if cost.uncounted:
        more = f" and {len(cost.uncounted) - SHOWN} more" if len(cost.uncounted) > SHOWN else ""
        lines.append(f"UNCOUNTED, taken as zero: {', '.join(cost.uncounted[:SHOWN])}{more}")
    return "\n".join(lines)
