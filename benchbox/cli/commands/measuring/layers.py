"""Where does the time of a network go, layer by layer?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.device import device_option
from benchbox.cli.flags.kinds import BACKEND, COUNT, PRECISION, words
from benchbox.cli.flags.network import NetworkFlags, network_command
from benchbox.cli.flags.shared import cuda_option, plugin_option, project_root

if TYPE_CHECKING:
    from benchbox.jobs.cases import Case
    from benchbox.schema.model import Precision

# Four a side are the fewest that give a 95 % interval.
PROCESSES = 5
# Runs engines from elsewhere, unless another backend is named.
ENGINES = "tensorrt"


@network_command("layers", derived=False)
@click.option(
    "--backend",
    metavar="B",
    type=BACKEND,
    help="Backend to profile, for example openvino [default: what computes best in the precision here].",
)
@click.option(
    "--precision",
    metavar="P",
    type=PRECISION,
    help="fp32, tf32, fp16, bf16, int8 or fp8 [default: what the ONNX file is in, else fp32].",
)
@click.option(
    "--against",
    metavar="P",
    type=PRECISION,
    help="Baseline precision to compare with, for example fp32; explains where the expected speed-up is lost.",
)
@click.option(
    "--trials",
    metavar="N",
    type=COUNT,
    help="With --against: processes a side that time whole inferences, in turn [default: 5].",
)
@click.option("--batch", metavar="N", type=COUNT, help="Batch size [default: what the file is fixed at, else 1].")
@click.option("--threads", metavar="N", type=COUNT, help="CPU threads [default: the CPUs that this process may use].")
@click.option("--iterations", metavar="N", type=COUNT, default="50", show_default=True, help="Profiled inferences.")
@click.option(
    "--by",
    metavar="GROUP",
    type=words("grouping", "layer", "module", "op"),
    help="One row per layer, module or op [default: layer; op with --against].",
)
@click.option(
    "--sort",
    "order",
    metavar="ORDER",
    type=words("order", "executed", "time"),
    default="executed",
    show_default=True,
    help="executed, or time: longest first.",
)
@plugin_option
@click.option("--top", metavar="N", type=COUNT, help="Show the first N rows only.")
@click.option(
    "--format",
    "form",
    metavar="F",
    type=words("format", "table", "md", "csv", "json"),
    default="table",
    show_default=True,
    help="table, md, csv or json.",
)
@device_option()
@cuda_option
def command(
    network: NetworkFlags,
    backend: str | None,
    precision: Precision | None,
    against: Precision | None,
    trials: int | None,
    batch: int | None,
    threads: int | None,
    iterations: int,
    by: str | None,
    order: str,
    top: int | None,
    form: str,
    as_json: bool,
) -> None:
    """Time each executed layer, and show it next to its analytical cost.

    Runtimes fuse and rename layers: each executed layer is mapped back to its ONNX nodes, which gives its MACs and
    bytes; unmapped nodes are listed. The profiler runs in a separate process. Layers that the runtime adds to move
    data, and layers that run in another type than requested, are marked. The whole table is stored in results/layers/,
    where 'benchbox report --format html' and benchbox.frames find it. An engine from elsewhere (net.plan) has the cost
    of the net.onnx beside it, if there is one.

    \b
    Examples:
      benchbox layers resnet50
      benchbox layers resnet50 --sort time --top 10
      benchbox layers mobilenet_v2 --by op --threads 1
      benchbox layers net.onnx --precision fp16 --json
      benchbox layers net.plan --precision fp16
      benchbox layers resnet50 --precision int8 --against fp32
    """
    from benchbox.cli.flags.choice import chosen_backend
    from benchbox.cli.progress import shown_progress
    from benchbox.errors import UsageError
    from benchbox.jobs.cases import Case
    from benchbox.jobs.layers import table_from_case
    from benchbox.jobs.prepare import own_batch, own_precision
    from benchbox.limits import effective_cpus
    from benchbox.report.views.layers import arranged, render_layers
    from benchbox.schema.plan import MeasurementPlan

    source = network.source(engines=True)
    precision = precision or own_precision(source)
    if source.digest:  # of an engine
        backend = backend or ENGINES
    case = Case(
        source=source,
        backend=backend
        or chosen_backend(source, [precision] if against is None else [against, precision], modules=False),
        precision=precision,
        plan=MeasurementPlan(
            batch=batch or own_batch(source),
            threads=threads or effective_cpus(),
            min_samples=iterations,
            warmup_s=0.1,
            min_time_s=0.3,
            max_time_s=1.0,
        ),
        batch_asked=batch is not None,
    )
    form = "json" if as_json else form
    if trials and against is None:
        raise UsageError("--trials goes with --against", remedy="for example --precision int8 --against fp32")
    if against is not None:
        click.echo(_explained(case, against, by=by or "op", processes=trials or PROCESSES, form=form))
        return
    with shown_progress() as progress:
        table = table_from_case(case, root=project_root(), say=progress.say)
    click.echo(render_layers(table, arranged(table, by=by or "layer", order=order, top=top), form=form))


def _explained(case: Case, against: Precision, *, by: str, processes: int, form: str) -> str:
    from benchbox.cli.progress import shown_progress
    from benchbox.jobs.layers import explanation_from_case
    from benchbox.registry import require_known
    from benchbox.report.views.explanation import FORMS, render_explanation

    require_known("format with --against", form, FORMS)
    with shown_progress() as progress:
        explanation = explanation_from_case(
            case, against=against, by=by, processes=processes, root=project_root(), say=progress.say
        )
    return render_explanation(explanation, form=form)
