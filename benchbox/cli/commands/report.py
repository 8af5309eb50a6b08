"""What do the stored records say?"""

from __future__ import annotations

import click

from benchbox.cli.flags.kinds import FORMAT
from benchbox.cli.flags.shared import common_options, json_option, stored_root, warn
from benchbox.cli.flags.stored import CONDITION
from benchbox.cli.flags.view import ViewFlags, view_options


@click.command("report")
@click.option(
    "--format",
    "form",
    metavar="FORMAT",
    type=FORMAT,
    help="table, md, csv or json [default: by the ending of --output, else table].",
)
@click.option("--output", metavar="FILE", type=click.Path(), help="Write to FILE instead of standard output.")
@click.option(
    "--where",
    metavar="KEY=VALUE",
    type=CONDITION,
    multiple=True,
    help="Only these records, for example model=resnet* or threads=4; several must all hold. Keys: what identifies a "
    "case (model, backend, precision, variant, batch, mode, threads, rate_per_s, onnx_sha256, ...), status, env, id, "
    "started_at.",
)
@view_options
@json_option
@common_options
def command(form: str | None, output: str | None, where: tuple[str, ...], shown: ViewFlags, as_json: bool) -> None:
    """Show stored records: measured numbers with their intervals; --wide beside the analytical cost.

    A damaged record is skipped with a warning that names its file.

    \b
    Examples:
      benchbox report
      benchbox report --where model=resnet50 --where backend=onnxruntime
      benchbox report --columns model,precision,p50,MACs --notes
      benchbox report --output results.csv
    """
    from benchbox.report.records.base import FORMATS, format_of_file
    from benchbox.report.screen import screen_width
    from benchbox.store.records import readable_records, record_files
    from benchbox.store.selection import conditions_from_words, matching, none_match

    chosen = FORMATS.get("json" if as_json else form or format_of_file(output or ""))
    conditions = conditions_from_words(where)
    found = readable_records(record_files(stored_root()), warn=warn)
    records = tuple(record for _, record in found if matching(record, conditions))
    if not records:
        nothing = none_match(len(found), where)
        if output is None and chosen.name == "table":
            click.echo(nothing)
            return
        warn(nothing)
    if output is None:
        text = chosen.render(records, width=screen_width(), view=shown.view())
        click.echo(text, nl=not text.endswith("\n"))
        return
    text = chosen.render(records, view=shown.view())
    _write(output, text if text.endswith("\n") else f"{text}\n")


def _write(output: str, text: str) -> None:
    from pathlib import Path

    from benchbox.errors import StoreError
    from benchbox.store.atomic import write_text

    try:
        write_text(Path(output), text)
    except OSError as error:
        raise StoreError(
            "the report cannot be written", values=f"{output}: {error.strerror}", remedy="choose another --output"
        ) from error
