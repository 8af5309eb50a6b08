"""How are the processes of a pair run that take turns?

All are started at once. The first has the turn at the beginning (``measure/loop/turns.py``); what is given to one that
has ended, this process hands on. All are waited for; where one fails, the others are ended, and their times with them.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchbox.errors import BenchboxError, MeasurementError
from benchbox.measure.loop.turns import TURNS, Turn
from benchbox.measure.process.trials import (
    LOOK_EVERY_S,
    TrialRequest,
    Watch,
    WorkerHungError,
    answer_of,
    folder_of,
    started,
    unwritable_answer,
)
from benchbox.schema.trial import Trial
from benchbox.temporary import temporary_folder

# How soon a turn is handed on that was given to a process that has ended: then nobody works meanwhile.
_HAND_ON_S = 0.01


def run_trials_together(requests: Sequence[TrialRequest]) -> tuple[Trial | BenchboxError | None, ...]:
    """Runs the trials in fresh processes that take turns.

    Returns:
        For each what it brought back, or the error that ended it; where one has failed, None for the others.

    Raises:
        StoreError: the requests or the answers could not be written.
    """
    with contextlib.ExitStack() as closing:
        turns = closing.enter_context(_turns(len(requests)))
        sides = [
            closing.enter_context(_side(replace(request, turn=(turn.folder, turn.place, turn.of)), each=len(requests)))
            for request, turn in zip(requests, turns.places, strict=True)
        ]
        turns.begin()
        answers: dict[int, Trial] = {}
        while len(answers) < len(sides):
            for place, side in enumerate(sides):
                if place in answers:
                    turns.hand_on(place)
                    continue
                try:
                    # With all of them there, a look at the first waits, and those at the others do not.
                    answer = side.look(_HAND_ON_S if answers else LOOK_EVERY_S if place == 0 else 0.0)
                except BenchboxError as error:
                    if isinstance(error, WorkerHungError) and turns.holder != place:
                        continue  # it waits for another one
                    return tuple(error if one == place else None for one in range(len(sides)))
                if answer is not None:
                    answers[place] = answer
        return tuple(answers[place] for place in range(len(sides)))


@dataclass(frozen=True)
class _Side:
    """A process that was started."""

    watch: Watch
    folder: Path

    def look(self, most_s: float) -> Trial | None:
        """Its trial, None while it runs; raises what ended it."""
        if (status := self.watch.look(most_s)) is None:
            return None
        answer = answer_of(self.folder, status)
        assert isinstance(answer, Trial), "a worker answers a trial with a trial"
        if not answer.counters.get(TURNS):
            raise MeasurementError(
                "a process took no turns",
                values="its benchbox is older than --ab-order paired",
                remedy="use --ab-order ABBA, or install this version for that Python too",
            )
        return answer


@contextlib.contextmanager
def _side(request: TrialRequest, *, each: int) -> Iterator[_Side]:
    # The others have as much time as this one.
    plan = replace(request.plan, timeout_s=request.plan.timeout_s * each)
    request = replace(request, plan=plan)
    with folder_of(request) as folder, started(request, folder) as wait:
        yield _Side(Watch(wait, request, folder), folder)


class _Turns:
    """The FIFOs of all places."""

    def __init__(self, folder: Path, count: int) -> None:
        self.places = tuple(Turn(folder=folder, place=place, of=count) for place in range(count))
        self._fifos = []
        for turn in self.places:
            os.mkfifo(turn.fifo(turn.place))
            self._fifos.append(os.open(turn.fifo(turn.place), os.O_RDWR | os.O_NONBLOCK))

    def begin(self) -> None:
        """Gives the first its turn."""
        self.places[0].give(0, self._fifos[0])

    def hand_on(self, place: int) -> None:
        """Gives the turn of one that has ended to the next."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._fifos[place], 1)
            self.places[0].give(place + 1, self._fifos[(place + 1) % len(self._fifos)])

    @property
    def holder(self) -> int:
        """Whose turn it is."""
        return self.places[0].holder

    def close(self) -> None:
        """Lets the FIFOs go."""
        for fifo in self._fifos:
            os.close(fifo)


@contextlib.contextmanager
def _turns(count: int) -> Iterator[_Turns]:
    with contextlib.ExitStack() as closing:
        try:
            folder = closing.enter_context(temporary_folder("benchbox-turns-"))
            turns = closing.enter_context(contextlib.closing(_Turns(folder, count)))
        except OSError as error:
            raise unwritable_answer(error, Path(tempfile.gettempdir())) from error
        yield turns
