"""How does a command end in order when a signal asks it to: Ctrl-C, SIGTERM, or a terminal that closes?"""

from __future__ import annotations

import math
import signal
import threading
import time
from dataclasses import dataclass
from types import FrameType

# A second signal within this time is a repeat: a double Ctrl-C, or a shell and its parent that both signalled.
REPEAT_S = 5.0
_RETRY_S = 0.02


@dataclass
class _Shutdown:
    """The signals that this command got.

    ``first_at`` is when the shutdown was requested, ``last_at`` when the newest signal came (monotonic seconds).
    ``pending`` says that the KeyboardInterrupt is put off until an import is over, ``finished`` that the command has
    ended.
    """

    first_at: float = -math.inf
    last_at: float = -math.inf
    pending: bool = False
    finished: bool = False


_shutdown = _Shutdown()


def end_in_order_on_signal() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt.

    Workers are killed then, clocks are unlocked, and finished measurements are kept. That takes a moment. A repeated
    signal within ``REPEAT_S`` does not interrupt it: the cleanup would stay incomplete. A signal that was ignored
    (nohup, a background job) stays ignored.
    """
    _shutdown.first_at = _shutdown.last_at = -math.inf
    _shutdown.pending = _shutdown.finished = False
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}:
            signal.signal(number, _on_signal)
    if signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
        signal.signal(signal.SIGALRM, _on_retry)


def was_signalled() -> bool:
    """Whether this command got a signal to end."""
    return _shutdown.last_at > -math.inf


def raise_if_signalled() -> None:
    """Raises KeyboardInterrupt if this command got a signal to end.

    Callbacks of the interpreter, and native code that calls back, swallow the exception that the signal raised.
    """
    if was_signalled():
        _cancel_pending()
        raise KeyboardInterrupt


def finish_shutdown() -> None:
    """Called when the command has ended: a pending KeyboardInterrupt would hit the interpreter's own shutdown."""
    _shutdown.finished = True
    _cancel_pending()


def _cancel_pending() -> None:
    if _shutdown.pending:
        _shutdown.pending = False
        signal.setitimer(signal.ITIMER_REAL, 0)


def _on_signal(_: int, frame: FrameType | None) -> None:
    before, _shutdown.last_at = _shutdown.last_at, time.monotonic()
    if _shutdown.last_at - before > REPEAT_S:
        _shutdown.first_at, _shutdown.pending = _shutdown.last_at, True
        _interrupt(frame)


def _on_retry(_: int, frame: FrameType | None) -> None:
    if _shutdown.pending:
        _interrupt(frame)


def _interrupt(frame: FrameType | None) -> None:
    """Raises KeyboardInterrupt, during an import a little later: native modules crash on it, or swallow it."""
    if importing(frame) and not _shutdown.finished and time.monotonic() - _shutdown.first_at < REPEAT_S:
        signal.setitimer(signal.ITIMER_REAL, _RETRY_S)
        return
    _shutdown.pending = False
    raise KeyboardInterrupt


def importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported in this frame or in one that it was called from."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
