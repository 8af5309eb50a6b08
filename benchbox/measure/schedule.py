"""In which order do the processes of several cases run?

First every case's outputs are checked. Then rounds of timing: in each, every case gets one process, in an order drawn
anew, so that a machine that slows down or warms up hits all cases alike and not the last one most. Cases leave when
they have enough; memory and energy of each come at the end. A case is told as soon as it is complete.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from benchbox.measure.case import CaseRequest, CaseResult, CaseRun

Progress = Callable[[float, float, str], None]


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


def results_from_cases(
    requests: Sequence[CaseRequest], *, order: Order, progress: Progress
) -> Iterator[tuple[int, CaseResult]]:
    """Checks, times and weighs cases; yields the place of each and its result when it is complete.

    When the user ends the run (KeyboardInterrupt), what was timed of the unfinished cases is yielded first, flagged as
    interrupted, and then the interrupt goes on: minutes of measuring are not lost.

    Args:
        requests: the cases.
        order: of the processes in a round.
        progress: is told (steps done, steps in all, what runs now).
    """
    runs = [CaseRun(request) for request in requests]
    steps = _Steps(runs, progress)
    told: set[int] = set()
    try:
        for place, run in enumerate(runs):
            steps.tell(run, "checking outputs")
            run.check()
            if run.over:
                told.add(place)
                yield place, run.result()
        while waiting := [place for place, run in enumerate(runs) if not run.over and not run.timed_enough]:
            for turn in order(len(waiting)):
                run = runs[waiting[turn]]
                steps.tell(run, f"timing, process {run.timed + 1} of {max(run.request.plan.trials, run.timed + 1)}")
                run.time()
                if run.over:
                    told.add(waiting[turn])
                    yield waiting[turn], run.result()
        for place, run in enumerate(runs):
            if place not in told:
                steps.tell(run, _weighing(run))
                run.weigh()
                told.add(place)
                yield place, run.result()
    except KeyboardInterrupt:
        for place, run in enumerate(runs):
            if place not in told and run.timed and not run.over:
                told.add(place)
                yield place, run.result(interrupted=True)
        raise
    steps.finish()


def _weighing(run: CaseRun) -> str:
    plan = run.request.plan
    if plan.energy_windows:
        return f"memory, then energy in {plan.energy_windows} windows of {plan.energy_window_s:g} s"
    return "memory" if plan.memory_trials == 1 else f"memory, {plan.memory_trials} processes"


class _Steps:
    """How much of all cases is done: a check and a weighing count as one process each."""

    def __init__(self, runs: Sequence[CaseRun], progress: Progress) -> None:
        self._runs = runs
        self._progress = progress

    def tell(self, run: CaseRun, text: str) -> None:
        """Says what runs now."""
        title = f"{run.request.title}: " if run.request.title else ""
        self._progress(self._done(), self._total(), title + text)

    def finish(self) -> None:
        """Says that all is done."""
        self._progress(self._total(), self._total(), "done")

    def _done(self) -> float:
        return sum(self._all_of(run) if run.over else len(run.trials) for run in self._runs)

    def _total(self) -> float:
        return sum(self._all_of(run) for run in self._runs)

    def _all_of(self, run: CaseRun) -> int:
        plan = run.request.plan
        return 1 + max(plan.trials, run.timed) + plan.memory_trials + bool(plan.energy_windows)
