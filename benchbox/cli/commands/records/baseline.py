"""Which levels are expected, and who changed them? They lie in results/baseline/, for git."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.kinds import words
from benchbox.cli.flags.night import Night, against_option, night_options, policy_option
from benchbox.cli.flags.shared import common_options, json_option, stored_root, warn, write_json

if TYPE_CHECKING:
    from benchbox.jobs.gate import Judged

# Of acknowledgements; ``gate/levels/acknowledged.py`` says what they mean, and is not imported for a help text.
KINDS = ("expected", "vendor", "infra", "noise")


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
@click.option("--markdown", metavar="FILE", help="Also write the proposals as a table, for a pull request.")
@json_option
@common_options
def propose(
    policy_file: str | None,
    night: str | None,
    where: tuple[str, ...],
    accepted: bool,
    dry_run: bool,
    markdown: str | None,
    as_json: bool,
) -> None:
    """Write the levels of a night that are new or better; with --accepted, those that are worse on purpose.

    Never both at once: better levels may be merged by anybody, worse ones need a person who agrees.

    \b
    Examples:
      benchbox baseline propose --dry-run
      benchbox baseline propose --accepted --markdown proposed.md
    """
    from benchbox.cli.flags.outputs import write_file
    from benchbox.gate.formats.levels import proposals_markdown, render_proposals
    from benchbox.gate.levels.baseline import write_baseline
    from benchbox.gate.levels.proposals import proposals_for

    judged = _judged(policy_file, night, where)
    found, cases = proposals_for(
        judged.records,
        judged.report,
        judged.policy,
        judged.baseline,
        judged.process_values,
        accepted=accepted,
    )
    if markdown is not None:
        write_file(markdown, proposals_markdown(found, judged.report.night))
    written = () if dry_run or not found else write_baseline(judged.folder, cases.items())
    if as_json:
        write_json(
            {
                "schema": "benchbox.proposals/1",
                "night": judged.report.night,
                "proposals": found,
                "files": [str(path) for path in written],
            }
        )
        return
    click.echo(render_proposals(found))
    for path in written:
        click.echo(f"wrote {path}")


@command.command("accept")
@click.argument("group", metavar="GROUP")
@click.option("--reason", metavar="TEXT", required=True, help="Why the change is meant.")
@click.option("--issue", metavar="URL", default="", help="Where it is discussed.")
@click.option("--until", metavar="DATE", type=Night(), help="The last night that it holds for [default: 90 days].")
@click.option("--by", metavar="NAME", default="", help="Who accepts it.")
@click.option(
    "--kind",
    metavar="KIND",
    type=words("kind", *KINDS),
    default=KINDS[0],
    show_default=True,
    help="expected, vendor (a library's or driver's change), infra (the machine's) or noise; the last two count as "
    "false alarms.",
)
@against_option
@night_options
@json_option
@common_options
def accept(
    group: str,
    reason: str,
    issue: str,
    until: str | None,
    by: str,
    kind: str,
    against: str | None,
    policy_file: str | None,
    night: str | None,
    where: tuple[str, ...],
    as_json: bool,
) -> None:
    """Acknowledge an alarm of 'benchbox gate': the night is green again, and the change is shown every night.

    It is red again when it gets worse than tonight by more than the effect, and when the date has passed.

    \b
    Examples:
      benchbox baseline accept 20261127-h100-tensorrt-fp16-slower --until 2027-01-31 --reason padded
      benchbox baseline accept 20261127-h100-tensorrt-fp16-slower --kind infra --reason 'fan failed'
      benchbox baseline accept 20261127-cpu-onnxruntime-fp32-exact --against base --reason Casts
    """
    from benchbox.errors import UsageError
    from benchbox.gate.levels.acknowledged import append_acknowledgements
    from benchbox.gate.levels.proposals import acknowledgements_of

    if not any(sign.isalnum() for sign in reason):
        raise UsageError(f"--reason is empty: '{reason}'", remedy="say why the change is meant: reviewers read it")
    if until == "today":
        raise UsageError("--until takes a date", remedy="for example 2027-01-31")
    judged = _judged(policy_file, night, where, against=against)
    added = acknowledgements_of(judged.report, group, reason=reason.strip(), issue=issue, until=until, by=by, kind=kind)
    path = append_acknowledgements(judged.folder, added)
    if as_json:
        write_json({"schema": "benchbox.accepted/1", "accepted": added, "file": str(path)})
        return
    for entry in added:
        cases = len(entry.cases)
        click.echo(f"acknowledged until {entry.until}: {entry.metric} of {cases} case{'s' * (cases != 1)}")
    click.echo(f"wrote {path}: commit it")


@command.command("pin")
@click.argument("name", metavar="NAME")
@policy_option
@json_option
@common_options
def pin(name: str, policy_file: str | None, as_json: bool) -> None:
    """Make all levels the anchor NAME, which drift is judged against.

    \b
    Example:
      benchbox baseline pin v1.4
    """
    from benchbox.errors import UsageError
    from benchbox.gate.levels.baseline import pinned, read_baseline, write_baseline
    from benchbox.gate.policy import policy_of

    if not name.strip():
        raise UsageError("an anchor needs a name", remedy="for example: benchbox baseline pin v1.4")
    folder = stored_root() / policy_of(stored_root(), policy_file).anchor.baseline
    found = read_baseline(folder)
    if not found:
        raise UsageError("there is no level to pin", values=str(folder), remedy="write some: benchbox baseline propose")
    written = write_baseline(folder, [(case, pinned(expected, name)) for case, expected in found.items()])
    if as_json:
        files = [str(path) for path in written]
        write_json({"schema": "benchbox.pinned/1", "name": name, "cases": sorted(found), "files": files})
        return
    for path in written:
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
    from benchbox.gate.formats.levels import render_levels
    from benchbox.gate.levels.acknowledged import read_acknowledged
    from benchbox.gate.levels.baseline import SCHEMA, read_baseline
    from benchbox.gate.policy import policy_of

    folder = stored_root() / policy_of(stored_root(), policy_file).anchor.baseline
    levels, acknowledged = read_baseline(folder), read_acknowledged(folder)
    if as_json:
        write_json({"schema": SCHEMA, "cases": levels, "acknowledged": acknowledged})
    else:
        click.echo(render_levels(levels, acknowledged))


def _judged(
    policy_file: str | None, night: str | None, where: tuple[str, ...], *, against: str | None = None
) -> Judged:
    from benchbox.jobs.gate import judge_stored

    return judge_stored(stored_root(), policy_file=policy_file, against=against, night=night, where=where, warn=warn)
