"""How are the executed layers of a network shown?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchbox.cost.grouping import group_of, grouped, kind_of
from benchbox.report.forms import render_form
from benchbox.report.screen import lines_below, table_of
from benchbox.report.table import Column
from benchbox.schema.device import Pace
from benchbox.schema.layers import ExecutedLayer, LayerRow, LayerTable
from benchbox.store.documents import plain
from benchbox.units import ABSENT, counted, format_bytes, format_count, format_flops_per_s, format_ratio, format_time

ORDERS = ("executed", "time")
_SHOWN = 5
_KIND_WIDTH = 28


def ridge_of(rows: Sequence[LayerRow]) -> float | None:
    """FLOPs per byte where the best rates of these rows meet; None without both.

    The highest FLOP/s and the highest byte/s that any row reached stand in for the machine's (Williams, Waterman,
    Patterson 2009, Roofline): a row below the ridge would run out of bytes first.
    """
    rates = best_rates(rows)
    return None if rates is None else rates[0] / rates[1]


def best_rates(rows: Sequence[LayerRow]) -> tuple[float, float] | None:
    """The highest FLOP/s and byte/s that any row reached; None where one of them is unknown."""
    compute = max((row.flops_per_s for row in rows if row.flops_per_s and row.macs), default=None)
    memory = max((row.bytes_per_s for row in rows if row.bytes_per_s), default=None)
    return (compute, memory) if compute and memory else None


def ridge_of_table(table: LayerTable) -> float | None:
    """FLOPs per byte where the machine's sustained ceilings meet, in the table's precision; without them its rows'."""
    roofs = _machine_rates(table)
    return roofs[0] / roofs[1] if roofs else ridge_of(table.rows)


def _machine_rates(table: LayerTable) -> tuple[float, float] | None:
    """FLOP/s and bytes/s of the stored ceilings; None without both."""
    if table.ceilings is None:
        return None
    compute = table.ceilings.roof(table.precision, kind=Pace.SUSTAINED, threads=table.threads)
    memory = table.ceilings.bandwidth_for(table.threads)
    return (compute.flops_per_s, memory.bytes_per_s) if compute and memory else None


def attained(table: LayerTable, row: LayerRow) -> float | None:
    """The share of the machine's roof that a row reaches; None without ceilings, or for what only moves data.

    Of its arithmetic or of its bytes, whichever share is larger: a row at a roof cannot be faster. In the type that
    it ran in, burst, because one layer is short work; bytes of main memory, so that data in caches may exceed it.
    """
    time_s = row.layer.time_s
    if table.ceilings is None or not time_s or row.layer.moves:
        return None
    compute = table.ceilings.roof(row.layer.executed, kind=Pace.BURST, threads=table.threads)
    memory = table.ceilings.bandwidth_for(table.threads)
    shares = [2 * row.macs / time_s / compute.flops_per_s] if compute and row.macs else []
    shares += [row.moved_bytes / time_s / memory.bytes_per_s] if memory and row.moved_bytes else []
    return max(shares, default=None)


def arranged(table: LayerTable, *, by: str, order: str, top: int | None) -> tuple[LayerRow, ...]:
    """The rows to show.

    Args:
        table: all rows.
        by: "layer"; "module", the module that holds the layer; or "op", the runtime's kind.
        order: "executed" or "time", longest first.
        top: how many; None for all.
    """
    rows = list(table.rows)
    if by != "layer":
        groups = grouped(rows, lambda row: group_of(by, name=row.name, op=row.layer.kind))
        rows = [_sum(name, parts) for name, parts in groups.items()]
    if order == "time":
        rows.sort(key=lambda row: -(row.layer.time_s or 0.0))
    return tuple(rows[:top])


def render_layers(table: LayerTable, rows: Sequence[LayerRow], *, form: str) -> str:
    """The table as text in one of ``report.forms.FORMS``."""
    ridge = ridge_of_table(table)
    return render_form(
        form,
        document=lambda: document_from_layers(table, rows),
        lines=lambda: [_document(table, row, ridge) for row in rows],
        body=lambda form: f"{table_of(_columns(table, ridge), rows, form=form)}\n\n{_summary(table, shown=len(rows))}",
    )


