"""What do the stored records say?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.kinds import FORMAT_OR_PAGE
from benchbox.cli.flags.shared import common_options, json_option, stored_root, warn
from benchbox.cli.flags.stored import where_option
from benchbox.cli.flags.view import ViewFlags, view_options

if TYPE_CHECKING:
    from pathlib import Path

    from benchbox.schema.record import Record


@click.command("report")
@click.option(
    "--format",
    "form",
    metavar="FORMAT",
    type=FORMAT_OR_PAGE,
    help="table, md, csv, json or html, one page with pictures [default: by the ending of --output, else table].",
)
@click.option("--output", metavar="FILE", type=click.Path(), help="Write to FILE instead of standard output.")
@where_option(
    "Only these records, for example model=resnet* or threads=4. Keys: what identifies a case (model, backend, "
    "precision, variant, batch, mode, threads, rate_per_s, onnx_sha256, ...), status, env, id, started_at."
)
@view_options
@json_option
@common_options
def command(form: str | None, output: str | None, where: tuple[str, ...], shown: ViewFlags, as_json: bool) -> None:
    """Show stored records: measured numbers with their intervals; --wide adds the analytical cost.

    A damaged record is skipped with a warning that names its file.

    \b
    Examples:
      benchbox report
      benchbox report --where model=resnet50 --where backend=onnxruntime
      benchbox report --columns model,precision,p50,MACs --notes
      benchbox report --output results.csv
      benchbox report --output page.html
    """
    from benchbox.jobs.selecting import say_unmatched
    from benchbox.report.records.base import FORMATS, PAGE, format_of_file
    from benchbox.report.screen import screen_width
    from benchbox.store.records import readable_records, record_files
    from benchbox.store.selection import conditions_from_words, matching

    form = "json" if as_json else form or format_of_file(output or "")
    page = form == PAGE
    if page:
        from benchbox.report.plots.rendering import require_renderer

        require_renderer()
    chosen = FORMATS.get("table" if page else form)
    conditions = conditions_from_words(where)
    found = readable_records(record_files(stored_root(), conditions), warn=warn)
    kept = [(path, record) for path, record in found if matching(record, conditions)]
    records = tuple(record for _, record in kept)
    if not records:
        nothing = _nothing(where)
        if output is None and chosen.name == "table" and not page:
            click.echo(nothing)
            return
        warn(nothing)
    say_unmatched(stored_root(), where, records, warn)
    if page:
        _put_page(kept, where, output)
        return
    if output is None:
        text = chosen.render(records, width=screen_width(), view=shown.view())
        click.echo(text, nl=not text.endswith("\n"))
        return
    text = chosen.render(records, view=shown.view())
    _write(output, text if text.endswith("\n") else f"{text}\n")


def _nothing(where: tuple[str, ...]) -> str:
    """Why no record is shown: there is none, or none fits; that is an answer, so no error."""
    from benchbox.jobs.selecting import nothing_fits

    fault = nothing_fits(stored_root(), where)
    return "\n".join(filter(None, (fault.what, fault.values)))


def _put_page(found: list[tuple[Path, Record]], where: tuple[str, ...], output: str | None) -> None:
    from benchbox.jobs.page import material_from_records
    from benchbox.report.material import points_by_machine
    from benchbox.report.page.ceilings import above_lines
    from benchbox.report.page.writing import page_from_material

    title = " · ".join(["Deployment benchmarks", *where])
    material = material_from_records(stored_root(), found, title=title, where=where, warn=warn)
    text = page_from_material(material)
    for machine, points in points_by_machine(material).items():
        for line in above_lines(points, material):
            warn(f"warning: ABOVE_CEILING on {machine}: {line}; 'benchbox ceilings' measures the roof again")
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(output, text)


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
