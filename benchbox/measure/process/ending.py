"""How is a process waited for without looking at it again and again?

The kernel wakes who waits for a process descriptor when the process ends. ``Popen.wait`` with a time limit looks every
50 ms instead: it would wake this process twenty times a second while a worker measures, and see the end late.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
from collections.abc import Callable, Iterator

Wait = Callable[[float], int | None]
"""Waits for so many seconds at most and returns the exit status of the process, None while it runs."""


@contextlib.contextmanager
def waiting_for(process: subprocess.Popen[bytes]) -> Iterator[Wait]:
    """What waits for a process that this one started; by looking where there are no process descriptors."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, an old kernel, or no descriptor to be had
        yield lambda seconds: _looked(process, seconds)
        return
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)

    def wait(seconds: float) -> int | None:
        return process.wait() if poll.poll(max(0, round(seconds * 1000))) else process.poll()

    try:
        yield wait
    finally:
        os.close(descriptor)


def _looked(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
