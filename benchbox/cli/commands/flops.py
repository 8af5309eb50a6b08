"""What does a network cost on paper?"""

from __future__ import annotations

import click

from benchbox.cli.options import (
    common_options,
    json_option,
    models_argument,
    parse_count,
    project_root,
    source_options,
)


@click.command("flops")
@models_argument(many=False, required=True)
@click.option("--batch", metavar="N", default="1", show_default=True, help="Batch size of the count.")
@click.option("--by", default="layer", show_default=True, help="One row per layer, module or op.")
@click.option("--convention", default="mac", show_default=True, help="mac: a multiply-add is 1; flop: it is 2.")
@click.option("--format", "form", default="table", show_default=True, help="table, md, csv or json.")
@source_options
@json_option
@common_options
def command(
    model: str,
    batch: str,
    by: str,
    convention: str,
    form: str,
    input_shape: str | None,
    weights: str | None,
    as_json: bool,
) -> None:
    """Count the cost of MODEL, per layer and in total, on the ONNX graph that is deployed.

    MACs are multiply-adds of convolutions and matrix products, FLOPs are 2·MACs plus elementwise
    operations; parameters are those of the network even where the exporter folded them away.

    \b
    Examples:
      benchbox flops resnet50
      benchbox flops vgg16 --by module --format md
      benchbox flops net.onnx --input 3x224x224 --batch 8 --json
    """
    from benchbox.cli.progress import shown_progress
    from benchbox.flops.conventions import convention_from_name, cost_in
    from benchbox.flops.grouping import grouped_layers, require_grouping
    from benchbox.models.sources import parse_shape, resolve
    from benchbox.pipeline import cost_from_source
    from benchbox.report.cost import render_cost, require_form

    shape = parse_shape(input_shape) if input_shape else None
    size = parse_count(batch, flag="--batch")
    source = resolve(model, input_shape=shape, weights=weights)
    chosen = convention_from_name(convention)
    grouping = require_grouping(by)
    form = "json" if as_json else require_form(form)
    with shown_progress() as progress:
        cost = cost_from_source(source, batch=size, root=project_root(), say=progress.say)
    rows = grouped_layers(cost, by=grouping)
    text = render_cost(
        cost,
        rows=rows,
        convention=chosen,
        share=lambda row: cost_in(chosen, row),
        form=form,
    )
    click.echo(text)
