"""Which stored records does a flag mean, and what of them can the shell complete?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from benchbox.cli.flags.kinds import Kind
from benchbox.cli.flags.shared import project_root

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])

_SEVERAL = "Values of one key are alternatives (model=a,b, or given twice), different keys must all hold."


class Condition(Kind):
    """KEY=VALUE that selects stored records; keys, and the values that records have, are completed."""

    name = "condition"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The keys; after "=" the values of that key in the stored records."""
        from click.shell_completion import CompletionItem

        from benchbox.jobs.selecting import stored_headlines
        from benchbox.store.selection import KEYS, values_of

        done, comma, last = incomplete.rpartition(",")
        key, equals, value = last.partition("=")
        if equals:
            found = values_of(key, stored_headlines(project_root(ctx))) if key in KEYS else ()
            return [CompletionItem(f"{done}{comma}{key}={name}") for name in found if name.startswith(value)]
        keys = [CompletionItem(f"{done}{comma}{name}=") for name in KEYS if name.startswith(last)]
        # After a comma another value of the same key may follow too.
        same = [piece.partition("=")[0] for piece in done.split(",") if "=" in piece][-1:]
        values = values_of(same[0], stored_headlines(project_root(ctx))) if same and same[0] in KEYS else ()
        return [*(CompletionItem(f"{done},{name}") for name in values if name and name.startswith(last)), *keys]


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


CONDITION = Condition()
RECORDS = Records()


def where_option(words: str = "Only these records, as in 'benchbox report'.") -> Callable[[F], F]:
    """``--where``."""
    return click.option("--where", metavar="KEY=VALUE", type=CONDITION, multiple=True, help=f"{words} {_SEVERAL}")
