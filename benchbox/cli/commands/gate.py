"""Is tonight good? The exit status is the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.night import night_options
from benchbox.cli.flags.shared import common_options, json_option, stored_root, warn, write_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchbox.gate.night import NightReport


@click.command("gate")
@night_options
@click.option(
    "--against",
    metavar="REFERENCE",
    help="Only this reference: rolling (the last good nights) or anchor (levels in git) [default: as the policy says].",
)
@click.option(
    "--confirm",
    is_flag=True,
    help="Measure again what was flagged, base and head in turn; what is confirmed is slower after one night.",
)
@click.option(
    "--ab",
    nargs=2,
    metavar="BASE_PYTHON HEAD_PYTHON",
    help="With --confirm: Pythons with the software before and after, where it changed; levels of an environment that "
    "changed are carried over.",
)
@click.option("--no-exit", is_flag=True, help="Exit status 0 whatever is found.")
@click.option("--markdown", metavar="FILE", help="Also write Markdown, for a job's summary.")
@click.option("--junit", metavar="FILE", help="Also write JUnit XML.")
@click.option("--annotations", is_flag=True, help="Also print annotations for GitHub Actions.")
@json_option
@common_options
def command(
    policy_file: str | None,
    night: str | None,
    where: tuple[str, ...],
    against: str | None,
    confirm: bool,
    ab: tuple[str, str] | None,
    no_exit: bool,
    markdown: str | None,
    junit: str | None,
    annotations: bool,
    as_json: bool,
) -> int:
    """Judge a night of stored records, and end with the verdict as exit status. Only --confirm measures.

    Each case is judged against its last 14 good nights in the same environment (slower only after two nights in a row),
    and against the levels in results/baseline/ where there are any; counts like MACs may not change at all. Cases that
    have no numbers tonight are reported. benchbox.toml holds other rules; docs/nightly.md explains all of it.

    \b
    Exit status: 0 nothing to do · 1 slower, drifted or another count · 5 a case is missing or failed, or nothing was
    judged · 7 too much is inconclusive · 8 the environment changed · 2 usage or policy · 6 the store cannot be read

    \b
    Examples:
      benchbox gate
      benchbox gate --night today --markdown gate.md --junit gate.xml --annotations
      benchbox gate --night today --confirm
      benchbox gate --where backend=onnxruntime --no-exit --json
    """
    import functools

    from benchbox.errors import UsageError
    from benchbox.gate.formats.annotations import annotations_of
    from benchbox.gate.formats.document import document_from_night
    from benchbox.gate.formats.junit import junit_of
    from benchbox.gate.formats.markdown import markdown_of
    from benchbox.gate.formats.table import render_night
    from benchbox.jobs.gate import judge_stored
    from benchbox.registry import require_known

    if against is not None:
        require_known("reference", against, ("rolling", "anchor"))
    if ab is not None and not confirm:
        raise UsageError(
            "--ab belongs to --confirm", remedy="benchbox gate --confirm --ab OLD/bin/python NEW/bin/python"
        )
    judge = functools.partial(
        judge_stored, stored_root(), policy_file=policy_file, against=against, night=night, where=where, warn=warn
    )
    judged = judge()
    if confirm:
        from benchbox.jobs.confirm import Sides, confirm_night, keep_networks

        confirm_night(stored_root(), judged, sides=Sides(base=ab[0], head=ab[1]) if ab else None, say=warn)
        keep_networks(stored_root(), judged)
        judged = judge()
    report = judged.report
    _write(markdown, markdown_of, report)
    _write(junit, junit_of, report)
    if as_json:
        write_json(document_from_night(report))
    else:
        click.echo(render_night(report))
    for line in annotations_of(report) if annotations else ():
        click.echo(line, err=as_json)
    return 0 if no_exit else report.exit


def _write(file: str | None, text_of: Callable[[NightReport], str], report: NightReport) -> None:
    if file is None:
        return
    from pathlib import Path

    from benchbox.errors import StoreError
    from benchbox.store.atomic import write_text

    try:
        write_text(Path(file), text_of(report))
    except OSError as error:
        raise StoreError("the file cannot be written", values=f"{file}: {error.strerror or error}") from error
