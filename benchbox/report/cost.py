"""How is the cost of a network on paper shown?"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence

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
)
FORMS = ("table", "md", "csv", "json")


def render_cost(
    cost: NetworkCost, *, rows: Sequence[LayerCost], convention: str, share: Callable[[LayerCost], int], form: str
) -> str:
    """The cost as text.

    Args:
        cost: of the whole network.
        rows: its layers, or groups of them, which add up to it.
        convention: name of the convention of ``share``.
        share: a row's cost as one number, whose part of the whole is shown.
        form: one of ``FORMS``.
    """
    if form == "json":
        return json.dumps(document_from_cost(cost, rows=rows, convention=convention), indent=2)
    if form == "csv":
        return _csv(rows)
    whole = sum(share(row) for row in rows)
    texts = [_texts(row, share(row) / whole if whole else 0.0) for row in rows]
    total = (
        "total",
        f"batch {cost.batch}",
        "",
        format_count(cost.params),
        format_count(cost.macs),
        format_count(cost.flops),
        "",
        format_bytes(cost.weight_bytes),
        "",
        format_bytes(cost.activation_bytes),
    )
    table = (markdown_table if form == "md" else text_table)(_COLUMNS, [*texts, total])
    return f"{table}\n\n{_summary(cost, convention)}"


def require_form(form: str) -> str:
    """The format's name if there is such a one, else a UsageError with the nearest."""
    return require_known("format", form, FORMS)


def document_from_cost(cost: NetworkCost, *, rows: Sequence[LayerCost], convention: str) -> dict[str, object]:
    """The JSON document ``benchbox.flops/1``."""
    return {
        "schema": "benchbox.flops/1",
        "model": cost.model,
        "input_shape": list(cost.input_shape),
        "batch": cost.batch,
        "convention": convention,
        "params": cost.params,
        "macs": cost.macs,
        "flops": cost.flops,
        "weight_bytes": cost.weight_bytes,
        "activation_bytes": cost.activation_bytes,
        "peak_activation_bytes": cost.peak_activation_bytes,
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
        "weight_bytes": row.weight_bytes,
        "read_bytes": row.read_bytes,
        "write_bytes": row.write_bytes,
    }


def _texts(row: LayerCost, share: float) -> tuple[str, ...]:
    return (
        row.name,
        row.op,
        "x".join(map(str, row.output_shape)),
        format_count(row.params),
        format_count(row.macs),
        format_count(row.flops),
        format_ratio(share),
        format_bytes(row.weight_bytes),
        format_bytes(row.read_bytes),
        format_bytes(row.write_bytes),
    )


def _csv(rows: Sequence[LayerCost]) -> str:
    text = io.StringIO()
    lines = [{**_document(row), "output_shape": "x".join(map(str, row.output_shape))} for row in rows]
    writer = csv.DictWriter(text, fieldnames=list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().rstrip("\n")


def _summary(cost: NetworkCost, convention: str) -> str:
    shape = "x".join(map(str, cost.input_shape))
    return (
        f"{cost.model}, input {shape}, batch {cost.batch}: {cost.macs:,} MACs, {cost.flops:,} FLOPs (2·MACs plus "
        f"elementwise), {cost.params:,} parameters\n"
        f"weights {format_bytes(cost.weight_bytes)}, activations written {format_bytes(cost.activation_bytes)}, "
        f"at most {format_bytes(cost.peak_activation_bytes)} alive at once; share is of the {convention} count\n"
        f"counted on ONNX sha256 {cost.onnx_sha256[:16]}…; definitions: docs/metrics.md"
    )
