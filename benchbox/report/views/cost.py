"""How is the analytical cost of a network shown?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.report.forms import render_form
from benchbox.report.screen import lines_below, table_of
from benchbox.report.table import Column
from benchbox.schema.cost import LayerCost, NetworkCost
from benchbox.store.documents import plain
from benchbox.units import format_bytes, format_count, format_ratio

SHOWN = 5
_OWN = ("mac", "flop")  # conventions whose numbers are in columns of their own already


def render_cost(cost: NetworkCost, *, rows: Sequence[LayerCost], form: str, tree: bool = False) -> str:
    """The cost as text.

    Args:
        cost: of the whole network.
        rows: its layers, or groups of them.
        form: one of ``report.forms.FORMS``.
        tree: whether rows lie inside each other: they are indented, and do not add up.
    """
    return render_form(
        form,
        document=lambda: document_from_cost(cost, rows=rows),
        lines=lambda: [{**_document(row), "output_shape": "x".join(map(str, row.output_shape))} for row in rows],
        body=lambda form: f"{_table(cost, rows, form, tree=tree)}\n\n{_summary(cost)}",
    )


def _table(cost: NetworkCost, rows: Sequence[LayerCost], form: str, *, tree: bool) -> str:
    def share(row: LayerCost) -> str:
        return format_ratio(row.count / cost.count if cost.count else 0.0)

    counts: list[Column[LayerCost]] = [Column(title="count", cell=lambda row: format_count(row.count), number=True)]
    columns: list[Column[LayerCost]] = [
        Column(title="layer", fold=True, cell=_indented if tree else lambda row: row.name),
        Column(title="op", rank=2, cell=lambda row: row.op),
        Column(title="output", rank=3, cell=lambda row: "x".join(map(str, row.output_shape))),
        Column(title="params", cell=lambda row: format_count(row.params), number=True),
        Column(title="MACs", cell=lambda row: format_count(row.macs), number=True),
        Column(title="FLOPs", rank=1, cell=lambda row: format_count(row.flops), number=True),
        *(counts if cost.convention not in _OWN else []),
        Column(title="share", cell=share, number=True),
        Column(title="weights", rank=2, cell=lambda row: format_bytes(row.weight_bytes), number=True),
        Column(title="reads", rank=5, cell=lambda row: format_bytes(row.read_bytes), number=True),
        Column(title="writes", rank=5, cell=lambda row: format_bytes(row.write_bytes), number=True),
        Column(
            title="FLOP/B",
            rank=4,
            cell=lambda row: "" if row.intensity is None else f"{row.intensity:.2f}",
            number=True,
        ),
    ]
    return table_of(columns, [*rows, _total(cost)], form=form)


def _indented(row: LayerCost) -> str:
    """The last part of a path, under its parent."""
    return "  " * row.name.count(".") + row.name.rpartition(".")[2]


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


def document_from_cost(cost: NetworkCost, *, rows: Sequence[LayerCost]) -> dict[str, object]:
    """The JSON document ``benchbox.flops/1``."""
    return {
        "schema": "benchbox.flops/1",
        **plain(cost),
        "count": cost.count,
        "macs": cost.macs,
        "flops": cost.flops,
        "arithmetic_intensity": _total(cost).intensity,
        "layers": [_document(row) for row in rows],
    }


def _document(row: LayerCost) -> dict[str, object]:
    document: dict[str, object] = plain(row)
    del document["elementwise"]  # flops less twice the macs
    return {**document, "flops": row.flops, "arithmetic_intensity": row.intensity}


def _summary(cost: NetworkCost) -> str:
    lines = [
        f"{cost.fed}, batch {cost.batch}: {cost.macs:,} MACs, {cost.flops:,} FLOPs (2·MACs plus "
        f"elementwise), {cost.params:,} parameters",
        f"weights {format_bytes(cost.weight_bytes)}, activations written {format_bytes(cost.activation_bytes)}, "
        f"peak live {format_bytes(cost.peak_activation_bytes)}; share is of the {cost.convention} count"
        + ("" if cost.convention in _OWN else f", {cost.count:,}"),
        f"counted on ONNX sha256 {cost.onnx_sha256[:16]}…; 'benchbox explain NAME' defines a column",
    ]
    if cost.uncounted:
        more = f" and {len(cost.uncounted) - SHOWN} more" if len(cost.uncounted) > SHOWN else ""
        lines.append(f"UNCOUNTED, taken as zero: {', '.join(cost.uncounted[:SHOWN])}{more}")
    if cost.unsized:
        more = f" and {len(cost.unsized) - SHOWN} more" if len(cost.unsized) > SHOWN else ""
        lines.append(f"sizes that depend on data are taken as 0 from here on: {', '.join(cost.unsized[:SHOWN])}{more}")
    return lines_below(*lines)
