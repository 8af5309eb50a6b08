"""What does a network analytical cost?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.kinds import CONVENTION, COUNT, MODEL, words
from benchbox.cli.flags.network import NetworkFlags, network_command
from benchbox.cli.flags.precisions import PrecisionFlags, precision_options, require_unused, shown_in_precisions
from benchbox.cli.flags.shared import project_root, warn, write_json

if TYPE_CHECKING:
    from benchbox.graph.graph import Graph
    from benchbox.schema.cost import NetworkCost
    from benchbox.schema.model import ModelSource


@network_command("flops", derived=False)
@click.option(
    "--batch", metavar="N", type=COUNT, help="Batch size of the count [default: 1, or what the file is fixed at]."
)
@click.option(
    "--by",
    metavar="GROUP",
    type=words("grouping", "layer", "module", "op", "tree"),
    help="One row per layer, module or op; or a tree of modules [default: layer; op with --precision].",
)
@click.option("--depth", metavar="N", type=COUNT, help="Levels of the tree to show [default: all].")
@click.option("--top", metavar="N", type=COUNT, help="The N rows with the most MACs only, and the total.")
@click.option(
    "--convention",
    metavar="C",
    type=CONVENTION,
    default="mac",
    show_default=True,
    help="mac: a multiply-add is 1; flop: it is 2, and elementwise operations count; lecture: the lecture's own table; "
    "or what another counter prints: torchvision, flop-counter, fvcore, ptflops, torchinfo, onnx-tool.",
)
@click.option("--reconcile", is_flag=True, help="Show what each other counter prints, and why it differs.")
@click.option("--allow-unknown", is_flag=True, help="Count operators without a rule as zero, and list them.")
@precision_options
@click.option(
    "--format",
    "form",
    metavar="F",
    type=words("format", "table", "md", "csv", "json"),
    default="table",
    show_default=True,
    help="table, md, csv or json.",
)
def command(
    network: NetworkFlags,
    batch: int | None,
    by: str | None,
    depth: int | None,
    top: int | None,
    convention: str,
    reconcile: bool,
    allow_unknown: bool,
    flags: PrecisionFlags,
    form: str,
    as_json: bool,
) -> None:
    """Count the cost of MODEL, per layer and in total, on the ONNX graph that is deployed.

    MACs are multiply-adds of convolutions and matrix products, FLOPs are 2·MACs plus elementwise
    operations; parameters are those of the network even where the exporter folded them away.
    Nothing is run and no weights are read.

    \b
    Examples:
      benchbox flops resnet50
      benchbox flops vgg16 --by tree --depth 1 --format md
      benchbox flops resnet50 --top 5
      benchbox flops resnet50 --reconcile
      benchbox flops resnet50 --precision fp16,int8,fp8 --device h100-sxm
      benchbox flops resnet50 --precision int8 --exclude 'layer4.*' --by layer
      benchbox flops alexnet_lecture --convention lecture
      benchbox flops net.onnx --input 3x224x224 --batch 8 --json
      benchbox flops bert.onnx --input sequence=128
    """
    from benchbox.cli.progress import shown_progress
    from benchbox.cost.counting import cost_from_graph
    from benchbox.cost.grouping import TREE, grouped_layers
    from benchbox.errors import UsageError
    from benchbox.jobs.prepare import graph_from_source
    from benchbox.report.views.cost import render_cost

    source = network.source()
    form = "json" if as_json else form
    if top and (flags.precisions is not None or reconcile or convention == "lecture" or by == TREE):
        raise UsageError(
            "--top takes the largest layers, modules or operators",
            values="not with --precision, --reconcile, --by tree or --convention lecture",
        )
    if flags.precisions is not None:
        _require_plain(convention, reconcile=reconcile, allow_unknown=allow_unknown, levels=depth)
        click.echo(shown_in_precisions(source, flags, batch=batch, by=by or "op", form=form))
        return
    require_unused(flags)
    grouping = by or "layer"
    with shown_progress() as progress:
        graph, sha256 = graph_from_source(source, batch=batch, root=project_root(), say=progress.say)
    if reconcile:
        _reconcile(source, graph, form=form)
        return
    cost = cost_from_graph(
        graph,
        model=source.name,
        sha256=sha256,
        convention=convention,
        allow_unknown=allow_unknown,
        compared=_is_compared(source),
    )
    if convention == "lecture":
        _lecture(cost, graph, form=form)
        return
    rows = grouped_layers(cost, by=grouping, depth=depth)
    if top:
        rows = tuple(sorted(rows, key=lambda row: -row.macs)[:top])
    click.echo(render_cost(cost, rows=rows, form=form, tree=grouping == TREE))


def _require_plain(convention: str, *, reconcile: bool, allow_unknown: bool, levels: int | None) -> None:
    """Raises UsageError for flags that cannot be combined with --precision."""
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


def _is_compared(source: ModelSource) -> bool:
    """Whether the tests compare other counters' numbers with the counters themselves on this very network."""
    from benchbox.schema.model import SourceKind

    return source.kind is SourceKind.ZOO


def _lecture(cost: NetworkCost, graph: Graph, *, form: str) -> None:
    from benchbox.cost.lecture.table import lecture_rows
    from benchbox.report.views.cost import document_from_cost
    from benchbox.report.views.lecture import document_from_rows, render_lecture

    if f"{cost.model}_lecture" in MODEL.names():
        warn(f"the lecture's own variant of this network is {cost.model}_lecture")
    rows = lecture_rows(graph)
    if form == "json":
        write_json({**document_from_cost(cost, rows=cost.layers), "lecture": document_from_rows(rows)})
        return
    click.echo(render_lecture(rows, title=f"{cost.fed}, one sample", form=form))


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
            count = count_of(counter, graph, compared=_is_compared(source))
        except UsageError as error:
            refused[counter.name] = f"{error.what} ({error.values})" if error.values else error.what
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
    click.echo(render_reconciliation(f"{cost.fed}, batch {cost.batch}", counts, refused, form=form))
