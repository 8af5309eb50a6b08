"""How does a command end in order when it is told to, by Ctrl-C, SIGTERM or a terminal that closes?"""

from __future__ import annotations

import math
import signal
import threading
import time

# Being told again so soon is the same order: from an impatient finger, or from a shell and its parent at once.
ENDING_S = 5.0


class _Order:
    """When this process was last told to end."""

    told_at = -math.inf


def end_in_order_when_told() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt.

    Workers are killed then, clocks given back, and what was measured is kept. That takes a moment. Being told again within ``ENDING_S`` does not interrupt it: that would leave behind what is
    being put away. A signal that was ignored (nohup, a job in the background) stays so.
    """
    _Order.told_at = -math.inf
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}:
            signal.signal(number, _interrupt)


def was_told() -> bool:
    """Whether this command was told to end."""
    return _Order.told_at > -math.inf


def end_if_told() -> None:
    """Raises KeyboardInterrupt if this command was told to end.

    Native modules that are being loaded, and callbacks of the interpreter, swallow the one that the signal raised.
    """
    if was_told():
        raise KeyboardInterrupt


def _interrupt(*_: object) -> None:
    before, _Order.told_at = _Order.told_at, time.monotonic()
    if _Order.told_at - before > ENDING_S:
        raise KeyboardInterrupt
