"""Is the store whole, and how do records get to and from other machines?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from benchbox.cli.flags.shared import common_options, json_option, project_root, stored_root, warn, write_json

if TYPE_CHECKING:
    from benchbox.fleet.transfer import Transfer

_SHOWN = 20


@click.group("store", no_args_is_help=True)
@common_options
def command() -> None:
    """Check the stored records, put many of them together, copy them to and from a folder or an object store.

    \b
    Examples:
      benchbox store compact
      benchbox store check
      benchbox store push s3://bucket/benchbox
      benchbox store pull /mnt/shared/benchbox
    """


@command.command("check")
@click.option("--set-aside", is_flag=True, help="Move damaged records to results/damaged/.")
@json_option
@common_options
def check(set_aside: bool, as_json: bool) -> None:
    """Read every record, accuracy, table of layers, artifact and engine whole, and name those that are damaged.

    Records, accuracies and layers are read with their samples, artifacts and engines are compared with their sha256.
    Damaged artifacts and engines are made again when they are needed; records are not, and --set-aside moves them
    away.

    Exit status: 0 all is whole, or damaged records were set aside · 6 something is damaged

    \b
    Example:
      benchbox store check --set-aside
    """
    from benchbox.cli.progress import shown_progress
    from benchbox.errors import StoreError
    from benchbox.store.checking import check_store
    from benchbox.store.checking import set_aside as moved

    root = stored_root()
    with shown_progress() as progress:
        found = check_store(root, step=lambda done, total: progress.step(done, total, "checking"))
    aside = {fault.path: moved(root, fault) for fault in found.faults if set_aside and fault.record}
    if as_json:
        write_json(
            {
                "schema": "benchbox.check/1",
                "counts": found.counts,
                "faults": [
                    {
                        "path": str(fault.path),
                        "reason": fault.reason,
                        "set_aside": str(aside[fault.path]) if fault.path in aside else None,
                    }
                    for fault in found.faults
                ],
            }
        )
    else:
        from benchbox.report.views.checking import render_checked

        click.echo(render_checked(found, aside, root=root))
    left = [fault for fault in found.faults if fault.path not in aside]
    if left:
        records = sum(1 for fault in left if fault.record)
        raise StoreError(
            f"{len(left)} of {sum(found.counts.values())} files {'is' if len(left) == 1 else 'are'} damaged",
            values=", ".join(str(fault.path) for fault in left[:3]) + (" …" if len(left) > 3 else ""),
            remedy="--set-aside moves records away" if records else "they are made again when they are needed",
        )


@command.command("compact")
@click.option("--all", "everything", is_flag=True, help="Rewrite large parts too, so that all are in one order.")
@json_option
@common_options
def compact(everything: bool, as_json: bool) -> None:
    """Put records together in few files: every command reads them there as before, and faster.

    Records that have a file each become rows of sorted Parquet files (results/records/compacted/) of 128 to 480 MB as
    the store grows; a smaller one is rewritten together with what is new. Records stay what they are, byte by byte.
    It may run while others measure and read, and may be killed at any moment: nothing is removed before what replaces
    it was read again. Damaged files are named and left where they are.

    Exit status: 0 done · 6 a damaged file was left, another compaction runs, or the store cannot be written

    \b
    Examples:
      benchbox store compact
      benchbox store compact --all
    """
    from benchbox.cli.progress import shown_progress
    from benchbox.errors import StoreError
    from benchbox.store.parts.compacting import compact as compact_records
    from benchbox.units import counted, format_bytes

    with shown_progress() as progress:
        done = compact_records(stored_root(), step=progress.step, everything=everything)
    if as_json:
        write_json(
            {
                "schema": "benchbox.compact/1",
                "moved": done.moved,
                "copies": done.copies,
                "rewritten": done.rewritten,
                "parts": [{"file": part.file, "rows": part.rows, "size_bytes": part.size_bytes} for part in done.parts],
                "left": [{"path": str(path), "reason": reason} for path, reason in done.left],
            }
        )
    else:
        size = format_bytes(sum(part.size_bytes for part in done.parts))
        again = f", {done.rewritten} of smaller parts with them" if done.rewritten else ""
        parts = f"{counted(len(done.parts), 'part')} ({size})"
        click.echo(f"{counted(done.moved, 'record')} moved{again}: {parts}" if done.parts else "nothing to compact")
        if done.copies:
            click.echo(f"{counted(done.copies, 'file')} removed that an interrupted compaction had left")
        for path, reason in done.left[:_SHOWN]:
            warn(f"left where it is: {path}: {reason}")
    if done.left:
        raise StoreError(
            f"{counted(len(done.left), 'damaged file')} {'was' if len(done.left) == 1 else 'were'} left",
            values=f"{done.left[0][0]}: {done.left[0][1]}",
            remedy="'benchbox store check --set-aside' moves them away; the others were compacted",
        )


@command.command("push")
@click.argument("url")
@click.option("--dry-run", is_flag=True, help="Show what would be copied, and stop.")
@json_option
@common_options
def push(url: str, dry_run: bool, as_json: bool) -> None:
    """Copy records, accuracies and layers that URL lacks.

    URL is a folder, or s3://bucket/prefix, gs://, az:// (extra "s3"; credentials from the environment, as the clients
    of these stores read it). Nothing is ever replaced: several machines may push at once; repeat a broken push.

    \b
    Examples:
      benchbox store push s3://bucket/benchbox
      benchbox store push /mnt/shared/benchbox --dry-run
    """
    from benchbox.cli.progress import shown_progress
    from benchbox.fleet.objects import objects_at
    from benchbox.fleet.transfer import push as push_to

    objects = objects_at(url)
    with shown_progress() as progress:
        done = push_to(
            stored_root(), objects, step=lambda now, total: progress.step(now, total, "pushing"), dry_run=dry_run
        )
    _finish("push", url, done, dry_run=dry_run, as_json=as_json)


@command.command("pull")
@click.argument("url")
@click.option("--dry-run", is_flag=True, help="Show what would be copied, and stop.")
@json_option
@common_options
def pull(url: str, dry_run: bool, as_json: bool) -> None:
    """Copy records, accuracies and layers from URL that this root lacks.

    Every record is verified before it is stored; damaged ones are named and left out.

    \b
    Examples:
      benchbox store pull s3://bucket/benchbox
      benchbox store pull /mnt/shared/benchbox --root all-machines
    """
    from benchbox.cli.progress import shown_progress
    from benchbox.fleet.objects import objects_at
    from benchbox.fleet.transfer import pull as pull_from

    objects = objects_at(url)
    with shown_progress() as progress:
        done = pull_from(
            project_root(), objects, step=lambda now, total: progress.step(now, total, "pulling"), dry_run=dry_run
        )
    _finish("pull", url, done, dry_run=dry_run, as_json=as_json)


def _finish(what: str, url: str, done: Transfer, *, dry_run: bool, as_json: bool) -> None:
    from benchbox.errors import StoreError
    from benchbox.units import counted, format_bytes

    if as_json:
        write_json(
            {
                "schema": f"benchbox.{what}/1",
                "url": url,
                "dry_run": dry_run,
                "copied": list(done.copied),
                "present": done.present,
                "faults": [{"name": name, "reason": reason} for name, reason in done.faults],
                "size_bytes": done.size_bytes,
            }
        )
    else:
        word = "would be copied" if dry_run else "copied"
        click.echo(f"{len(done.copied)} {word} ({format_bytes(done.size_bytes)}), {done.present} were there already")
        for name, reason in done.faults[:_SHOWN]:
            warn(f"not copied: {name}: {reason}")
    if done.faults:
        raise StoreError(
            f"{counted(len(done.faults), 'file')} {'was' if len(done.faults) == 1 else 'were'} not copied",
            values=f"{done.faults[0][0]}: {done.faults[0][1]}",
            remedy="'benchbox store check' on the side where they lie; the others were copied",
        )
