"""How many requests are in flight, and what happens between them? One issuer a mode.

``isolated``: one request, the next when it is done. ``pipelined``: on a device, two; the next is started before the
last one's end is waited for, so that the device never waits for the host; a time is from a request's start to its own
end and holds the wait behind the request before it, so the first two after each pause are left out. ``batched``: groups
of requests started together and waited for together; a time is a group's, divided by its size: for networks so short
that a clock read is a part of them. ``cold``: one request, and before each, with the clock stopped, caches are filled
with something else. ``concurrent``: as many sessions as streams, each in a thread of its own with one request in
flight. ``offline``, ``single-stream``, ``multi-stream`` and ``server`` are issued by MLPerf LoadGen
(``measure/loadgen/``), not from here.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from benchbox.backends.base import DeviceSession
from benchbox.errors import UsageError
from benchbox.measure.loop.timing import Block, blocks_of_laps, collector_off, isolated_block, no_times
from benchbox.schema.plan import LOADGEN_MODES, MeasurementPlan, Mode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchbox.backends.base import Session

# Where the kernel does not report the size of the last-level cache: larger than that of any processor sold so far.
UNKNOWN_CACHE_BYTES = 1 << 30
# Inferences of mode pipelined that are left out at the beginning of each block: the first has nothing in front of it,
# and the second starts behind one that had not.
PIPELINE_LEAD = 2
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


class Issuer(Protocol):
    """Issues requests as its mode says."""

    def now_ns(self) -> int:
        """The session's clock."""
        ...

    def block(self, count: int) -> Block:
        """``count`` samples."""
        ...


def issuer_for(sessions: Sequence[Session], plan: MeasurementPlan) -> Issuer:
    """The issuer of a plan's mode.

    Args:
        sessions: open, with inputs resident in every slot; ``sessions_of(plan)`` of them.
        plan: its mode, slots and sizes.

    Raises:
        UsageError: the mode has no meaning for this kind of session.
    """
    session = sessions[0]
    if plan.mode is Mode.ISOLATED:
        return _Single(session, functools.partial(isolated_block, session, slots=plan.input_slots))
    if plan.mode is Mode.BATCHED:
        return _Single(session, functools.partial(_batched_block, session, slots=plan.input_slots, group=plan.group))
    if plan.mode is Mode.COLD:
        return _Single(session, functools.partial(_cold_block, session, slots=plan.input_slots, flush=_flush(session)))
    if plan.mode is Mode.CONCURRENT:
        return _Concurrent(sessions, slots=plan.input_slots)
    if plan.mode is Mode.PIPELINED and isinstance(session, DeviceSession):
        lead = 0 if plan.like else PIPELINE_LEAD
        return _Single(session, functools.partial(_pipelined_block, session, slots=plan.input_slots, lead=lead))
    raise UsageError(f"this backend does not support --mode {plan.mode}", remedy="use --mode isolated")


@contextlib.contextmanager
def issuing(sessions: Sequence[Session], plan: MeasurementPlan) -> Iterator[Issuer]:
    """``issuer_for``, with its threads ended afterwards."""
    issuer = issuer_for(sessions, plan)
    try:
        yield issuer
    finally:
        if isinstance(issuer, _Concurrent):
            issuer.close()


def sessions_of(plan: MeasurementPlan) -> int:
    """How many sessions a plan's mode needs at once."""
    return plan.streams if plan.mode in {Mode.CONCURRENT, Mode.SERVER} else 1


def mode_refusal(mode: Mode, *, device: str, batch: int = 1, streams: int = 1) -> str | None:
    """Why a mode has no meaning on a kind of device ("cpu", "cuda", "virtual") at a batch size; None if it has one.

    ``streams`` are the samples of a query in mode multi-stream.
    """
    if mode is Mode.PIPELINED and device != "cuda":
        return "an inference on a CPU is done when its call returns: there is nothing to overlap"
    if mode in LOADGEN_MODES and device == "virtual":
        return "LoadGen runs in real time, a virtual clock does not"
    if mode is Mode.SINGLE_STREAM and batch != 1:
        return f"its queries have one sample, --batch {batch} would compute {batch}"
    if mode is Mode.MULTI_STREAM and streams % batch:
        return f"its queries of {streams} samples are not a multiple of --batch {batch} (--streams)"
    return None


class _Single:
    """One session."""

    def __init__(self, session: Session, block: Callable[[int], Block]) -> None:
        self.now_ns = session.stopwatch.now_ns
        self.block = block


