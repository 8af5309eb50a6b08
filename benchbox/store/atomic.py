"""How is a file written so that nobody ever sees half of it, and made by one process only?"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

# What a system says where a file may be written and not be replaced.
_NOT_REPLACED = frozenset({errno.EACCES, errno.EBUSY, errno.EPERM, errno.EROFS})


@contextlib.contextmanager
def draft_of(target: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary path beside the target to write to; it becomes the target when the block ends without an error.

    The folder is made if need be; after an error nothing remains of the draft. Raises OSError as the file system does.

    Args:
        target: the file to be.
        durable: waits until the bytes have reached the disk. Without it a power cut may leave a damaged file: only for
            what can be made again and is checked byte by byte before it is used.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        yield draft
        if durable:
            with draft.open("rb") as written:
                os.fsync(written.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Writes a file that a user named: whole or not at all, in UTF-8, with its own mode, or that of the umask.

    A device, a FIFO and a file with several hard links are written through, a symbolic link to where it points: none of
    them is replaced, and no folder is made. So is a file that cannot be replaced: one that is mounted into a container,
    or lies in a folder that others own. Raises OSError as the file system does.
    """
    if _is_written_through(target):
        _write_through(target, text)
        return
    real = target.resolve()
    real.parent.stat()
    try:
        with draft_of(real) as draft:
            draft.write_text(text, encoding="utf-8")
            with contextlib.suppress(FileNotFoundError):
                draft.chmod(stat.S_IMODE(real.stat().st_mode))
    except OSError as error:
        too_long = error.errno == errno.ENAMETOOLONG  # the draft's name, which is longer than the file's own
        if not too_long and not (error.errno in _NOT_REPLACED and real.exists()):
            raise
        _write_through(real, text)


def _write_through(target: Path, text: str) -> None:
    with target.open("w", encoding="utf-8") as file:
        file.write(text)


def _is_written_through(target: Path) -> bool:
    try:
        state = target.stat()
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(state.st_mode) or state.st_nlink > 1 or target.parts[:2] in {("/", "dev"), ("/", "proc")}


def drafts_of(target: Path) -> tuple[Path, ...]:
    """What killed processes left of ``draft_of(target)``; only its maker may have one while it holds the lock."""
    # Lock and draft of one target share the beginning of their names: a draft goes on with a process id.
    start = f".{target.name}."
    return tuple(path for path in target.parent.glob(f"{start}*") if path.name[len(start) :].split("-")[0].isdigit())


@contextlib.contextmanager
def locked(path: Path, *, waiting: Callable[[], None] | None) -> Iterator[bool]:
    """Holds a lock file, made if need be and removed afterwards; the system frees it if this process dies.

    Args:
        path: of the lock file.
        waiting: is called once if another process holds it, before waiting for it; None: do not wait, yield False.

    Raises OSError as the file system does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _taken(handle, waiting):
                yield False
                return
            if not _is_still(path, handle):
                continue  # its holder removed the file while we waited: what we hold guards nothing
            try:
                yield True
            finally:
                path.unlink(missing_ok=True)
            return
        finally:
            os.close(handle)


def _taken(handle: int, waiting: Callable[[], None] | None) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if waiting is None:
            return False
        waiting()
        fcntl.flock(handle, fcntl.LOCK_EX)
    return True


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
