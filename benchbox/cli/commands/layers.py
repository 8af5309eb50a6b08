"""Where does the time of a network go, layer by layer?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.shared import (
    common_options,
    cuda_option,
    json_option,
    models_argument,
    parse_count,
    parse_precision,
    project_root,
    source_options,
)

if TYPE_CHECKING:
    from benchbox.jobs.run import Case
    from benchbox.schema.model import Precision
    from benchbox.schema.plan import MeasurementPlan


@click.command("layers")
@models_argument(many=False, required=True)
@click.option("--backend", metavar="B", help="Backend to look into [default: the best one available].")
@click.option("--precision", metavar="P", default="fp32", show_default=True, help="fp32, tf32, fp16, bf16, int8, fp8.")
@click.option(
    "--against", metavar="P", help="A precision to compare with: why is --precision not as much faster as it could be?"
)
@click.option("--batch", metavar="N", default="1", show_default=True, help="Batch size.")
@click.option("--threads", metavar="N", help="CPU threads [default: the CPUs that this process may use].")
@click.option("--iterations", metavar="N", default="50", show_default=True, help="Profiled inferences.")
@click.option("--by", help="One row per layer, module or op [default: layer; op with --against].")
@click.option("--sort", "order", default="executed", show_default=True, help="executed, or time: longest first.")
@click.option("--top", metavar="N", help="Show the first rows only.")
@click.option("--format", "form", default="table", show_default=True, help="table, md, csv or json.")
@cuda_option
@source_options
@json_option
@common_options
def command(
    model: str,
    backend: str | None,
    precision: str,
    against: str | None,
    batch: str,
    threads: str | None,
    iterations: str,
    by: str | None,
    order: str,
    top: str | None,
    form: str,
    input_shape: str | None,
    weights: str | None,
    as_json: bool,
) -> None:
    """Time each layer that the runtime executes, beside what it costs on paper.

    Runtimes fuse and rename: every executed layer is mapped back to the ONNX nodes that it stands for, so that
    MACs and bytes stand beside its time; what cannot be mapped is said. The profiler runs in a process of its
    own. Layers that only move data for the runtime's sake, and layers that run in another type than was asked
    for, show as what they are.

    \b
    Examples:
      benchbox layers resnet50
      benchbox layers resnet50 --sort time --top 10
      benchbox layers mobilenet_v2 --by op --threads 1
      benchbox layers net.onnx --precision fp16 --json
      benchbox layers resnet50 --precision int8 --against fp32
    """
    from benchbox.backends.probing import best_backend
    from benchbox.cli.progress import shown_progress
    from benchbox.jobs.layers import table_from_case
    from benchbox.jobs.run import Case
    from benchbox.limits import effective_cpus
    from benchbox.models.sources import parse_shape, resolve
    from benchbox.registry import require_known
    from benchbox.report.forms import require_form
    from benchbox.report.views.layers import GROUPINGS, ORDERS, arranged, render_layers
    from benchbox.schema.plan import MeasurementPlan

    form = "json" if as_json else require_form(form)
    grouping = require_known("grouping", by or ("op" if against else "layer"), GROUPINGS)
    require_known("order", order, ORDERS)
    shown = parse_count(top, flag="--top") if top else None
    cpus = parse_count(threads, flag="--threads") if threads else effective_cpus()
    samples = parse_count(iterations, flag="--iterations")
    plan = MeasurementPlan(threads=cpus, min_samples=samples, warmup_s=0.1, min_time_s=0.3, max_time_s=1.0)
    case = Case(
        source=resolve(model, input_shape=parse_shape(input_shape) if input_shape else None, weights=weights),
        backend=backend or best_backend(),
        precision=parse_precision(precision),
        batch=parse_count(batch, flag="--batch"),
    )
    if against is not None:
        click.echo(_explained(case, parse_precision(against), by=grouping, plan=plan, form=form))
        return
    with shown_progress() as progress:
        table = table_from_case(case, plan=plan, root=project_root(), say=progress.say)
    click.echo(render_layers(table, arranged(table, by=grouping, order=order, top=shown), form=form))


def _explained(case: Case, against: Precision, *, by: str, plan: MeasurementPlan, form: str) -> str:
    from benchbox.cli.progress import shown_progress
    from benchbox.jobs.layers import explanation_from_case
    from benchbox.registry import require_known
    from benchbox.report.views.explanation import FORMS, render_explanation

    require_known("format with --against", form, FORMS)
    with shown_progress() as progress:
        explanation = explanation_from_case(
            case, against=against, by=by, plan=plan, root=project_root(), say=progress.say
        )
    return render_explanation(explanation, form=form)
