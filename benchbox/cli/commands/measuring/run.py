"""How fast does every asked-for combination run here, and how sure is that?"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.builder import BuilderFlags, builder_options, builds_option, with_builder, with_builds
from benchbox.cli.flags.device import device_option
from benchbox.cli.flags.kinds import BACKEND, COUNT, SHARE, Listed, words
from benchbox.cli.flags.modes import note_on_mode
from benchbox.cli.flags.network import NetworkFlags, network_command, precisions_option, require_effect
from benchbox.cli.flags.plan import PlanFlags, on_hardware, plan_from_flags, plan_options
from benchbox.cli.flags.power import locked
from benchbox.cli.flags.profiling import profiling_options
from benchbox.cli.flags.shared import cuda_option, plugin_option, project_root, warn, write_json
from benchbox.cli.flags.sides import (
    ab_options,
    backend_of_sides,
    between,
    labels_of_verdicts,
    network_of_sides,
    note_on_order,
    notes_on_sides,
    precisions_of_sides,
    sides_of_cases,
)
from benchbox.cli.flags.view import ViewFlags, view_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchbox.errors import BenchboxError
    from benchbox.jobs.cases import Case
    from benchbox.jobs.run import Outcome
    from benchbox.report.records.base import View
    from benchbox.schema.model import ModelSource, Precision
    from benchbox.schema.plan import MeasurementPlan
    from benchbox.schema.verdict import Verdict

LIKE_BACKEND = "tensorrt"


@network_command("run", many=True, required=False)
@click.option(
    "--backend",
    "backends",
    metavar="B,...",
    type=Listed(BACKEND),
    help="Backends to run on, for example onnxruntime,openvino [default: for each precision, what computes "
    "best in it here; standard error says which and why].",
)
@precisions_option("fp32, tf32, fp16, bf16, int8, fp8 or int4, for example fp32,int8")
@click.option(
    "--batch",
    "batches",
    metavar="N,...",
    type=Listed(COUNT),
    help="Batch sizes, for example 1,8 [default: what the file is fixed at, else 1].",
)
@plan_options
@builder_options
@builds_option
@ab_options
@click.option(
    "--ab-order",
    metavar="ORDER",
    type=words("order", "ABBA", "random", "paired"),
    default="ABBA",
    show_default=True,
    help="With --ab: how the sides' processes share the machine. ABBA: one after the other, forward and backward in "
    "turn; random: a new order in each round; paired: a process of each side is loaded at once and they time in turn, "
    "0.2 s each, judged pair by pair (at least 6 pairs): far sharper on a machine that others use too; not on a GPU "
    "and not in LoadGen's modes.",
)
@device_option(several=True)
@cuda_option
@view_options
@plugin_option
@profiling_options
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
    precisions: tuple[Precision, ...] | None,
    batches: tuple[int, ...] | None,
    flags: PlanFlags,
    builder: BuilderFlags,
    builds: int | None,
    variants: tuple[str, ...],
    ab_order: str,
    dry_run: bool,
    min_executed: float | None,
    shown: ViewFlags,
    as_json: bool,
) -> None:
    """Measure every combination of MODEL, backend, precision and batch, and store a record of each.

    MODEL is a network of the zoo, path/net.onnx, package.module:factory, hf:ORG/NAME, hf:FOLDER, timm:NAME or
    torchvision:NAME; or an engine from elsewhere, path/net.plan, whose outputs are compared with those of path/net.onnx
    if that is there. Without MODEL: every model exported under the project root, else resnet50. Outputs are checked
    against the reference before any number is taken; each trial is a fresh process; the interval is 95 % over
    processes.

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
      benchbox run lenet5 resnet18 --quick --ab precision=fp32 precision=int8 --also precision=bf16
      benchbox run resnet50 --backend tensorrt --precision fp16 --like trtexec-11
      benchbox run resnet50 --backend tensorrt --builds 3
      benchbox run resnet50 --backend tensorrt --trials 1 --profile-command 'nsys profile -o out'
      benchbox run net.plan --backend tensorrt
      benchbox run mynet.onnx --input 3x320x320 --threads 1 --quick
      benchbox run bert.onnx --input sequence=128 --inputs sentences.npz
    """
    network = network_of_sides(network, variants)
    plan = plan_from_flags(flags, paired=bool(variants))
    cases = _asked(network, backends or ((LIKE_BACKEND,) if flags.like else ()), precisions, batches, plan, variants)
    groups = sides_of_cases(cases, variants, network, own_precisions=precisions is None) if variants else (cases,)
    groups = tuple(
        with_builds(with_builder(on_hardware(group, flags), builder), builds, paired=bool(variants)) for group in groups
    )
    for case in itertools.chain(*groups):
        # What an engine was built in is stated, not made.
        made = case.source.kind != "engine"
        choice = case.derivation.for_precision(case.precision)
        require_effect(choice, [case.precision], model=case.source.reference if made else None)
    require_effect(network.derivation, [case.precision for case in itertools.chain(*groups)], model=None)
    if note := note_on_mode(plan):
        warn(note)
    if variants and ab_order == "paired":  # as ``measure_cases`` does: a dry run shows and refuses the same
        from benchbox.jobs.cases import plan_of_turns

        groups = tuple(tuple(replace(case, plan=plan_of_turns(case)) for case in group) for group in groups)
    if dry_run:
        _show_plan([case for group in groups for case in group], as_json)
        return
    with locked(plan.locked_clocks):
        _measure(
            groups,
            as_json,
            variants=variants,
            ab_order=ab_order,
            min_executed=min_executed,
            view=shown.view(quick=flags.quick, paired=bool(variants)),
        )


def _asked(
    network: NetworkFlags,
    backends: tuple[str, ...],
    precisions: tuple[Precision, ...] | None,
    batches: tuple[int, ...] | None,
    plan: MeasurementPlan,
    variants: tuple[str, ...],
) -> tuple[Case, ...]:
    """Every combination; where no backend is named, the best of this machine for each network and precision."""
    from benchbox.cli.flags.choice import chooser_for, say_choices
    from benchbox.jobs.cases import cases_from_axes

    chooser = chooser_for(replace(plan, batch=batches[0]) if batches else plan)
    of_sides = backend_of_sides(variants)

    def best(source: ModelSource, precision: Precision) -> str:
        if source.digest:  # of an engine
            return LIKE_BACKEND
        if variants:  # one backend for all sides that do not name one
            return chooser.best(source, precisions_of_sides(variants, precisions or (precision,))).backend
        return chooser.of_matrix(source, precision, precisions or (precision,))

    cases = cases_from_axes(
        sources=network.sources_or_exported(project_root()),
        backends=backends or ((of_sides,) if of_sides else best),
        precisions=precisions,
        batches=batches,
        plan=plan,
        derivation=network.derivation,
        keep_refusals=_in_sweep(),
    )
    say_choices(chooser)
    return cases


def _in_sweep() -> bool:
    """Whether this is a step of a sweep, where a case that cannot run is an answer and not a mistake."""
    import os

    from benchbox.machine.environment import STEP_VARIABLE

    return STEP_VARIABLE in os.environ


def _measure(
    groups: Sequence[Sequence[Case]],
    as_json: bool,
    *,
    variants: Sequence[str],
    ab_order: str,
    min_executed: float | None,
    view: View,
) -> None:
    """Measures cases, or the sides of each group in turn, and shows them and the verdicts between them."""
    from benchbox.cli.progress import shown_progress
    from benchbox.errors import EnvironmentLackError, UsageError
    from benchbox.jobs.run import measure_cases
    from benchbox.schema.plan import PairOrder
    from benchbox.schema.record import Status

    outcomes: list[list[Outcome]] = []
    refused: list[BenchboxError] = []
    try:
        with shown_progress() as progress:
            for group in groups:
                outcomes.append([])
                try:
                    for outcome in measure_cases(
                        group,
                        root=project_root(),
                        progress=progress,
                        interleaved=bool(variants),
                        pair_order=PairOrder(ab_order),
                        min_executed=min_executed,
                        keep_refusals=_in_sweep(),
                        quick=view.quick,
                    ):
                        outcomes[-1].append(outcome)
                except (UsageError, EnvironmentLackError) as error:
                    if len(groups) == 1:
                        raise
                    progress.say(f"{group[0].source.name}: {error.what}: {error.values}")
                    refused.append(error)
    finally:
        # Also after Ctrl-C: what was finished has been stored and is shown.
        for found in outcomes:
            found.sort(key=lambda outcome: outcome.place)
        if any(outcomes):
            _show(outcomes, as_json, view, variants)
    # In a matrix a skipped combination is an answer; a failed one is not, nor is a matrix of nothing but skipped ones.
    ended = [outcome for found in outcomes for outcome in found]
    errors = [outcome.error for outcome in ended if outcome.error]
    failed = [outcome.error for outcome in ended if outcome.error and outcome.record.status is Status.FAILED]
    lost: list[BenchboxError] = [outcome.unstored for outcome in ended if outcome.unstored]
    if lost or failed or refused or len(errors) == len(ended):
        raise (lost or failed or refused or errors)[0]


def _show(outcomes: Sequence[Sequence[Outcome]], as_json: bool, view: View, variants: Sequence[str]) -> None:
    from benchbox.report.views.verdicts import document_from_verdict
    from benchbox.store.documents import document_from_record

    records = [outcome.record for found in outcomes for outcome in found]
    verdicts: list[Verdict] = []
    labels: list[tuple[str, str]] = []
    notes: list[str] = []
    for found in outcomes if variants else ():
        group = between(found, quick=view.quick)
        sides = [outcome.record for outcome in found]
        verdicts += group
        labels += labels_of_verdicts(group, sides, variants)
        notes += [*note_on_order(group, sides), *notes_on_sides(sides, variants)] if group else []
    if as_json:
        document = {"schema": "benchbox.run/1", "records": [document_from_record(record) for record in records]}
        if verdicts:
            document["verdicts"] = [document_from_verdict(verdict) for verdict in verdicts]
        write_json(document)
        return
    from benchbox.gate.judge import overall
    from benchbox.report.records.builds import lines_on_builds
    from benchbox.report.records.terminal import render
    from benchbox.report.screen import lines_below, screen_width
    from benchbox.report.views.verdicts import render_sides

    click.echo(render(records, width=screen_width(), view=view))
    if verdicts:
        click.echo("\n" + render_sides(verdicts, labels, overall(verdicts), form="table"))
    for note in dict.fromkeys((*notes, *lines_on_builds(records))):
        click.echo(lines_below(note))


def _show_plan(cases: Sequence[Case], as_json: bool) -> None:
    from benchbox.jobs.run import plan_cases
    from benchbox.report.screen import lines_below

    records = plan_cases(cases)
    if as_json:
        from benchbox.store.documents import document_from_record

        write_json({"schema": "benchbox.run/1", "records": [document_from_record(record) for record in records]})
        return
    for record in records:
        key, threads = record.key, record.plan.threads
        title = f"{key.model} {key.backend} {key.precision} batch {key.batch} {key.mode} {key.variant}".rstrip()
        click.echo(lines_below(f"{title}, {threads} thread{'s' * (threads > 1)}: {record.reason}"))
    plan = cases[0].plan
    noun = "case" if len(records) == 1 else "cases"
    click.echo(
        lines_below(
            f"{len(records)} {noun}, each {plan.trials} timed processes of {plan.min_time_s:g} to {plan.max_time_s:g} "
            f"s and {plan.memory_trials or 'none'} for memory"
        )
    )
