"""Is tonight good? The exit status is the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.night import against_option, night_options
from benchbox.cli.flags.outputs import OutputFlags, output_options, outputs_with_policy, write_outputs
from benchbox.cli.flags.shared import common_options, json_option, stored_root, warn, write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchbox.jobs.gate import Judged

BISECT_SKIP, BISECT_STOP = 125, 128


@click.command("gate")
@night_options
@against_option
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
@click.option(
    "--selftest",
    is_flag=True,
    help="First test the gate itself on this machine: equal sides must be the same, a slowed one slower.",
)
@click.option("--bisect", is_flag=True, help="Exit status for 'git bisect run': 0 good, 1 bad, 125 skip, 128 stop.")
@click.option("--no-exit", is_flag=True, help="Exit status 0 whatever is found.")
@output_options
@json_option
@common_options
def command(
    policy_file: str | None,
    night: str | None,
    where: tuple[str, ...],
    against: str | None,
    confirm: bool,
    ab: tuple[str, str] | None,
    selftest: bool,
    bisect: bool,
    no_exit: bool,
    outputs: OutputFlags,
    as_json: bool,
) -> int:
    """Judge a night of stored records, and end with the verdict as exit status. Only --confirm and --selftest measure.

    Each case is judged against its last 14 good nights in the same environment (slower only after two nights in a row),
    and against the levels in results/baseline/ where there are any; counts like MACs may not change at all. Cases that
    have no numbers tonight are reported. benchbox.toml holds other rules; docs/nightly.md explains all of it.

    Exit status: 0 nothing to do · 1 slower, drifted or another count · 5 a case is missing or failed, or the self-test
    failed · 7 too much is inconclusive · 8 the environment changed · 2 usage or policy · 6 the store is damaged

    \b
    Examples:
      benchbox gate
      benchbox gate --night today --markdown gate.md --junit gate.xml --annotations
      benchbox gate --night today --selftest --confirm
      git bisect run sh -c 'benchbox run n.onnx || exit 125; benchbox gate --bisect --against good/'
      benchbox gate --where backend=onnxruntime --no-exit --json
    """
    import functools

    from benchbox.errors import UsageError
    from benchbox.gate.formats.annotations import annotations_of
    from benchbox.gate.formats.document import document_from_night
    from benchbox.gate.formats.table import render_night
    from benchbox.jobs.gate import judge_stored

    if ab is not None and not confirm:
        raise UsageError(
            "--ab belongs to --confirm", remedy="benchbox gate --confirm --ab OLD/bin/python NEW/bin/python"
        )
    root = stored_root()
    judge = functools.partial(
        judge_stored,
        root,
        policy_file=policy_file,
        against=against,
        night=night,
        where=where,
        warn=warn,
        newest_only=bisect,
    )
    if bisect:
        return _bisected(judge)
    outputs = outputs_with_policy(outputs, root, policy_file)
    judged = judge()
    if selftest or confirm:
        _measure(root, judged, selftest=selftest, confirm=confirm, ab=ab)
        judged = judge()
    report = judged.report
    write_outputs(outputs, judged)
    if as_json:
        write_json(document_from_night(report))
    else:
        click.echo(render_night(report))
    for line in annotations_of(report) if outputs.annotations else ():
        click.echo(line, err=as_json)
    return 0 if no_exit else report.exit


def _measure(root: Path, judged: Judged, *, selftest: bool, confirm: bool, ab: tuple[str, str] | None) -> None:
    """What the night is judged by beside its records: the gate's test of itself, and what was flagged once more."""
    from benchbox.cli.progress import shown_progress
    from benchbox.jobs.confirm import Sides, confirm_night, keep_networks
    from benchbox.jobs.selftest import selftest as test_itself

    if selftest:
        with shown_progress() as progress:
            test_itself(root, judged, progress=progress)
    if confirm:
        confirm_night(root, judged, sides=Sides.named(*ab) if ab else None, say=warn)
        keep_networks(root, judged)


def _bisected(judge: Callable[[], Judged]) -> int:
    """The night as ``git bisect run`` wants it: what is neither good nor bad is skipped, what is wrong ends it."""
    from benchbox.errors import BenchboxError, UsageError
    from benchbox.gate.formats.table import render_night
    from benchbox.jobs.gate import bisect_status

    try:
        report = judge().report
    except BenchboxError as error:
        click.echo(f"Error: {error}", err=True)
        return BISECT_STOP if isinstance(error, UsageError) else BISECT_SKIP
    click.echo(render_night(report))
    return bisect_status(report)
