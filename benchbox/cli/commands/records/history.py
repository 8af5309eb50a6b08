"""How did the cases do from night to night?"""

from __future__ import annotations

import click

from benchbox.cli.flags.kinds import METRIC, MODEL, words
from benchbox.cli.flags.shared import common_options, json_option, stored_root, warn, write_json
from benchbox.cli.flags.stored import where_option

# A change of level of a machine shared with others, which most are; see "compare --min-effect".
EFFECT = 0.05


@click.command("history")
@click.argument("models", metavar="[MODEL]...", nargs=-1, type=MODEL)
@click.option(
    "--metric", metavar="NAME", type=METRIC, default="latency_p50", show_default=True, help="The metric to follow."
)
@click.option(
    "--min-effect",
    metavar="RATIO",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=EFFECT,
    show_default=True,
    help="Smallest change of level to report, for example 0.03.",
)
@click.option(
    "--last", metavar="N", type=click.IntRange(1), default=30, show_default=True, help="Nights to show of each case."
)
@click.option(
    "--by",
    metavar="UNIT",
    type=words("unit", "night", "record"),
    default="night",
    show_default=True,
    help="A row a night (several records of one are pooled, as the gate pools them), or a row a record.",
)
@where_option("Only these records, as in 'benchbox report'; patterns like resnet* work.")
@click.option(
    "--format",
    "form",
    metavar="F",
    type=words("format", "table", "json"),
    default="table",
    show_default=True,
    help="table or json.",
)
@json_option
@common_options
def command(
    models: tuple[str, ...],
    metric: str,
    min_effect: float,
    last: int,
    by: str,
    where: tuple[str, ...],
    form: str,
    as_json: bool,
) -> None:
    """Show each case night after night, with its lasting changes of level drawn between the nights.

    A series holds one case on the same hardware. Another driver or library begins an epoch, drawn as a rule with what
    changed. A change needs at least 3 nights after it and about 6 on either side: one bad night is not a change. The
    exit status is 0 whatever is found.

    \b
    Examples:
      benchbox history
      benchbox history resnet50 --where backend=onnxruntime
      benchbox history resnet50 --metric throughput --json
      benchbox history lenet5 --by record --last 10
    """
    from benchbox.errors import UsageError
    from benchbox.gate.history import series_from_records
    from benchbox.gate.policy import policy_of
    from benchbox.jobs.selecting import nothing_fits, say_unmatched
    from benchbox.registry import suggestion
    from benchbox.report.views.history import document_from_series, render_history
    from benchbox.store.records import read_headline, readable_records, record_files
    from benchbox.store.selection import conditions_from_words, escape, matching, none_match
    from benchbox.units import counted

    form = "json" if as_json else form
    conditions = conditions_from_words(where)
    # One network can be looked up; for more, all are read.
    wanted = [*conditions, *([("model", (escape(models[0]),))] if len(models) == 1 else [])]
    found = readable_records(record_files(stored_root(), wanted), warn=warn, read=read_headline)
    stored = [record for _, record in found if matching(record, conditions)]
    if models and not stored:
        everything = readable_records(record_files(stored_root(), conditions), warn=warn, read=read_headline)
        stored = [record for _, record in everything if matching(record, conditions)]
    known = sorted({record.key.model for record in stored})
    if where and not stored:
        raise nothing_fits(stored_root(), where)
    say_unmatched(stored_root(), where, stored, warn)
    for model in models:
        if model not in known:
            raise UsageError(
                f"there are no records of '{model}'",
                values=suggestion(model, known),
                remedy=f"records are of: {', '.join(known)}" if known else "measure first: benchbox run MODEL",
            )
    chosen = [record for record in stored if not models or record.key.model in models]
    starts = policy_of(stored_root(), None).night_starts if by == "night" else None
    series = series_from_records(chosen, metric=metric, effect=min_effect, night_starts=starts)
    if form == "json":
        write_json(document_from_series(series))
    elif series:
        click.echo(render_history(series, last=last))
    else:
        click.echo(f"{counted(len(chosen), 'record')}, none with {metric}" if chosen else none_match(0, ()))
