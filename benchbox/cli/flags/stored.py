"""Which stored records does a flag mean, and what of them can the shell complete?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchbox.cli.flags.kinds import Kind
from benchbox.cli.flags.shared import project_root

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem


class Condition(Kind):
    """KEY=VALUE that selects stored records; keys, and the values that records have, are completed."""

    name = "condition"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The keys; after "=" the values of that key in the stored records."""
        from click.shell_completion import CompletionItem

        from benchbox.store.selection import KEYS, values_of

        key, equals, value = incomplete.rpartition(",")[2].partition("=")
        before = incomplete[: len(incomplete) - len(key) - len(equals) - len(value)]
        if not equals:
            return [CompletionItem(f"{before}{name}=") for name in KEYS if name.startswith(key)]
        found = values_of(key, _stored_records(ctx)) if key in KEYS else ()
        return [CompletionItem(f"{before}{key}={name}") for name in found if name.startswith(value)]


class Records(Condition):
    """Stored records: a file, a folder, the beginning of ids, or KEY=VALUE,..."""

    name = "records"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Ids and keys, or files where nothing else fits."""
        from click.shell_completion import CompletionItem

        if "=" in incomplete:
            return super().shell_complete(ctx, param, incomplete)
        ids = [CompletionItem(name) for name in _stored_ids(ctx) if name.startswith(incomplete)]
        keys = super().shell_complete(ctx, param, incomplete)
        return [*ids, *keys] or [CompletionItem(incomplete, type="file")]


def _stored_ids(ctx: click.Context) -> list[str]:
    from benchbox.store.records import record_files

    return [path.stem for path in record_files(project_root(ctx))]


def _stored_records(ctx: click.Context) -> list[Any]:
    """What can be read of the stored records: a completion never fails."""
    from benchbox.errors import StoreError
    from benchbox.store.records import read_headline, readable_records, record_files

    try:
        files = record_files(project_root(ctx), newest=True)  # a value that only old records have is not needed
        return [record for _, record in readable_records(files, warn=lambda _: None, read=read_headline)]
    except StoreError:
        return []


CONDITION = Condition()
RECORDS = Records()