def _columns(table: LayerTable, ridge: float | None) -> tuple[Column[LayerRow], ...]:
    def share(row: LayerRow) -> str:
        return format_ratio((row.layer.time_s or 0.0) / table.time_s) if table.time_s else ABSENT

    return (
        Column(title="layer", fold=True, cell=lambda row: row.name),
        Column(title="executed as", rank=3, cell=_kind_text),
        Column(title="type", rank=1, cell=lambda row: row.layer.executed or ABSENT),
        Column(title="time", cell=lambda row: format_time(row.layer.time_s), number=True),
        Column(title="share", cell=share, number=True),
        Column(title="MACs", cell=lambda row: format_count(row.macs) if table.costed else ABSENT, number=True),
        Column(title="achieved", rank=2, cell=lambda row: format_flops_per_s(row.flops_per_s), number=True),
        Column(
            title="bytes", rank=4, cell=lambda row: format_bytes(row.moved_bytes if table.costed else None), number=True
        ),
        Column(
            title="FLOP/B", cell=lambda row: ABSENT if row.intensity is None else f"{row.intensity:.2f}", number=True
        ),
        Column(title="bound", cell=lambda row: _bound(row, ridge) or ABSENT),
        Column(
            title="attained", rank=2, cell=lambda row: format_ratio(attained(table, row)), number=True, optional=True
        ),
        Column(title="nodes", rank=5, cell=lambda row: str(len(row.nodes)), number=True),
    )


def _kind_text(row: LayerRow) -> str:
    kind = row.layer.kind
    return kind if len(kind) <= _KIND_WIDTH else f"{kind[: _KIND_WIDTH - 1]}…"


def document_from_layers(table: LayerTable, rows: Sequence[LayerRow]) -> dict[str, object]:
    """The JSON document ``benchbox.layers/1``."""
    ridge = ridge_of_table(table)
    return {
        "schema": "benchbox.layers/1",
        "model": table.model,
        "backend": table.backend,
        "precision": table.precision,
        "batch": table.batch,
        "threads": table.threads,
        "iterations": table.iterations,
        "macs": table.macs if table.costed else None,
        "flops": table.flops if table.costed else None,
        "latency_s": table.latency_s,
        "profiled_s": table.time_s,
        "unmapped_s": table.unmapped_time_s,
        "uncovered_macs": table.uncovered_macs if table.costed else None,
        "uncovered_nodes": list(table.uncovered),
        "ridge_flop_per_byte": ridge,
        "ridge_from": "ceilings" if _machine_rates(table) else "rows",
        "ceilings": table.ceilings.id if table.ceilings else None,
        "flags": plain(table.flags),
        "layers": [_document(table, row, ridge) for row in rows],
        "onnx_sha256": table.onnx_sha256,
    }


def _document(table: LayerTable, row: LayerRow, ridge: float | None) -> dict[str, object]:
    layer = row.layer
    return {
        "name": row.name,
        "executed_as": layer.name,
        "kind": layer.kind,
        "type": layer.executed,
        "tactic": layer.tactic,
        "stream": layer.stream,
        "moves_data": layer.moves,
        "nodes": list(row.nodes),
        "time_s": layer.time_s,
        "macs": row.macs if table.costed else None,
        "flops": row.flops if table.costed else None,
        "bytes": row.moved_bytes if table.costed else None,
        "flops_per_s": row.flops_per_s,
        "arithmetic_intensity": row.intensity,
        "bound": _bound(row, ridge),
        "attained": attained(table, row),
    }


def _bound(row: LayerRow, ridge: float | None) -> str:
    if row.layer.moves:
        return "movement"
    if row.intensity is None or ridge is None:
        return ""
    return "compute" if row.intensity >= ridge else "memory"


