"""Which flags say which night is judged, and by which policy?"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, TypeVar

import click

from benchbox.cli.flags.kinds import Kind, Offered
from benchbox.cli.flags.stored import where_option
from benchbox.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


class Night(Kind):
    """A date, or "today"."""

    name = "date"

    def parse(self, text: str, *, flag: str) -> str:
        """The date in ISO 8601, or "today"; raises UsageError for anything else."""
        if text == "today":
            return text
        try:
            return datetime.date.fromisoformat(text).isoformat()
        except ValueError as error:
            raise UsageError(f"{flag} takes a date", values=f"got '{text}'", remedy="for example 2026-11-28") from error


policy_option = click.option(
    "--policy", "policy_file", metavar="FILE", help="The policy [default: benchbox.toml, if any]."
)


against_option = click.option(
    "--against",
    metavar="REFERENCE",
    type=Offered("rolling", "anchor"),
    help="Only this reference: rolling (the last good nights), anchor (levels in git), or a folder with levels or "
    "records, which nothing may be slower than [default: as the policy says].",
)


def night_options(function: F) -> F:
    """``--policy``, ``--night`` and ``--where``."""
    for option in reversed(
        (
            policy_option,
            click.option(
                "--night",
                metavar="DATE",
                type=Night(),
                help="The night that ended on this day (UTC), or 'today' [default: the newest that has records].",
            ),
            where_option(),
        )
    ):
        function = option(function)
    return function
