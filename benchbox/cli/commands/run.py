"""How fast does every asked-for combination run here, and how sure is that?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.modes import cases_like, like_option, mode_options, with_like, with_mode
from benchbox.cli.flags.power import clocks_from_text, energy_options, held, lock_clocks_option, with_energy
from benchbox.cli.flags.shared import (
    backend_option,
    comma_list,
    common_options,
    converter_option,
    cuda_option,
    derivation_options,
    json_option,
    models_argument,
    parse_count,
    parse_derivation,
    parse_precision,
    parse_seconds,
    parse_share,
    project_root,
    require_use,
    source_options,
    write_json,
)
from benchbox.cli.flags.sides import ab_option, between, two_sides

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchbox.jobs.run import Case, Outcome
    from benchbox.schema.model import ModelSource
    from benchbox.schema.plan import MeasurementPlan, Mode
    from benchbox.schema.record import Record
    from benchbox.schema.verdict import Verdict

DEFAULT_MODEL = "resnet50"
LIKE_BACKEND = "tensorrt"
# Many short processes say more than few long ones: what differs from process to process is most of the noise. A verdict
# takes at least four processes a side, and more than a reading to be of use. Without and with --quick.
TRIALS = {False: 8, True: 5}
MOST_TRIALS = {False: 12, True: 6}
PAIRED_TRIALS = {False: 8, True: 5}


@click.command("run")
@models_argument(many=True, required=False)
@backend_option
@click.option(
    "--precision",
    "precisions",
    metavar="P,...",
    default="fp32",
    show_default=True,
    help="fp32, tf32, fp16, bf16, int8, fp8; comma-separated.",
)
@click.option(
    "--batch", "batches", metavar="N,...", default="1", show_default=True, help="Batch sizes, comma-separated."
)
@mode_options
@click.option("--threads", metavar="N", help="CPU threads [default: the CPUs that this process may use].")
@click.option(
    "--trials",
    metavar="N",
    help="Fresh processes that are timed [default: 8 to 12, with --quick 5 or 6; with --ab 8 and 5 a side].",
)
@click.option("--max-time", metavar="S", help="Seconds of measuring in a trial at most [default: 1.5; --quick: 0.5].")
@click.option("--timeout", metavar="S", help="Seconds after which a process is killed [default: 600].")
@click.option("--quick", is_flag=True, help="Fewer and shorter trials: wider intervals.")
@like_option
@ab_option
@click.option("--transfers", is_flag=True, help="On a GPU, also time the copies of inputs and outputs.")
@energy_options
@lock_clocks_option
@cuda_option
@click.option("--dry-run", is_flag=True, help="Only say what would be measured.")
@derivation_options
@click.option(
    "--min-executed",
    metavar="SHARE",
    help="Share of the MACs, 0 to 1, that must run in the precision asked for, or the case has failed "
    "[default: below 0.9 its numbers are flagged].",
)
@converter_option
@source_options
@json_option
@common_options
def command(
    models: tuple[str, ...],
    backends: str | None,
    precisions: str,
    batches: str,
    mode: str,
    threads: str | None,
    trials: str | None,
    max_time: str | None,
    timeout: str | None,
    quick: bool,
    group: str | None,
    streams: str | None,
    like: str | None,
    rate: str | None,
    latency_bound: str | None,
    ab: tuple[str, str] | None,
    transfers: bool,
    energy: bool,
    energy_window: str | None,
    energy_windows: str | None,
    lock_clocks: str | None,
    dry_run: bool,
    excludes: tuple[str, ...],
    fallback: str,
    calibration: str | None,
    method: str,
    min_executed: str | None,
    input_shape: str | None,
    weights: str | None,
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
    """
    from benchbox.backends.probing import best_backend
    from benchbox.jobs.run import cases_from_axes

    root = project_root()
    wanted = comma_list(precisions, parse_precision)
    choice = parse_derivation(calibration=calibration, method=method, fallback=fallback, excludes=excludes)
    require_use(wanted, choice)
    cases = cases_from_axes(
        sources=_sources(models, input_shape, weights, root),
        backends=comma_list(backends, _known_backend) if backends else (LIKE_BACKEND if like else best_backend(),),
        precisions=wanted,
        batches=comma_list(batches, lambda text: parse_count(text, flag="--batch")),
        mode=_mode(mode),
        derivation=choice,
    )
    plan = _plan(threads=threads, trials=trials, max_time=max_time, timeout=timeout, quick=quick, paired=bool(ab))
    plan = with_mode(plan, mode=_mode(mode), group=group, streams=streams, rate=rate, latency_bound=latency_bound)
    plan = with_like(plan, like, duration=max_time) if like else plan
    cases = cases_like(two_sides(cases, plan, ab) if ab else cases, plan)
    plan = _with_transfers(plan, cases) if transfers else plan
    plan = with_energy(plan, asked=energy, window=energy_window, count=energy_windows)
    clocks = clocks_from_text(lock_clocks, cases) if lock_clocks else None
    least = parse_share(min_executed, flag="--min-executed") if min_executed else None
    if dry_run:
        _show_plan(cases, plan, as_json)
        return
    with held(clocks) as at:
        _measure(cases, replace(plan, locked_clocks=at), root, as_json, interleaved=bool(ab), min_executed=least)