class _Concurrent:
    """Several sessions, each in a thread of its own; runtimes release the interpreter lock while they compute."""

    def __init__(self, sessions: Sequence[Session], *, slots: int) -> None:
        self.now_ns = sessions[0].stopwatch.now_ns
        self._sessions = sessions
        self._slots = slots
        # The same thread for a session in all blocks: runtimes keep workers, and CUDA graphs, by the thread that calls.
        self._threads = [ThreadPoolExecutor(1) for _ in sessions]
        self._warm = False

    def block(self, count: int) -> Block:
        """``count`` samples in all, shared evenly and in the order in which they ended, whichever session ran them.

        Each thread's clock runs only while all are at work.
        """
        self._warm_up()
        share = -(-count // len(self._sessions))
        together = Barrier(len(self._sessions))
        runs: list[Future[_Span]] = []
        with collector_off():
            try:
                for session, thread in zip(self._sessions, self._threads, strict=True):
                    runs.append(thread.submit(self._run, session, share, together))
            except RuntimeError:  # no more threads: those that did start must not wait for the others
                together.abort()
                raise
            failures = [failure for run in runs if (failure := run.exception()) is not None]
        if failures:
            # A stream that failed before the start breaks the barrier of the others: its error is the cause.
            raise next((failure for failure in failures if not isinstance(failure, BrokenBarrierError)), failures[0])
        spans = [run.result() for run in runs]
        ends, times = (
            np.concatenate(parts) for parts in zip(*((span.ends, span.times) for span in spans), strict=True)
        )
        window_ns = max(span.ends[-1] for span in spans) - min(span.start for span in spans)
        return Block(times_ns=times[np.argsort(ends, kind="stable")], window_ns=int(window_ns))

    def _warm_up(self) -> None:
        """Lets each session meet its thread, one after another.

        What a runtime captures there, another thread that allocates for the first time would spoil.
        """
        if self._warm:
            return
        self._warm = True
        for session, thread in zip(self._sessions, self._threads, strict=True):
            if isinstance(session, DeviceSession):
                thread.submit(meet_thread, session, self._slots).result()

    def close(self) -> None:
        """Ends the threads."""
        for thread in self._threads:
            thread.shutdown()

    def _run(self, session: Session, count: int, together: Barrier) -> _Span:
        try:
            now, enqueue, synchronize = session.stopwatch.now_ns, session.enqueue, session.synchronize
            times, ends = no_times(count), no_times(count)
            together.wait()
        except BaseException:
            together.abort()
            raise
        start = now()
        for index in range(count):
            begin = now()
            enqueue(index % self._slots)
            synchronize()
            end = now()
            times[index] = end - begin
            ends[index] = end
        return _Span(start, np.frombuffer(ends, dtype=np.int64), np.frombuffer(times, dtype=np.int64))


def meet_thread(session: Session, slots: int) -> None:
    """One inference a slot in the thread that will run the session."""
    for slot in range(slots):
        session.enqueue(slot)
        session.synchronize()


class _Span(NamedTuple):
    """What one session did in a block: its start, and end and duration of each of its inferences (ns)."""

    start: int
    ends: NDArray[np.int64]
    times: NDArray[np.int64]


def _batched_block(session: Session, count: int, *, slots: int, group: int) -> Block:
    def run(size: int) -> Block:
        now, enqueue, synchronize = session.stopwatch.now_ns, session.enqueue, session.synchronize
        order = [index % slots for index in range(group)]
        times = no_times(size)
        start = now()
        for index in range(size):
            begin = now()
            for slot in order:
                enqueue(slot)
            synchronize()
            end = now()
            times[index] = (end - begin) // group
        return Block(window_ns=now() - start, times_ns=np.frombuffer(times, dtype=np.int64))

    return blocks_of_laps(session, count, run, each=group)


def _pipelined_block(session: DeviceSession, count: int, *, slots: int, lead: int) -> Block:
    """The window goes from the end of the lead, else from the first start, to the last end."""

    def run(size: int) -> Block:
        now, enqueue, wait = session.stopwatch.now_ns, session.enqueue, session.laps.wait
        starts, ends = no_times(lead + size), no_times(lead + size)
        start = now()
        for index in range(lead + size):
            starts[index] = now()
            enqueue(index % slots)
            if index:
                wait(index - 1)
                ends[index - 1] = now()
        session.synchronize()
        ends[-1] = now()
        times = np.frombuffer(ends, dtype=np.int64) - np.frombuffer(starts, dtype=np.int64)
        return Block(times_ns=times[lead:], window_ns=ends[-1] - (ends[lead - 1] if lead else start))

    return blocks_of_laps(session, count, run, lead=lead)


def _cold_block(session: Session, count: int, *, slots: int, flush: Callable[[], object]) -> Block:
    def run(size: int) -> Block:
        now, enqueue, synchronize = session.stopwatch.now_ns, session.enqueue, session.synchronize
        times = no_times(size)
        for index in range(size):
            flush()
            begin = now()
            enqueue(index % slots)
            synchronize()
            end = now()
            times[index] = end - begin
        # Flushing is in no sample and in no window.
        return Block(window_ns=sum(times), times_ns=np.frombuffer(times, dtype=np.int64))

    return blocks_of_laps(session, count, run)


def _flush(session: Session) -> Callable[[], object]:
    """What fills the caches with something else: on a device its own, on a host a sweep over twice the last cache."""
    if isinstance(session, DeviceSession):
        return session.flush_cache
    sweep = np.zeros(2 * last_cache_bytes(), dtype=np.uint8)
    return lambda: np.add(sweep, 1, out=sweep)


def last_cache_bytes(folder: Path = _CACHES) -> int:
    """The size of the last-level cache as the kernel reports it, else ``UNKNOWN_CACHE_BYTES``."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    sizes = [
        int(text[:-1]) * units[text[-1]]
        for file in folder.glob("index*/size")
        if (text := file.read_text().strip())[-1:] in units and text[:-1].isdigit()
    ]
    return max(sizes, default=UNKNOWN_CACHE_BYTES)
