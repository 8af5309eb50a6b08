"""What does a session look like that is slower than it could be, by a known share?

The gate tests itself with it (``benchbox gate --selftest``): an injected slow-down must be found. No such number can
count as a measurement: the plan of its record says so, every metric is flagged as invalid, and it is not stored.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from benchbox.backends.base import Arrays, Session, Stopwatch
    from benchbox.schema.trial import Evidence


class DelayedSession:
    """A session that waits after each inference for a share of the time that it took, awake, as a slower one would.

    To the harness it is a session of the host, also where the inner one is on a device: an inference is done on return,
    and its times are the host's.
    """

    def __init__(self, inner: Session, *, delay: float) -> None:
        self._inner, self._delay = inner, delay

    @property
    def stopwatch(self) -> Stopwatch:
        """That of the inner session."""
        return self._inner.stopwatch

    def upload(self, slot: int, arrays: Arrays) -> None:
        """As the inner session."""
        self._inner.upload(slot, arrays)

    def enqueue(self, slot: int) -> None:
        """One inference, and the wait for its share."""
        begin = time.perf_counter_ns()
        self._inner.enqueue(slot)
        self._inner.synchronize()
        now = time.perf_counter_ns()
        end = now + round(self._delay * (now - begin))
        while time.perf_counter_ns() < end:
            pass

    def synchronize(self) -> None:
        """Nothing is left to wait for."""
        self._inner.synchronize()

    def download(self, slot: int) -> dict[str, np.ndarray]:
        """As the inner session."""
        return self._inner.download(slot)

    def evidence(self) -> Evidence:
        """As the inner session."""
        return self._inner.evidence()

    def close(self) -> None:
        """As the inner session."""
        self._inner.close()
