"""How does a command end in order when it is told to, by Ctrl-C, SIGTERM or a terminal that closes?"""

from __future__ import annotations

import math
import signal
import threading
import time
from types import FrameType

# Being told again so soon is the same order: from an impatient finger, or from a shell and its parent at once.
ENDING_S = 5.0
_LATER_S = 0.02


class _Order:
    """When this command was told to end, first and last; whether the interrupt still waits; whether all is over."""

    first_at = last_at = -math.inf
    waiting = over = False


def end_in_order_on_signal() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt.

    Workers are killed then, clocks given back, and what was measured is kept. That takes a moment. Being told again
    within ``ENDING_S`` does not interrupt it: that would leave behind what is being put away. A signal that was ignored
    (nohup, a job in the background) stays so.
    """
    _Order.first_at = _Order.last_at = -math.inf
    _Order.waiting = _Order.over = False
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}:
            signal.signal(number, _told)
    if signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
        signal.signal(signal.SIGALRM, _waited)


def was_signalled() -> bool:
    """Whether this command was told to end."""
    return _Order.last_at > -math.inf


def end_if_signalled() -> None:
    """Raises KeyboardInterrupt if this command was told to end.

    Callbacks of the interpreter, and native code that calls back, swallow the one that the signal raised.
    """
    if was_signalled():
        _forget_waiting()
        raise KeyboardInterrupt


def stop_waiting() -> None:
    """To be called when the command has ended: an interrupt that still waits would hit the interpreter's own end."""
    _Order.over = True
    _forget_waiting()


def _forget_waiting() -> None:
    if _Order.waiting:
        _Order.waiting = False
        signal.setitimer(signal.ITIMER_REAL, 0)


def _told(_: int, frame: FrameType | None) -> None:
    before, _Order.last_at = _Order.last_at, time.monotonic()
    if _Order.last_at - before > ENDING_S:
        _Order.first_at, _Order.waiting = _Order.last_at, True
        _interrupt(frame)


def _waited(_: int, frame: FrameType | None) -> None:
    if _Order.waiting:
        _interrupt(frame)


def _interrupt(frame: FrameType | None) -> None:
    """Raises KeyboardInterrupt, where a module is imported a little later: native ones crash of it, or swallow it."""
    if importing(frame) and not _Order.over and time.monotonic() - _Order.first_at < ENDING_S:
        signal.setitimer(signal.ITIMER_REAL, _LATER_S)
        return
    _Order.waiting = False
    raise KeyboardInterrupt


def importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported in this frame or in one that it was called from."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
