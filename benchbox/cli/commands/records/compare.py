"""Is one set of records faster or slower than another?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.kinds import CASE_FIELD, EFFECT, METRIC, Listed, words
from benchbox.cli.flags.shared import common_options, json_option, stored_root, warn, write_json
from benchbox.cli.flags.stored import RECORDS

if TYPE_CHECKING:
    from benchbox.gate.comparable import Measured


@click.command("compare")
@click.argument("base", metavar="BASE", type=RECORDS)
@click.argument("head", metavar="HEAD", type=RECORDS)
@click.option(
    "--metric",
    "metrics",
    metavar="M,...",
    type=Listed(METRIC),
    default="latency_p50",
    show_default=True,
    help="Metrics to judge, for example latency_p50,peak_host_memory.",
)
@click.option(
    "--min-effect",
    metavar="RATIO",
    type=EFFECT,
    help="Smallest change that matters, for example 0.03 [default: 0.05 on a CPU, 0.02 on a GPU].",
)
@click.option("--across-environments", is_flag=True, help="Compare numbers from different environments too.")
@click.option(
    "--across-networks", is_flag=True, help="Compare networks of one name that differ in MACs or parameters too."
)
@click.option(
    "--match",
    metavar="FIELD,...",
    type=Listed(CASE_FIELD),
    help="Compare different cases that have these fields in common, for example model,batch: two precisions, backends "
    "or numbers of threads [default: only equal cases].",
)
@click.option(
    "--format",
    "form",
    metavar="F",
    type=words("format", "table", "md", "csv", "json"),
    default="table",
    show_default=True,
    help="table, md, csv or json.",
)
@json_option
@common_options
def command(
    base: str,
    head: str,
    metrics: tuple[str, ...],
    min_effect: float | None,
    across_environments: bool,
    across_networks: bool,
    match: tuple[str, ...] | None,
    form: str,
    as_json: bool,
) -> None:
    """Judge HEAD against BASE: same, faster, slower, inconclusive or incomparable, case by case.

    BASE and HEAD are a record's file, a folder with records, the beginning of record ids (which begin with the date;
    'benchbox report' shows them), or KEY=VALUE,... as in 'benchbox report --where'. Records of one case (network,
    backend, precision, batch, mode with its sizes, threads) are replicates; other cases are never pooled. A damaged
    record is skipped with a warning that names its file. The exit status is 0 whatever the verdicts are.

    \b
    Examples:
      benchbox compare ../main/results results
      benchbox compare 20261120 20261123 --metric latency_p50,peak_host_memory
      benchbox compare base/results head/results --min-effect 0.02 --json
      benchbox compare precision=fp32 precision=int8 --match model,backend,batch
    """
    from benchbox.gate.comparable import Rules
    from benchbox.gate.judge import overall, verdicts_from_measured
    from benchbox.report.records.notes import machine_lines
    from benchbox.report.views.verdicts import document_from_verdicts, render_verdicts

    form = "json" if as_json else form
    rules = Rules(
        metrics=metrics,
        effect=min_effect,
        across_environments=across_environments,
        across_networks=across_networks,
        match=match or (),
    )
    first, second = _measured(base), _measured(head)
    verdicts = verdicts_from_measured(first, second, rules)
    word = overall(verdicts)
    if form == "json":
        write_json(document_from_verdicts(verdicts, word))
    else:
        machines = machine_lines([each.record for each in (*first, *second)])
        click.echo(render_verdicts(verdicts, word, form=form, machines=machines))
        if not match and any("; the nearest of the " in verdict.reason for verdict in verdicts):
            warn("different cases are compared with --match, for example --match model,batch")
        if any(_of_other_environments(verdict.reason) for verdict in verdicts):
            warn("records of different environments are compared with --across-environments")


def _measured(place: str) -> list[Measured]:
    from benchbox.gate.comparable import Measured
    from benchbox.jobs.selecting import nothing_fits, say_unmatched
    from benchbox.store.records import readable_records, readable_trials, record_files, record_files_of
    from benchbox.store.selection import conditions_from_words, matching

    if "=" in place and not Path(place).exists():
        conditions = conditions_from_words([place])
        stored = readable_records(record_files(stored_root(), conditions), warn=warn)
        records = [entry for entry in stored if matching(entry[1], conditions)]
        if not records:
            raise nothing_fits(stored_root(), [place])
        say_unmatched(stored_root(), [place], [record for _, record in records], warn)
    else:
        records = readable_records(record_files_of(place, stored_root()), warn=warn)
    return [Measured(record=record, trials=trials) for _, (record, trials) in readable_trials(records, warn=warn)]


def _of_other_environments(reason: str) -> bool:
    """Whether that is why nothing was compared, and the reason does not say what to do."""
    return reason.startswith("environments differ") and "--across-environments" not in reason
