"""How is a machine kept for one measurement at a time?

A lock file of the whole host. Its lock belongs to the open file, which children inherit: it is held until the last of
them has ended, also when the one who took it was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchbox.errors import MeasurementError

_NAME = "benchbox.host.lock"
_SHARED = Path("/run/lock")


def lock_path() -> Path:
    """The lock file of this host: in /run/lock where that can be written, else in the folder for temporary files."""
    folder = _SHARED if os.access(_SHARED, os.W_OK) else Path(tempfile.gettempdir())
    return folder / _NAME


@contextlib.contextmanager
def host_lock(path: Path | None = None, *, waiting: Callable[[str], None] | None) -> Iterator[int]:
    """Holds the host; yields the descriptor that children must inherit.

    Args:
        path: of the lock file.
        waiting: is called once with who holds it, before waiting for it; None: do not wait.

    Raises:
        MeasurementError: another process holds it and ``waiting`` is None, or the file cannot be opened.
    """
    path = lock_path() if path is None else path
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise MeasurementError("the host cannot be locked", values=f"{path}: {error.strerror}") from error
    try:
        _take(handle, path, waiting)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield handle
    finally:
        os.close(handle)


def _take(handle: int, path: Path, waiting: Callable[[str], None] | None) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
        if waiting is None:
            raise MeasurementError(
                "another sweep measures on this machine",
                values=f"{path} is held by process {holder} or its children",
                remedy="wait for it; two measurements at once disturb each other",
            ) from None
        waiting(f"process {holder}, or a child of it, measures on this machine: waiting for {path}")
        fcntl.flock(handle, fcntl.LOCK_EX)
