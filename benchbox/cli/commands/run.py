"""How fast does every asked-for combination run here, and how sure is that?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.kinds import BACKEND, COUNT, PRECISION, SHARE, Listed
from benchbox.cli.flags.network import NetworkFlags, network_command, require_effect
from benchbox.cli.flags.plan import PlanFlags, on_hardware, plan_from_flags, plan_options
from benchbox.cli.flags.power import locked
from benchbox.cli.flags.shared import cuda_option, project_root, write_json
from benchbox.cli.flags.sides import ab_option, between, two_sides
from benchbox.cli.flags.view import ViewFlags, view_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchbox.errors import BenchboxError
    from benchbox.jobs.cases import Case
    from benchbox.jobs.run import Outcome
    from benchbox.report.records.base import View
    from benchbox.schema.model import Precision
    from benchbox.schema.record import Record
    from benchbox.schema.verdict import Verdict

LIKE_BACKEND = "tensorrt"


@network_command("run", many=True, required=False)
@click.option(
    "--backend",
    "backends",
    metavar="B,...",
    type=Listed(BACKEND),
    help="Backends to run on, for example onnxruntime,openvino [default: the best one available].",
)
@click.option(
    "--precision",
    "precisions",
    metavar="P,...",
    type=Listed(PRECISION),
    default="fp32",
    show_default=True,
    help="fp32, tf32, fp16, bf16, int8 or fp8, for example fp32,int8.",
)
@click.option(
    "--batch",
    "batches",
    metavar="N,...",
    type=Listed(COUNT),
    help="Batch sizes, for example 1,8 [default: what the file is fixed at, else 1].",
)
@plan_options
@ab_option
@cuda_option
@view_options
@click.option("--dry-run", is_flag=True, help="Show what would be measured, and stop.")
@click.option(
    "--min-executed",
    metavar="SHARE",
    type=SHARE,
    help="Fail a case where less than this share of its MACs, for example 0.9, runs in the requested precision "
    "[default: flag it below 0.9].",
)
def command(
    network: NetworkFlags,
    backends: tuple[str, ...] | None,
    precisions: tuple[Precision, ...],
    batches: tuple[int, ...] | None,
    flags: PlanFlags,
    ab: tuple[str, str] | None,
    dry_run: bool,
    min_executed: float | None,
    shown: ViewFlags,
    as_json: bool,
) -> None:
    """Measure every combination of MODEL, backend, precision and batch, and store a record of each.

    MODEL is a network of the zoo, path/net.onnx, or package.module:factory. Without MODEL: every model
    exported under the project root, else resnet50. Outputs are checked against the reference before any
    number is taken; each trial is a fresh process; the interval is 95 % over processes.

    \b
    Examples:
      benchbox run resnet50
      benchbox run lenet5 resnet18 --backend onnxruntime,pytorch --batch 1,8
      benchbox run --precision fp16 --json
      benchbox run resnet50 --precision int8 --calibration photos/
      benchbox run resnet50 --precision fp16 --min-executed 0.9
      benchbox run resnet50 --backend tensorrt --energy --lock-clocks=1410
      benchbox run resnet18 --mode concurrent --streams 2 --threads 1
      benchbox run resnet18 --mode server --rate 40 --latency-bound 0.1
      benchbox run resnet18 --ab backend=onnxruntime backend=openvino
      benchbox run resnet50 --backend tensorrt --precision fp16 --like trtexec-11
      benchbox run mynet.onnx --input 3x320x320 --threads 1 --quick
      benchbox run bert.onnx --input sequence=128 --inputs sentences.npz
    """
    from benchbox.backends.probing import best_backend
    from benchbox.jobs.cases import cases_from_axes

    cases = cases_from_axes(
        sources=network.sources_or_exported(project_root()),
        backends=backends or (LIKE_BACKEND if flags.like else best_backend(),),
        precisions=precisions,
        batches=batches,
        plan=plan_from_flags(flags, paired=bool(ab)),
        derivation=network.derivation,
    )
    cases = on_hardware(two_sides(cases, ab, network) if ab else cases, flags)
    require_effect(network.derivation, [case.precision for case in cases])
    if dry_run:
        _show_plan(cases, as_json)
        return
    with locked(cases[0].plan.locked_clocks):
        _measure(cases, as_json, interleaved=bool(ab), min_executed=min_executed, view=shown.view(quick=flags.quick))


def _measure(
    cases: Sequence[Case], as_json: bool, *, interleaved: bool, min_executed: float | None, view: View
) -> None:
    from benchbox.cli.progress import shown_progress
    from benchbox.jobs.run import measure_cases
    from benchbox.schema.record import Status

    outcomes: list[Outcome] = []
    try:
        with shown_progress() as progress:
            for outcome in measure_cases(
                cases, root=project_root(), progress=progress, interleaved=interleaved, min_executed=min_executed
            ):
                outcomes.append(outcome)
    finally:
        # Also after Ctrl-C: what was finished has been stored and is shown.
        outcomes.sort(key=lambda outcome: outcome.place)
        if outcomes:
            _show([outcome.record for outcome in outcomes], as_json, view, between(outcomes) if interleaved else ())
    # In a matrix a skipped combination is an answer; a failed one is not, nor is a matrix of nothing but skipped ones.
    errors = [outcome.error for outcome in outcomes if outcome.error]
    failed = [outcome.error for outcome in outcomes if outcome.error and outcome.record.status is Status.FAILED]
    lost: list[BenchboxError] = [outcome.unstored for outcome in outcomes if outcome.unstored]
    if lost or failed or len(errors) == len(outcomes):
        raise (lost or failed or errors)[0]


def _show(records: Sequence[Record], as_json: bool, view: View | None = None, verdicts: Sequence[Verdict] = ()) -> None:
    from benchbox.report.views.verdicts import document_from_verdict, render_verdicts
    from benchbox.store.documents import document_from_record

    if as_json:
        document = {"schema": "benchbox.run/1", "records": [document_from_record(record) for record in records]}
        if verdicts:
            document["verdicts"] = [document_from_verdict(verdict) for verdict in verdicts]
        write_json(document)
        return
    from benchbox.report.records.base import USUAL
    from benchbox.report.records.terminal import render
    from benchbox.report.screen import screen_width

    click.echo(render(records, width=screen_width(), view=view or USUAL))
    if verdicts:
        click.echo("\n" + render_verdicts(verdicts, verdicts[0].outcome, form="table"))


def _show_plan(cases: Sequence[Case], as_json: bool) -> None:
    from benchbox.jobs.run import plan_cases

    records = plan_cases(cases)
    if as_json:
        _show(records, as_json)
        return
    for record in records:
        key, threads = record.key, record.plan.threads
        title = f"{key.model} {key.backend} {key.precision} batch {key.batch} {key.mode} {key.variant}".rstrip()
        click.echo(f"{title}, {threads} thread{'s' * (threads > 1)}: {record.reason}")
    plan = cases[0].plan
    click.echo(
        f"{len(records)} cases, each {plan.trials} timed processes of {plan.min_time_s:g} to {plan.max_time_s:g} s "
        f"and {plan.memory_trials} for memory"
    )
