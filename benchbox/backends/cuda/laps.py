"""How long did the device work on each inference, and how long did the host take to ask for it?

A session puts one event before and one behind the work of each inference, on the stream of the work, and reads the host
clock around its own call. Events are made before a block of inferences and read after it: while the clock runs, nothing
is made and nothing is read. The time of an inference is the difference of its own two events.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, Protocol

BLOCK = 4096


class Events(Protocol):
    """What is needed of a CUDA layer, or of PyTorch, which has events of its own."""

    def event(self, *, blocking: bool = False) -> Any:
        """A new event that takes the time; who waits for it spins, or sleeps where it is blocking."""
        ...

    def record(self, event: Any, stream: Any) -> None:
        """Puts an event behind everything started on a stream."""
        ...

    def wait(self, event: Any) -> None:
        """Returns when an event has happened."""
        ...

    def elapsed_ns(self, start: Any, end: Any) -> int:
        """Time on the device between two events that have happened."""
        ...

    def destroy_event(self, event: Any) -> None:
        """Gives an event back."""
        ...


class EventLaps:
    """Pairs of events around the inferences of one session; see ``Laps`` in ``backends/base.py``."""

    block = BLOCK

    def __init__(self, layer: Events, stream: Any, *, blocking: bool = False) -> None:
        self._layer = layer
        self._sleeps = blocking
        self._stream = stream
        self._pairs: list[tuple[Any, Any]] = []
        self._enqueue = [0] * BLOCK
        self._next = 0
        self._reserved = 0
        self._lead = 0
        self._gpu_ns: list[int] = []
        self._enqueue_ns: list[int] = []
        self._window_ns = 0

    def reserve(self, count: int, *, lead: int = 0) -> None:
        """Makes the events for a block of at most ``count`` inferences behind ``lead`` ones, of ``BLOCK`` in all."""
        self._reserved, self._lead = min(count + lead, BLOCK), lead
        while len(self._pairs) < self._reserved:
            self._pairs.append((self._layer.event(), self._layer.event(blocking=self._sleeps)))

    def around(self, work: Callable[[], object]) -> None:
        """Starts one inference between its two events; without a reserved pair it is started and not timed."""
        index = self._next
        if index >= self._reserved:
            work()
            return
        start, end = self._pairs[index]
        record, stream = self._layer.record, self._stream
        record(start, stream)
        begin = perf_counter_ns()
        work()
        self._enqueue[index] = perf_counter_ns() - begin
        record(end, stream)
        self._next = index + 1

    def collect(self) -> None:
        """Reads the events of the block that has run; waits for the last one."""
        used = self._pairs[: self._next]
        if used:
            self._layer.wait(used[-1][1])
            self._window_ns += self._span_ns(len(used))
        self._gpu_ns += [self._layer.elapsed_ns(start, end) for start, end in used[self._lead :]]
        self._enqueue_ns += self._enqueue[self._lead : self._next]
        self._next = 0

    def _span_ns(self, count: int) -> int:
        """Device time from the first to the last event of ``count`` inferences; behind a lead, from the lead's end."""
        begin = self._pairs[self._lead - 1][1] if self._lead else self._pairs[0][0]
        return self._layer.elapsed_ns(begin, self._pairs[count - 1][1])

    def forget(self) -> None:
        """Drops what was collected so far: the warm-up is not measured."""
        self._gpu_ns.clear()
        self._enqueue_ns.clear()
        self._window_ns = 0

    def wait(self, index: int) -> None:
        """Returns when inference ``index`` of the block that runs, its lead included, is done."""
        self._layer.wait(self._pairs[index][1])

    @property
    def gpu_ns(self) -> tuple[int, ...]:
        """Time between the two events of each collected inference, in order."""
        return tuple(self._gpu_ns)

    @property
    def enqueue_ns(self) -> tuple[int, ...]:
        """Host time of the call that started each collected inference, in order."""
        return tuple(self._enqueue_ns)

    @property
    def h2d_ns(self) -> tuple[int, ...]:
        """Device time of copying in, of inferences that do; see ``queries.py``."""
        return ()

    @property
    def d2h_ns(self) -> tuple[int, ...]:
        """Device time of copying out, of inferences that do."""
        return ()

    @property
    def window_ns(self) -> int:
        """Device time from the first to the last event of each collected block, added up."""
        return self._window_ns

    def close(self) -> None:
        """Gives the events back."""
        for pair in self._pairs:
            for event in pair:
                self._layer.destroy_event(event)
        self._pairs.clear()