def _sum(name: str, rows: Sequence[LayerRow]) -> LayerRow:
    """Rows as one: their times add up inference by inference."""
    if len(rows) == 1:
        return replace(rows[0], name=name)
    layers = [row.layer for row in rows]
    types = {layer.executed for layer in layers if layer.executed}
    return LayerRow(
        name=name,
        layer=ExecutedLayer(
            name=name,
            kind=kind_of([layer.kind for layer in layers]),
            inputs=(types.pop(),) if len(types) == 1 else ("mixed",) if types else (),
            moves=all(layer.moves for layer in layers),
            times_s=(sum(layer.time_s or 0.0 for layer in layers),),
        ),
        nodes=tuple(node for row in rows for node in row.nodes),
        macs=sum(row.macs for row in rows),
        flops=sum(row.flops for row in rows),
        moved_bytes=sum(row.moved_bytes for row in rows),
    )


def threads_text(count: int) -> str:
    """A number of threads in words: "1 thread", "2 threads"."""
    return f"{count} thread{'s' * (count != 1)}"


def _unattributed(table: LayerTable) -> str:
    if not table.unmapped_time_s:
        return "every layer could be attributed to its nodes"
    return f"{format_ratio(table.unmapped_time_s / (table.time_s or 1.0))} could not be attributed to a node"


def _difference(table: LayerTable) -> str:
    """Why the layers do not add up to an inference."""
    if (table.time_s or 0.0) >= (table.latency_s or 0.0):
        return "the difference is the profiler's own time"
    return "the difference is what runs between layers, and what disturbed one of the two processes"


def _ridge_text(table: LayerTable) -> str:
    """Where the bound of a layer changes, and what that rests on."""
    if (roofs := _machine_rates(table)) is not None:
        return (
            f"bound: memory below the ridge of {roofs[0] / roofs[1]:.2f} FLOP/B, compute above; the ridge is where "
            f"this machine's sustained ceilings meet, {format_flops_per_s(roofs[0])} and {format_bytes(roofs[1])}/s "
            "('benchbox ceilings'). attained: the larger of the shares of the burst ceiling of its type and of main "
            "memory's bandwidth, which data in caches may exceed"
        )
    ridge, rates = ridge_of(table.rows), best_rates(table.rows)
    if ridge is None or rates is None:
        return "bound: unknown, as no layer has both arithmetic and bytes"
    return (
        f"bound: memory below the ridge of {ridge:.2f} FLOP/B, compute above; the ridge is where the best rates in "
        f"this table meet, {format_flops_per_s(rates[0])} and {format_bytes(rates[1])}/s: of this network, not the "
        "machine's peaks ('benchbox ceilings' measures them). MACs and bytes are analytical"
    )


def _summary(table: LayerTable, *, shown: int) -> str:
    moving = sum(row.layer.time_s or 0.0 for row in table.rows if row.layer.moves)
    whole = table.time_s or 1.0
    covered = table.macs - table.uncovered_macs
    lines = [
        f"{table.model} on {table.backend}, {table.precision}, batch {table.batch}, {threads_text(table.threads)}: "
        f"{counted(len(table.rows), 'executed layer')}, {counted(shown, 'row')} shown; medians of "
        f"{counted(table.iterations, 'profiled inference')}",
        f"layers together {format_time(table.time_s)}, one inference without a profiler "
        f"{format_time(table.latency_s)}: {_difference(table)}",
        f"{covered:,} of {table.macs:,} MACs are in these layers; {format_ratio(moving / whole)} of the time is layout "
        f"conversion; {_unattributed(table)}"
        if table.costed
        else f"{format_ratio(moving / whole)} of the time is layout conversion",
        *([_ridge_text(table)] if table.costed else []),
    ]
    lines += [f"{flag.severity} {flag.code}: {flag.message}" for flag in table.flags]
    if table.uncovered:
        more = f" and {len(table.uncovered) - _SHOWN} more" if len(table.uncovered) > _SHOWN else ""
        lines.append(f"in no layer: {', '.join(table.uncovered[:_SHOWN])}{more}")
    return lines_below(*lines)
