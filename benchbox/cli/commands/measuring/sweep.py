"""How is a whole matrix of cases measured, on one machine or many, so that it can be continued after anything?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.kinds import words
from benchbox.cli.flags.shared import common_options, json_option, project_root, warn, write_json

if TYPE_CHECKING:
    from benchbox.fleet.plan import SweepPlan


@click.command("sweep")
@click.argument("file", metavar="FILE.toml", type=click.Path(path_type=Path))
@click.option(
    "--resume", is_flag=True, help="Continue the newest plan of this file; steps that have a record are not repeated."
)
@click.option("--dry-run", is_flag=True, help="Show the matrix, its units and how long they will take, and stop.")
@click.option("--wait", is_flag=True, help="Wait where another sweep measures on this machine, instead of failing.")
@click.option(
    "--engine",
    metavar="E",
    type=words("engine", "local", "ray"),
    default="local",
    show_default=True,
    help="What runs the units: local (this machine, one after the other) or ray (the machines of a Ray cluster).",
)
@click.option(
    "--address", metavar="A", help="With --engine ray: address of the cluster [default: that of this machine]."
)
@click.option("--store", metavar="URL", help="Also push records (with --engine ray plans too) to s3://... or a folder.")
@json_option
@common_options
def command(
    file: Path,
    resume: bool,
    dry_run: bool,
    wait: bool,
    engine: str,
    address: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Measure every case of a matrix in units of some minutes, and go on where it was stopped.

    FILE.toml has a table [sweep] with models, backends, precisions, batches, threads and modes; docs/fleet.md explains
    it. The processes of a case are spread over two passes in random orders, and a short case is measured again and
    again as an anchor. Each case is a 'benchbox run' of its own. A step that has its record is never measured again:
    --resume goes on after Ctrl-C, a crash or a power cut.

    \b
    Examples:
      benchbox sweep nightly.toml --dry-run
      benchbox sweep nightly.toml
      benchbox sweep nightly.toml --resume
      benchbox sweep nightly.toml --engine ray --address 10.0.0.1:6379 --store s3://bucket/here
    """
    from benchbox.errors import UsageError
    from benchbox.fleet.estimating import history_under
    from benchbox.fleet.plan import document_from_plan, write_plan
    from benchbox.fleet.sweep_file import sweep_of
    from benchbox.fleet.text import render_plan, size_of
    from benchbox.jobs.sweep import planned, settled_cases

    root = project_root()
    sweep = sweep_of(file)
    if address and engine != "ray":
        raise UsageError("--address belongs to --engine ray", values=f"got --engine {engine}")
    history = history_under(root)
    cases = settled_cases(sweep)
    shared = store if store and engine == "ray" else ""
    plan = planned(root, sweep, cases=cases, history=history, resume=resume, store=shared)
    if dry_run and as_json:
        write_json(document_from_plan(plan))
    elif dry_run:
        click.echo(render_plan(plan, timed=sum(map(history.has, cases)), cases=len(cases)))
    else:
        if not resume:
            write_plan(root, plan)
        click.echo(f"plan {plan.id}: {size_of(plan)}", err=True)
        _measure(root, plan, Way(engine=engine, address=address, store=store or "", wait=wait), as_json)


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a plan is measured: by which engine, in which cluster, with which store, waiting for the machine or not."""

    engine: str
    address: str | None
    store: str
    wait: bool


def _measure(root: Path, plan: SweepPlan, way: Way, as_json: bool) -> None:
    """Measures what is not done, shows what came out also after Ctrl-C, and fails where a step has no numbers."""
    from benchbox.cli.progress import shown_progress
    from benchbox.fleet.done import swept
    from benchbox.fleet.text import document_from_swept, render_swept
    from benchbox.jobs.sweep import require_all, sweep_here, sweep_on_cluster

    try:
        with shown_progress() as progress:
            if way.engine == "ray":
                sweep_on_cluster(root, plan, progress=progress, address=way.address, store=way.store)
            else:
                sweep_here(root, plan, progress=progress, wait=way.wait, store=way.store)
    finally:
        found = swept(root, plan, warn=warn)
        if as_json:
            write_json(document_from_swept(found))
        else:
            click.echo(render_swept(found))
    require_all(found)
