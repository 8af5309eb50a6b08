"""What does a person want to see of records: which columns, and how many notes?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from benchbox.cli.flags.kinds import COLUMNS
from benchbox.cli.flags.shared import grouped

if TYPE_CHECKING:
    from benchbox.report.records.base import View

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class ViewFlags:
    """The options as given; ``columns`` are titles."""

    wide: bool
    columns: tuple[str, ...] | None
    notes: bool

    def view(self, *, quick: bool = False, paired: bool = False) -> View:
        """What they ask for; ``quick`` and ``paired`` where the records were taken with --quick or --ab just now."""
        from benchbox.report.records.base import View

        return View(wide=self.wide, columns=self.columns or (), notes=self.notes, quick=quick, paired=paired)


def view_options(function: F) -> F:
    """``--wide``, ``--columns`` and ``--notes`` as one argument ``shown``."""
    return grouped(
        "shown",
        ViewFlags,
        click.option("--wide", is_flag=True, help="Every column, in several tables where one does not fit."),
        click.option(
            "--columns",
            metavar="NAME,...",
            type=COLUMNS,
            help="These columns in this order, for example model,precision,p50,MACs.",
        ),
        click.option("--notes", is_flag=True, help="Every flag in words, not only the most severe."),
    )(function)
