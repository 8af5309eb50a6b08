"""What does a network cost on paper?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.precisions import PrecisionFlags, precision_options, require_unused, shown_in_precisions
from benchbox.cli.flags.shared import (
    common_options,
    json_option,
    models_argument,
    parse_count,
    project_root,
    weights_option,
    write_json,
)

if TYPE_CHECKING:
    from benchbox.graph.graph import Graph
    from benchbox.schema.cost import NetworkCost
    from benchbox.schema.model import ModelSource


@click.command("flops")
@models_argument(many=False, required=True)
@click.option("--batch", metavar="N", help="Batch size of the count [default: 1, or what the file is fixed at].")
@click.option(
    "--by", help="One row per layer, module or op; or a tree of modules [default: layer; op with --precision]."
)
@click.option("--depth", metavar="N", help="Levels of the tree to show [default: all].")
@click.option(
    "--convention",
    default="mac",
    show_default=True,
    help="mac: a multiply-add is 1; flop: it is 2, and elementwise operations count; lecture: the lecture's own table; "
    "or what another counter prints: torchvision, flop-counter, fvcore, ptflops, torchinfo, onnx-tool.",
)
@click.option("--reconcile", is_flag=True, help="What each other counter prints, and why it differs.")
@click.option("--allow-unknown", is_flag=True, help="Count operators without a rule as zero, and say so.")
@precision_options
@click.option("--format", "form", default="table", show_default=True, help="table, md, csv or json.")
@click.option(
    "--input",
    "shapes",
    metavar="CxHxW",
    multiple=True,
    help="Input shape without the batch, for example 3x224x224; NAME=128 for a further input or a named dimension.",
)
@weights_option
@json_option
@common_options
def command(
    model: str,
    batch: str | None,
    by: str | None,
    depth: str | None,
    convention: str,
    reconcile: bool,
    allow_unknown: bool,
    form: str,
    shapes: tuple[str, ...],
    weights: str | None,
    as_json: bool,
    flags: PrecisionFlags,
) -> None:
    """Count the cost of MODEL, per layer and in total, on the ONNX graph that is deployed.

    MACs are multiply-adds of convolutions and matrix products, FLOPs are 2·MACs plus elementwise
    operations; parameters are those of the network even where the exporter folded them away.
    Nothing is run and no weights are read.

    \b
    Examples:
      benchbox flops resnet50
      benchbox flops vgg16 --by tree --depth 1 --format md
      benchbox flops resnet50 --reconcile
      benchbox flops resnet50 --precision fp16,int8,fp8 --device h100-sxm
      benchbox flops resnet50 --precision int8 --exclude 'layer4.*' --by layer
      benchbox flops alexnet_lecture --convention lecture
      benchbox flops net.onnx --input 3x224x224 --batch 8 --json
      benchbox flops bert.onnx --input 128 --input attention_mask=128
    """
    from benchbox.cli.progress import shown_progress
    from benchbox.cost.conventions import require_convention
    from benchbox.cost.counting import cost_from_graph
    from benchbox.cost.grouping import TREE, grouped_layers, require_grouping
    from benchbox.jobs.prepare import graph_from_source
    from benchbox.models.sources import parse_shapes, resolve
    from benchbox.report.forms import require_form
    from benchbox.report.views.cost import render_cost

    shape, named = parse_shapes(shapes)
    size = parse_count(batch, flag="--batch") if batch else None
    levels = parse_count(depth, flag="--depth") if depth else None
    source = resolve(model, input_shape=shape, weights=weights)
    chosen = require_convention(convention)
    form = "json" if as_json else require_form(form)
    if flags.precisions is not None:
        _require_plain(chosen, reconcile=reconcile, allow_unknown=allow_unknown, levels=levels)
        click.echo(shown_in_precisions(source, flags, batch=size, named=named, by=by or "op", form=form))
        return
    require_unused(flags)
    grouping = require_grouping(by or "layer")
    with shown_progress() as progress:
        graph, sha256 = graph_from_source(source, batch=size, named=named, root=project_root(), say=progress.say)
    if reconcile:
        _reconcile(source, graph, form=form)
        return
    cost = cost_from_graph(graph, model=source.name, sha256=sha256, convention=chosen, allow_unknown=allow_unknown)
    if chosen == "lecture":
        _lecture(cost, graph, form=form)
        return
    rows = grouped_layers(cost, by=grouping, depth=levels)
    click.echo(render_cost(cost, rows=rows, form=form, tree=grouping == TREE))


def _require_plain(convention: str, *, reconcile: bool, allow_unknown: bool, levels: int | None) -> None:
    """Raises UsageError for flags that have no meaning with --precision."""
    from benchbox.errors import UsageError

    given = {
        "--convention": convention != "mac",
        "--reconcile": reconcile,
        "--allow-unknown": allow_unknown,
        "--depth": levels is not None,
    }
    if any(given.values()):
        raise UsageError(
            "--precision counts bytes and bounds only",
            values=f"not with {', '.join(flag for flag, there in given.items() if there)}",
        )


def _lecture(cost: NetworkCost, graph: Graph, *, form: str) -> None:
    from benchbox.cost.lecture.table import lecture_rows
    from benchbox.report.views.cost import document_from_cost
    from benchbox.report.views.lecture import document_from_rows, render_lecture

    rows = lecture_rows(graph)
    if form == "json":
        write_json({**document_from_cost(cost, rows=cost.layers), "lecture": document_from_rows(rows)})
        return
    shape = "x".join(map(str, cost.input_shape))
    click.echo(render_lecture(rows, title=f"{cost.model}, input {shape}, one sample", form=form))


def _reconcile(source: ModelSource, graph: Graph, *, form: str) -> None:
    from benchbox.cost.counters import COUNTERS, count_of
    from benchbox.cost.counting import cost_from_graph
    from benchbox.errors import UsageError
    from benchbox.report.views.reconciliation import render_reconciliation

    cost = cost_from_graph(graph, model=source.name, sha256="")
    elementwise = {"elementwise operations": cost.flops - 2 * cost.macs}
    products = "multiply-adds of convolutions and matrix products"
    counts: list[dict[str, object]] = [
        {"name": "mac", "unit": "MACs", "total": cost.macs, "parts": {products: cost.macs}, "source": ""},
        {
            "name": "flop",
            "unit": "FLOPs",
            "total": cost.flops,
            "parts": {f"{products}, each as 2": 2 * cost.macs, **elementwise},
            "source": "",
        },
    ]
    refused = {}
    for counter in COUNTERS.values():
        try:
            count = count_of(counter, graph)
        except UsageError as error:
            refused[counter.name] = error.what
            continue
        counts.append(
            {
                "name": counter.name,
                "unit": counter.unit,
                "total": count.total,
                "parts": dict(count.parts),
                "source": counter.source,
            }
        )
    shape = "x".join(map(str, cost.input_shape))
    if form == "json":
        write_json(
            {
                "schema": "benchbox.reconcile/1",
                "model": cost.model,
                "input_shape": list(cost.input_shape),
                "batch": cost.batch,
                "counters": counts,
                "refused": refused,
            }
        )
        return
    if form == "csv":
        raise UsageError("--reconcile has no csv", values="formats: table, md, json")
    click.echo(render_reconciliation(f"{cost.model}, input {shape}, batch {cost.batch}", counts, refused, form=form))
