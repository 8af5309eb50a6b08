"""Which of a worker's child processes escaped its process group?

A process that a network starts may make a session of its own (a daemon): killing the worker's group does not reach it.
Everything that a worker starts inherits its environment, and with it a mark by which it is
found in /proc.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from pathlib import Path

MARK = "BENCHBOX_TRIAL"
_PROCESSES = Path("/proc")
_TRIES, _BETWEEN_S = 50, 0.02


def new_mark() -> str:
    """A value for the environment variable ``MARK`` that no other trial has."""
    return secrets.token_hex(16)


def marked(mark: str) -> tuple[int, ...]:
    """Processes that carry a mark in the environment that they were started with; none where there is no /proc."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in _PROCESSES.glob("[0-9]*"):
        # Others' processes, and those that end meanwhile, cannot be read.
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return tuple(found)


def end_strays(mark: str) -> None:
    """Kills every process that carries the mark; gives up after ``_TRIES``."""
    for _ in range(_TRIES):
        strays = marked(mark)
        if not strays:
            return
        for process in strays:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(_BETWEEN_S)
