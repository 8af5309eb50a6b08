"""How long does it take until one CPU sees what another has written?

Threads that share the work of an inference wait for each other at every layer, so this time is in every layer. It is
short between cores under one cache and several times longer across caches and sockets; under a hypervisor it changes
whenever the host moves a virtual CPU, and nothing else that a guest can see changes with it.

Two processes, each bound to a CPU, hand a byte to and fro through shared memory. Python's own loop is in the time (some
100 ns): it shows that CPUs moved apart, not how far apart they are.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from benchbox.temporary import temporary_folder

ROUNDS, BATCHES = 100, 30
MOST_PARTNERS = 7
# A partner that does not answer for so many looks (about half a second) is gone, or has no CPU.
LOOKS = 10_000_000
START_S = 5.0
# Bytes on separate cache lines, and the values with a meaning beside the numbers that are exchanged.
_OURS, _THEIRS, _SIZE = 0, 256, 4096
_READY, _NEXT = 9, 3
# The partner's whole program: on one CPU after the other it answers every byte with its double until it is sent on.
_PARTNER = f"""
import mmap, os, sys

def answer(theirs, ours):
    last = theirs[0]
    ours[0] = {_READY}
    while True:
        for _ in range({LOOKS}):
            if theirs[0] != last:
                break
        else:
            sys.exit(1)
        last = theirs[0]
        ours[0] = 2 * last
        if last == {_NEXT}:
            return

with open(sys.argv[1], "r+b") as file:
    memory = memoryview(mmap.mmap(file.fileno(), {_SIZE}))
for cpu in sys.argv[2:]:
    os.sched_setaffinity(0, {{int(cpu)}})
    answer(memory[{_OURS}:{_OURS + 1}], memory[{_THEIRS}:{_THEIRS + 1}])
"""


def handover_s(cpus: Sequence[int] | None = None) -> float | None:
    """Time from writing a byte on one CPU to seeing it on another, in seconds; over several CPUs their mean.

    From the first CPU that this process may use to up to seven others, of each the best of 30 means of 100 round trips:
    what disturbs it lengthens some, another place of the CPUs all. None where there is no other, where processes
    cannot be bound to CPUs, or where the partner got no time.

    Args:
        cpus: where to write, then where to see it, one after the other; by default those of this process.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    first, *others = sorted(os.sched_getaffinity(0)) if cpus is None else cpus
    if not others:
        return None
    partners = others[:: -(-len(others) // MOST_PARTNERS)]
    with contextlib.suppress(TimeoutError, OSError), _bound_to(first), _partner(partners) as memory:
        return statistics.fmean(_exchanged_s(memory) for _ in partners)
    return None


@contextlib.contextmanager
def _bound_to(cpu: int) -> Iterator[None]:
    """This thread on one CPU, and afterwards where it was."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _partner(cpus: Sequence[int]) -> Iterator[memoryview]:
    """The memory shared with a partner that goes from CPU to CPU."""
    with temporary_folder("benchbox-handover-") as folder:
        file = folder / "memory"
        file.write_bytes(bytes(_SIZE))
        with file.open("r+b") as opened, mmap.mmap(opened.fileno(), _SIZE) as shared, memoryview(shared) as memory:
            command = [sys.executable, "-I", "-S", "-c", _PARTNER, str(file), *map(str, cpus)]
            partner = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            try:
                yield memory
            finally:
                partner.kill()
                partner.wait()


def _exchanged_s(memory: memoryview) -> float:
    """Half of a round trip with a partner, which is then sent on to its next CPU."""
    with memory[_OURS : _OURS + 1] as ours, memory[_THEIRS : _THEIRS + 1] as theirs:
        deadline = time.monotonic() + START_S
        while theirs[0] != _READY:
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(0.001)
        times = []
        for _ in range(BATCHES):
            begin = time.perf_counter_ns()
            _exchange(ours, theirs, (1, 2) * (ROUNDS // 2))
            times.append(time.perf_counter_ns() - begin)
        _exchange(ours, theirs, (_NEXT,))
    return min(times) * 1e-9 / ROUNDS / 2


def _exchange(ours: memoryview, theirs: memoryview, values: Sequence[int]) -> None:
    """Hands over values one after another, each when the one before was answered."""
    for value in values:
        ours[0], wanted = value, 2 * value
        for _ in range(LOOKS):
            if theirs[0] == wanted:
                break
        else:
            raise TimeoutError
