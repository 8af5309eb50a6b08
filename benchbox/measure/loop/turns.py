"""How do processes that are to be compared share a machine, a moment each?

A machine that others use too is faster in one second than in the next, by more than what a comparison looks for:
whole processes one after the other meet another machine each. So those of a pair are there at once, and only one of
them works: after each moment (``MeasurementPlan.turn_s``) it gives the turn to the next and waits until it comes round.
What lasts longer than a moment slows both alike. Duet benchmarking (Bulej et al., ICPE 2020) pairs likewise, but lets
both run at once, each on a half of the machine.

The turn is a byte in a FIFO of each process: who reads it has the turn. ``process/together.py`` makes the FIFOs, and
hands on what is given to a process that has ended.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from benchbox.measure.loop.modes import Issuer
    from benchbox.measure.loop.timing import Block

# The caches are the other's at first: so long, and one inference at least, nothing is timed.
RETURN_S = 0.02
# ONNX Runtime's threads spin for some 60 ms. Looked at so often, and waited for so long at most.
REST_S, LONGEST_REST_S = 0.005, 0.25
# Counter of a trial: how many turns it had.
TURNS = "turns"
# The file that says whose turn it is: of several that wait, only this one can be what holds up all.
HOLDER = "holder"


class Turn(NamedTuple):
    """The place of a process among ``of`` that take turns, by FIFOs in a folder; the first one begins."""

    folder: Path
    place: int
    of: int

    def fifo(self, place: int) -> Path:
        """Where a process, the first one after the last, gets its turn."""
        return self.folder / str(place % self.of)

    def give(self, place: int, fifo: int) -> None:
        """Gives the turn to the process of a place, whose FIFO is open."""
        draft = self.folder / f"{HOLDER}.{self.place}"
        draft.write_text(str(place % self.of))
        draft.replace(self.folder / HOLDER)
        os.write(fifo, b"t")

    @property
    def holder(self) -> int:
        """Whose turn it is."""
        return int((self.folder / HOLDER).read_text())


class Turns:
    """A process's own turns; ``waited_ns`` is how long it has waited for them, ``count`` how many it had."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        # Opened for both, a FIFO has no end while nobody else has it open.
        self._own = os.open(turn.fifo(turn.place), os.O_RDWR)
        self._next = os.open(turn.fifo(turn.place + 1), os.O_RDWR)
        self.waited_ns = 0
        self.count = 0

    def take(self) -> None:
        """Waits for the turn."""
        begin = time.perf_counter_ns()
        os.read(self._own, 1)
        self.waited_ns += time.perf_counter_ns() - begin
        self.count += 1

    def give(self) -> None:
        """Gives the turn to the next when this process's own threads rest."""
        _rest()
        self._turn.give(self._turn.place + 1, self._next)

    def close(self) -> None:
        """Leaves."""
        os.close(self._own)
        os.close(self._next)

    def around(self, issuer: Issuer) -> Issuer:
        """The issuer by a clock that stands while others have the turn."""
        return _Standing(issuer, self)

    def change(self, issuer: Issuer, *, typical_ns: float) -> None:
        """Lets the others work, and is warm again afterwards."""
        self.give()
        self.take()
        issuer.block(max(1, int(RETURN_S * 1e9 / max(1.0, typical_ns))))


class _Standing:
    """An issuer whose clock stands while others have the turn."""

    def __init__(self, issuer: Issuer, turns: Turns) -> None:
        self._issuer = issuer
        self._turns = turns

    def now_ns(self) -> int:
        return self._issuer.now_ns() - self._turns.waited_ns

    def block(self, count: int) -> Block:
        return self._issuer.block(count)


def _rest() -> None:
    """Waits until this process uses no CPU: threads of a pool spin for a while after an inference."""
    end = time.perf_counter() + LONGEST_REST_S
    while time.perf_counter() < end:
        used_s = time.process_time()
        time.sleep(REST_S)
        if time.process_time() - used_s < REST_S / 5:
            return


@contextlib.contextmanager
def taking_turns(turn: tuple[Path, int, int] | None) -> Iterator[Turns | None]:
    """Inside, this process has the turn, or gives it away by itself; None where it takes no turns."""
    if turn is None:
        yield None
        return
    turns = Turns(Turn(*turn))
    try:
        turns.take()
        turns.waited_ns = 0  # nothing of this process has begun before
        try:
            yield turns
        finally:
            turns.give()
    finally:
        turns.close()
