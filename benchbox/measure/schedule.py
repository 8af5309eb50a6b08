"""In which order do the processes of several cases run?

First every case's outputs are checked. Then rounds of timing: in each, every case gets one process, in an order drawn
anew, so that a machine that slows down or warms up hits all cases alike and not the last one most. Cases leave when
they have enough; memory and energy of each come at the end. A result is kept as soon as its case is complete. In a
paired round the processes of all cases are there at once and take turns; then all cases go on until each has enough.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Protocol, TypeVar

from benchbox.errors import BenchboxError
from benchbox.measure.case import CaseRequest, CaseResult, CaseRun, time_together
from benchbox.progress import Step

Kept = TypeVar("Kept")


class Order(Protocol):
    """Decides in which order the cases of a round run."""

    def __call__(self, count: int) -> list[int]:
        """A permutation of ``range(count)``."""
        ...


def drawn_anew(seed: int) -> Order:
    """A new random order each round."""
    draw = random.Random(seed)
    return lambda count: draw.sample(range(count), count)


def abba() -> Order:
    """Forward and backward in turn: two cases go A B, B A, A B, ..., so that a steady drift hits both alike."""
    backward = True

    def order(count: int) -> list[int]:
        nonlocal backward
        backward = not backward
        return list(reversed(range(count))) if backward else list(range(count))

    return order


def measure_in_turn(
    requests: Sequence[CaseRequest],
    *,
    order: Order,
    progress: Step,
    keep: Callable[[int, CaseResult], Kept],
    paired: bool = False,
) -> Generator[Kept, None, None]:
    """Checks, times and weighs cases; yields what ``keep`` makes of each result when the case is complete.

    When the user ends the run (KeyboardInterrupt), wherever that hits, what was timed of the unfinished cases is kept
    first, flagged as interrupted, and then the interrupt is raised again: minutes of measuring are not lost. A consumer
    that was hit itself must close this generator (``contextlib.closing``): then they are kept, and not yielded.

    Args:
        requests: the cases.
        order: of the processes in a round.
        progress: is called with (steps done, steps in all, what runs now).
        keep: stores the result of the case at a place in ``requests``. It is called again for a result whose storing
            was interrupted.
        paired: the processes of a round are there at once and take turns, in the order.
    """
    runs = [CaseRun(request) for request in requests]
    steps = _Steps(runs, progress)
    complete: set[int] = set()
    kept: set[int] = set()

    def keep_result(place: int) -> Kept:
        made = keep(place, runs[place].result(interrupted=place not in complete))
        kept.add(place)
        return made

    try:
        for place in _in_turn(runs, order, steps, paired=paired):
            complete.add(place)
            yield keep_result(place)
    except (KeyboardInterrupt, GeneratorExit) as end:
        made = []
        for place, run in enumerate(runs):
            if place not in kept and (place in complete or (run.timed and not run.over)):
                # One that cannot be stored must not take the others with it.
                with contextlib.suppress(BenchboxError):
                    made.append(keep_result(place))
        if isinstance(end, KeyboardInterrupt):
            yield from made
        raise
    steps.finish()


def _in_turn(runs: Sequence[CaseRun], order: Order, steps: _Steps, *, paired: bool) -> Iterator[int]:
    """Runs all processes; yields the place of each case when its last process has ended."""
    for place, run in enumerate(runs):
        steps.show(run, "checking outputs")
        run.check()
        if run.over:
            yield place
    checked = [place for place, run in enumerate(runs) if not run.over]
    while waiting := [place for place in checked if not runs[place].over and not runs[place].timed_enough]:
        if paired:
            yield from _paired_round([place for place in checked if not runs[place].over], runs, order, steps)
            continue
        for turn in order(len(waiting)):
            run = runs[waiting[turn]]
            steps.show(run, f"timing, process {run.timed + 1} of {max(run.request.plan.trials, run.timed + 1)}")
            run.time()
            if run.over:
                yield waiting[turn]
    for place in [place for place in checked if not runs[place].over]:
        if text := _weighing(runs[place]):
            steps.show(runs[place], text)
        runs[place].weigh()
        yield place


def _paired_round(places: Sequence[int], runs: Sequence[CaseRun], order: Order, steps: _Steps) -> Iterator[int]:
    """Times a process of each case, all at once and in turns; yields the places of those that an error has ended."""
    group = [places[turn] for turn in order(len(places))]
    first = runs[group[0]]
    steps.show(first, f"timing beside the others, process {first.timed + 1} of {first.request.plan.trials}")
    time_together([runs[place] for place in group])
    yield from (place for place in group if runs[place].over)


def _weighing(run: CaseRun) -> str:
    """What follows the timing, "" where nothing does."""
    plan = run.request.plan
    parts = []
    if plan.memory_trials:
        parts.append("memory" if plan.memory_trials == 1 else f"memory, {plan.memory_trials} processes")
    if plan.energy_windows:
        parts.append(f"energy in {plan.energy_windows} windows of {plan.energy_window_s:g} s")
    return ", then ".join(parts)


class _Steps:
    """How much of all cases is done: every process counts as one step."""

    def __init__(self, runs: Sequence[CaseRun], progress: Step) -> None:
        self._runs = runs
        self._progress = progress

    def show(self, run: CaseRun, text: str) -> None:
        """Reports what runs now."""
        title = f"{run.request.title}: " if run.request.title else ""
        self._progress(self._done(), self._total(), title + text)

    def finish(self) -> None:
        """Reports that all is done."""
        self._progress(self._total(), self._total(), "done")

    def _done(self) -> float:
        return sum(self._all_of(run) if run.over else len(run.trials) for run in self._runs)

    def _total(self) -> float:
        return sum(self._all_of(run) for run in self._runs)

    def _all_of(self, run: CaseRun) -> int:
        plan = run.request.plan
        return 1 + max(plan.trials, run.timed) + plan.memory_trials + bool(plan.energy_windows)
