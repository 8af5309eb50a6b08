"""What do the stored records say?"""

from __future__ import annotations

import click

from benchbox.cli.flags.shared import common_options, json_option, project_root


@click.command("report")
@click.option("--format", "form", default="table", show_default=True, help="table, md, csv or json.")
@click.option("--output", metavar="FILE", type=click.Path(), help="Write to FILE instead of standard output.")
@click.option(
    "--where",
    metavar="KEY=VALUE",
    multiple=True,
    help="Only these records: model, backend, precision, batch, mode, device, status, env, id; "
    "patterns like resnet* work; several must all hold.",
)
@json_option
@common_options
def command(form: str, output: str | None, where: tuple[str, ...], as_json: bool) -> None:
    """Show stored records: measured numbers with their intervals beside the cost on paper.

    \b
    Examples:
      benchbox report
      benchbox report --where model=resnet50 --where backend=onnxruntime
      benchbox report --format csv --output results.csv
    """
    from benchbox.report.records.base import FORMATS
    from benchbox.store.records import records_under
    from benchbox.store.selection import conditions_from_words, matching

    chosen = FORMATS.get("json" if as_json else form)
    conditions = conditions_from_words(where)
    records = tuple(record for record in records_under(project_root()) if matching(record, conditions))
    text = chosen.render(records)
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
        return
    _write(output, text)


def _write(output: str, text: str) -> None:
    """The whole text or nothing: a temporary file beside the target, then a rename."""
    import tempfile
    from pathlib import Path

    from benchbox.errors import StoreError

    target = Path(output)
    try:
        with tempfile.NamedTemporaryFile("w", dir=target.parent, prefix=f".{target.name}.", delete=False) as draft:
            draft.write(text)
        Path(draft.name).replace(target)
    except OSError as error:
        raise StoreError(
            "the report cannot be written", values=f"{target}: {error.strerror}", remedy="choose another --output"
        ) from error
