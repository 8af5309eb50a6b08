"""What may a worker do besides its work? Requests that act when a worker reads them, without PyTorch's seconds."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from benchbox.measure.process.trials import TrialRequest
from benchbox.schema.model import ModelSource


def acting(request: TrialRequest, way: str) -> TrialRequest:
    """The same request; the process that unpickles it first does what the function of that name here does."""
    return dataclasses.replace(request, source=_Acting(way, request.source))  # type: ignore[arg-type]


def let_workers_import_this(patch: pytest.MonkeyPatch) -> None:
    """Workers unpickle the name of a function in this file."""
    path = (str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""))
    patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))


class _Acting:
    def __init__(self, way: str, source: ModelSource) -> None:
        self.way, self.source = way, source

    def __reduce__(self) -> tuple[Any, ...]:
        return acted, (self.way, self.source)


def acted(way: str, source: ModelSource) -> ModelSource:
    globals()[way]()
    return source


def silent() -> None: ...


def abort() -> None:
    os.abort()


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    time.sleep(100)


def leave() -> None:
    os._exit(3)


def memory() -> None:
    raise MemoryError


def error() -> None:
    raise RuntimeError("layer 7 is broken")


def chatter() -> None:
    print("words on standard output", flush=True)


def child() -> None:
    Path("child.pid").write_text(str(subprocess.Popen(["sleep", "100"]).pid))
    time.sleep(100)


def orphan() -> None:
    Path("child.pid").write_text(str(subprocess.Popen(["sleep", "100"]).pid))
    os._exit(3)


def native_words() -> None:
    library = ctypes.CDLL(None)
    library.printf(b"native words %d\n", 42)
    library.fflush(None)


def closing() -> None:
    for handle in (0, 1, 2):
        os.close(handle)


def much() -> None:
    os.write(2, (b"x" * 99 + b"\n") * 50_000)


def endless() -> None:
    while True:
        os.write(2, b"y" * (1 << 16))


def leaving() -> None:
    sys.exit(0)


def replaced() -> None:
    os.execv("/bin/echo", ["echo", "I am somebody else"])


def replaced_by_a_thread() -> None:
    thread = threading.Thread(target=lambda: os.execv("/bin/echo", ["echo", "a thread did it"]))
    thread.start()
    thread.join()


def thread_that_stays() -> None:
    threading.Thread(target=lambda: time.sleep(1000)).start()


def daemon() -> None:
    # Output goes where the worker's goes.
    started = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    Path("daemon.pid").write_text(str(started.pid))


def forked() -> None:
    if os.fork() == 0:
        os.setsid()
        Path("forked.pid").write_text(str(os.getpid()))
        time.sleep(1000)
        os._exit(3)
