"""Which levels are expected, and who changed them? They lie in results/baseline/, for git."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.night import Night, night_options, policy_option
from benchbox.cli.flags.shared import common_options, json_option, stored_root, warn, write_json

if TYPE_CHECKING:
    from benchbox.jobs.gate import Judged


@click.group("baseline", no_args_is_help=True)
@common_options
def command() -> None:
    """Propose, accept, pin and show the levels that 'benchbox gate' judges by.

    The files in results/baseline/ belong in git: a level changes by a commit that somebody reviews, never by itself.

    \b
    Examples:
      benchbox baseline propose
      benchbox baseline accept 20261127-h100-tensorrt-fp16-slower --reason 'padding for alignment'
      benchbox baseline pin v1.4
      benchbox baseline show
    """


@command.command("propose")
@night_options
@click.option("--accepted", is_flag=True, help="The worse levels that were acknowledged, and nothing else.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and stop.")
@common_options
def propose(policy_file: str | None, night: str | None, where: tuple[str, ...], accepted: bool, dry_run: bool) -> None:
    """Write the levels of a night that are new or better; with --accepted, those that are worse on purpose.

    Never both at once: better levels may be merged by anybody, worse ones need a person who agrees.

    \b
    Example:
      benchbox baseline propose --dry-run
    """
    from benchbox.gate.baseline import write_baseline
    from benchbox.gate.formats.levels import level_text
    from benchbox.gate.proposals import proposals_for

    judged = _judged(policy_file, night, where)
    found, cases = proposals_for(
        judged.records,
        judged.report,
        judged.policy,
        judged.baseline,
        judged.process_values,
        accepted=accepted,
    )
    for proposal in found:
        unit = proposal.level.unit
        before = level_text(proposal.before.value, unit) + " → " if proposal.before else ""
        values = f"{before}{level_text(proposal.level.value, unit)}"
        click.echo(" ".join(f"{proposal.level.kind}: {proposal.name} {proposal.metric} {values}".split()))
    if not found:
        click.echo("no level to write")
    elif not dry_run:
        for path in write_baseline(judged.folder, cases.items()):
            click.echo(f"wrote {path}")


@command.command("accept")
@click.argument("group", metavar="GROUP")
@click.option("--reason", metavar="TEXT", required=True, help="Why the change is meant.")
@click.option("--issue", metavar="URL", default="", help="Where it is discussed.")
@click.option("--until", metavar="DATE", type=Night(), help="The last night that it holds for [default: 90 days].")
@click.option("--by", metavar="NAME", default="", help="Who accepts it.")
@night_options
@common_options
def accept(
    group: str,
    reason: str,
    issue: str,
    until: str | None,
    by: str,
    policy_file: str | None,
    night: str | None,
    where: tuple[str, ...],
) -> None:
    """Acknowledge an alarm of 'benchbox gate': the night is green again, and the change is shown every night.

    It is red again when it gets worse than tonight by more than the effect, and when the date has passed.

    \b
    Example:
      benchbox baseline accept 20261127-h100-tensorrt-fp16-slower --reason 'padding for alignment' --until 2027-01-31
    """
    from benchbox.errors import UsageError
    from benchbox.gate.acknowledged import append_acknowledgements
    from benchbox.gate.proposals import acknowledgements_of

    if not reason.strip():
        raise UsageError("--reason is empty", remedy="say why the change is meant: reviewers read it")
    if until == "today":
        raise UsageError("--until takes a date", remedy="for example 2027-01-31")
    judged = _judged(policy_file, night, where)
    added = acknowledgements_of(judged.report, group, reason=reason.strip(), issue=issue, until=until, by=by)
    path = append_acknowledgements(judged.folder, added)
    for entry in added:
        cases = len(entry.cases)
        click.echo(f"acknowledged until {entry.until}: {entry.metric} of {cases} case{'s' * (cases != 1)}")
    click.echo(f"wrote {path}: commit it")


@command.command("pin")
@click.argument("name", metavar="NAME")
@policy_option
@common_options
def pin(name: str, policy_file: str | None) -> None:
    """Make all levels the anchor NAME, which drift is judged against.

    \b
    Example:
      benchbox baseline pin v1.4
    """
    from benchbox.errors import UsageError
    from benchbox.gate.baseline import pinned, read_baseline, write_baseline
    from benchbox.gate.policy import policy_of

    folder = stored_root() / policy_of(stored_root(), policy_file).anchor.baseline
    found = read_baseline(folder)
    if not found:
        raise UsageError("there is no level to pin", values=str(folder), remedy="write some: benchbox baseline propose")
    for path in write_baseline(folder, [(case, pinned(expected, name)) for case, expected in found.items()]):
        click.echo(f"wrote {path}")
    click.echo(f"pinned {len(found)} case{'s' * (len(found) != 1)} as {name}")


@command.command("show")
@policy_option
@json_option
@common_options
def show(policy_file: str | None, as_json: bool) -> None:
    """Show the levels, the anchors and what was acknowledged.

    \b
    Example:
      benchbox baseline show
    """
    from benchbox.gate.acknowledged import read_acknowledged
    from benchbox.gate.baseline import SCHEMA, read_baseline
    from benchbox.gate.formats.levels import render_levels
    from benchbox.gate.policy import policy_of

    folder = stored_root() / policy_of(stored_root(), policy_file).anchor.baseline
    levels, acknowledged = read_baseline(folder), read_acknowledged(folder)
    if as_json:
        write_json({"schema": SCHEMA, "cases": levels, "acknowledged": acknowledged})
    else:
        click.echo(render_levels(levels, acknowledged))


def _judged(policy_file: str | None, night: str | None, where: tuple[str, ...]) -> Judged:
    from benchbox.jobs.gate import judge_stored

    return judge_stored(stored_root(), policy_file=policy_file, against=None, night=night, where=where, warn=warn)