def _with_transfers(plan: MeasurementPlan, cases: Sequence[Case]) -> MeasurementPlan:
    from benchbox.backends.base import BACKENDS
    from benchbox.errors import UsageError
    from benchbox.schema.plan import TRANSFER_TIMED

    hosts = sorted({case.backend for case in cases if BACKENDS.get(case.backend).device != "cuda"})
    if hosts:
        raise UsageError(
            "--transfers times copies to and from a GPU",
            values=f"{', '.join(hosts)}: inputs and outputs are in the host's memory already",
            remedy="leave it out, or name GPU backends only",
        )
    return replace(plan, transfer=TRANSFER_TIMED)


def _measure(
    cases: Sequence[Case],
    plan: MeasurementPlan,
    root: Path,
    as_json: bool,
    *,
    interleaved: bool,
    min_executed: float | None,
) -> None:
    from benchbox.cli.progress import shown_progress
    from benchbox.jobs.run import measure_cases
    from benchbox.schema.record import Status

    outcomes: list[Outcome] = []
    try:
        with shown_progress() as progress:
            for outcome in measure_cases(
                cases, plan=plan, root=root, progress=progress, interleaved=interleaved, min_executed=min_executed
            ):
                outcomes.append(outcome)
    finally:
        # Also after Ctrl-C: what was finished has been stored and is shown.
        if outcomes:
            _show([outcome.record for outcome in outcomes], as_json, between(outcomes) if interleaved else ())
    # In a matrix a skipped combination is an answer; a failed one is not, nor is a matrix of nothing but skipped ones.
    errors = [outcome.error for outcome in outcomes if outcome.error]
    failed = [outcome.error for outcome in outcomes if outcome.error and outcome.record.status is Status.FAILED]
    if failed or len(errors) == len(outcomes):
        raise (failed or errors)[0]


def _show(records: Sequence[Record], as_json: bool, verdicts: Sequence[Verdict] = ()) -> None:
    from benchbox.report.views.verdicts import document_from_verdict, render_verdicts
    from benchbox.store.documents import document_from_record

    if as_json:
        document = {"schema": "benchbox.run/1", "records": [document_from_record(record) for record in records]}
        if verdicts:
            document["verdicts"] = [document_from_verdict(verdict) for verdict in verdicts]
        write_json(document)
        return
    from benchbox.report.records.terminal import render, screen_width

    click.echo(render(records, width=screen_width()))
    if verdicts:
        click.echo("\n" + render_verdicts(verdicts, verdicts[0].outcome, form="table"))


def _show_plan(cases: Sequence[Case], plan: MeasurementPlan, as_json: bool) -> None:
    from benchbox.jobs.run import plan_cases

    records = plan_cases(cases, plan=plan)
    if as_json:
        _show(records, as_json)
        return
    for record in records:
        key = record.key
        click.echo(f"{key.model} {key.backend} {key.precision} batch {key.batch} {key.mode}: {record.reason}")
    click.echo(
        f"{len(records)} cases, each {plan.trials} timed processes of {plan.min_time_s:g} to {plan.max_time_s:g} s "
        f"and {plan.memory_trials} for memory, on {plan.threads} threads"
    )


def _sources(
    models: Sequence[str], input_shape: str | None, weights: str | None, root: Path
) -> tuple[ModelSource, ...]:
    from benchbox.errors import UsageError
    from benchbox.jobs.prepare import exported_sources
    from benchbox.models.sources import parse_shape, resolve

    shape = parse_shape(input_shape) if input_shape else None
    if weights and len(models) != 1:
        raise UsageError("--weights belongs to one MODEL", values=f"got {len(models)} models")
    if models:
        return tuple(dict.fromkeys(resolve(model, input_shape=shape, weights=weights) for model in models))
    return exported_sources(root) or (resolve(DEFAULT_MODEL, input_shape=shape, weights=None),)


def _known_backend(text: str) -> str:
    from benchbox.backends.base import BACKENDS

    return BACKENDS.get(text).name


def _mode(text: str) -> Mode:
    from benchbox.registry import require_known
    from benchbox.schema.plan import Mode

    return Mode(require_known("mode", text, [mode.value for mode in Mode]))


def _plan(
    *, threads: str | None, trials: str | None, max_time: str | None, timeout: str | None, quick: bool, paired: bool
) -> MeasurementPlan:
    from benchbox.limits import effective_cpus
    from benchbox.schema.plan import MeasurementPlan

    usual = PAIRED_TRIALS if paired else TRIALS
    count = parse_count(trials, flag="--trials") if trials else usual[quick]
    longest = parse_seconds(max_time, flag="--max-time") if max_time else (0.5 if quick else MeasurementPlan.max_time_s)
    plan = MeasurementPlan(
        threads=parse_count(threads, flag="--threads") if threads else effective_cpus(),
        trials=count,
        max_trials=count if trials or paired else MOST_TRIALS[quick],
        memory_trials=min(count, MeasurementPlan.memory_trials),
        min_time_s=min(longest, MeasurementPlan.min_time_s),
        max_time_s=longest,
        timeout_s=parse_seconds(timeout, flag="--timeout") if timeout else MeasurementPlan.timeout_s,
    )
    if not quick:
        return plan
    return replace(plan, warmup_s=0.1, warmup_max_s=0.5, min_time_s=min(longest, 0.2), timing_budget_s=4.5)
