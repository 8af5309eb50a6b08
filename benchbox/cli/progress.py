"""How is the progress of long work shown?

A bar on a terminal, one plain line per step otherwise; always on standard error, so that standard output holds results
only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchbox.cli.signals import raise_if_signalled
from benchbox.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class _Interruptible:
    """Shows progress, and raises KeyboardInterrupt if the command got a signal to end."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown

    def say(self, text: str) -> None:
        raise_if_signalled()
        self._shown.say(text)

    def step(self, done: float, total: float, text: str) -> None:
        raise_if_signalled()
        self._shown.step(done, total, text)


class _Lines:
    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    def step(self, done: float, total: float, text: str) -> None:
        if total:  # a case that fails before its first step has none
            self.say(f"[{int(done)}/{int(total)}] {text}")


class _Bar:
    def __init__(self, bar: RichProgress, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def say(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False)

    def step(self, done: float, total: float, text: str) -> None:
        self._bar.update(self._task, completed=done, total=total, description=text, visible=True)
        self._bar.refresh()


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """A bar if standard error is a terminal that can draw one, else plain lines."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield _Interruptible(_Lines())
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # Drawn at steps only: a thread that redraws ten times a second would disturb what is being measured.
    with RichProgress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        yield _Interruptible(_Bar(bar, bar.add_task("", total=None, visible=False)))
