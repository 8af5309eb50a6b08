"""Which clock times work on the host?"""

from __future__ import annotations

from time import perf_counter_ns


class HostStopwatch:
    """The monotonic clock of the host (``time.perf_counter_ns``)."""

    clock = "perf_counter_ns"
    now_ns = staticmethod(perf_counter_ns)
