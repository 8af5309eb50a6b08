"""How do sessions answer the queries that LoadGen issues?

LoadGen counts samples, sessions run batches. An inference answers up to a batch of samples; where fewer are left, or
wait, the rest of the batch is computed for nothing. In its own thread (``Direct``), a query's inferences run one after
another. Behind a queue (``Queue``), each session takes what waits, up to a batch, as soon as it is free. An answer is
given when its inference is done. A sample is the number of an image: image i lies in the batch of slot i // batch.

What goes wrong in a session must not pass through LoadGen, whose threads would end the process: it is kept, everything
still queried is answered at once, and the error is raised afterwards.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from benchbox.backends.base import DeviceSession
from benchbox.measure.loop.modes import meet_thread

if TYPE_CHECKING:
    from benchbox.backends.base import Session

# What a device is given before its end is waited for in mode offline: it never runs dry, and its queue never fills up.
OFFLINE_IN_FLIGHT = 64

Complete = Callable[[Sequence[int]], None]


class Answering(Protocol):
    """What LoadGen asks."""

    def issue(self, ids: Sequence[int], samples: Sequence[int]) -> None:
        """Takes a query: the ids to answer under, and the requested samples. Never raises."""
        ...

    def finish(self) -> None:
        """Ends when everything was answered; raises what went wrong."""
        ...


class Direct:
    """Answers a query in the thread that asks, before it returns.

    Args:
        session: with inputs resident in its slots.
        batch: samples in an inference.
        complete: is called with the ids that were answered.
        in_flight: inferences that a device is given before their end is waited for.
        at_once: answers are given when the whole query is done.
    """

    def __init__(
        self, session: Session, *, batch: int, complete: Complete, in_flight: int = 1, at_once: bool = False
    ) -> None:
        self._session = session
        self._batch = batch
        self._complete = complete
        # On a host an inference is done on return: a call that waits for nothing would only be in the time.
        self._in_flight = in_flight if isinstance(session, DeviceSession) else 0
        self._at_once = at_once
        self._answered = 0
        self._error: BaseException | None = None

    def issue(self, ids: Sequence[int], samples: Sequence[int]) -> None:
        """Runs the inferences of a query and answers it."""
        self._answered = 0
        try:
            if self._error is None:
                self._run(ids, samples)
        except BaseException as error:
            self._error = error
        self._answer(ids, len(ids))

    def finish(self) -> None:
        """Raises what went wrong."""
        if self._error is not None:
            raise self._error

    def _run(self, ids: Sequence[int], samples: Sequence[int]) -> None:
        enqueue, batch, count = self._session.enqueue, self._batch, len(ids)
        running = 0
        for first in range(0, count, batch):
            enqueue(samples[first] // batch)
            running += 1
            if running < self._in_flight and first + batch < count:
                continue
            if self._in_flight:
                self._session.synchronize()
            running = 0
            if not self._at_once:
                self._answer(ids, min(first + batch, count))

    def _answer(self, ids: Sequence[int], upto: int) -> None:
        """Answers what was not yet answered of a query; an answer given twice would end the process."""
        if self._answered < upto:
            self._complete(ids[self._answered : upto])
            self._answered = upto


class Queue:
    """Answers queries in threads of their own, one a session; asking never waits.

    Args:
        sessions: with inputs resident in their slots.
        batch: samples in an inference.
        complete: is called with the ids that were answered.
        slots: how many slots have inputs.
    """

    def __init__(self, sessions: Sequence[Session], *, batch: int, complete: Complete, slots: int = 1) -> None:
        self._batch = batch
        self._slots = slots
        self._complete = complete
        self._waiting: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._serve, args=(session,), name=f"session-{number}", daemon=True)
            for number, session in enumerate(sessions)
        ]
        # One after another: what a runtime captures in a session's thread, another that allocates would spoil.
        for thread in self._threads:
            self._met = threading.Event()
            thread.start()
            self._met.wait()

    def issue(self, ids: Sequence[int], samples: Sequence[int]) -> None:
        """Puts a query's samples into the queue."""
        for pair in zip(ids, samples, strict=True):
            self._waiting.put(pair)

    def finish(self) -> None:
        """Ends the threads and raises what went wrong in them."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def _serve(self, session: Session) -> None:
        wait = session.synchronize if isinstance(session, DeviceSession) else None
        try:
            if wait is not None:
                meet_thread(session, self._slots)
        except BaseException as error:
            self._error = error
        finally:
            self._met.set()
        while (first := self._waiting.get()) is not None:
            taken = [first, *self._more()]
            try:
                if self._error is None:
                    session.enqueue(first[1] // self._batch)
                    if wait is not None:
                        wait()
            except BaseException as error:
                self._error = error
            self._complete([number for number, _ in taken])

    def _more(self) -> list[tuple[int, int]]:
        """What waits, up to the rest of a batch."""
        taken: list[tuple[int, int]] = []
        while len(taken) < self._batch - 1:
            try:
                pair = self._waiting.get_nowait()
            except queue.Empty:
                break
            if pair is None:  # the end is for another thread, or for later
                self._waiting.put(None)
                break
            taken.append(pair)
        return taken
