"""A device whose inferences take as long as a test says, on a virtual clock."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchbox.backends.null import VirtualStopwatch


class PretendedLaps:
    """Events of a device that runs one inference after another, each for ``work_ns``."""

    block = 8

    def __init__(self, clock: VirtualStopwatch, work_ns: int) -> None:
        self._clock, self._work_ns = clock, work_ns
        self._free_at = 0
        self.ends: list[int] = []
        self.most_in_flight = 0
        self.reserved: list[int] = []
        self.gpu_ns = self.enqueue_ns = ()

    def reserve(self, count: int, *, lead: int = 0) -> None:
        assert count + lead <= self.block
        self.reserved.append(count)
        self.ends = []

    def start(self) -> None:
        now = self._clock.now_ns()
        self.most_in_flight = max(self.most_in_flight, 1 + sum(end > now for end in self.ends))
        self._free_at = max(self._free_at, now) + self._work_ns
        self.ends.append(self._free_at)

    def wait(self, index: int) -> None:
        self._clock.advance(max(0, self.ends[index] - self._clock.now_ns()))

    def collect(self) -> None:
        assert all(end <= self._clock.now_ns() for end in self.ends), "read before they have happened"

    def forget(self) -> None: ...

    def around(self, work: Any) -> None: ...


class PretendedDevice:
    """A device session: starting takes the host ``enqueue_ns``, the work itself ``work_ns`` on the device."""

    def __init__(self, *, work_ns: int, enqueue_ns: int) -> None:
        self.stopwatch = VirtualStopwatch()
        self.laps = PretendedLaps(self.stopwatch, work_ns)
        self._enqueue_ns = enqueue_ns
        self.flushed = 0

    def enqueue(self, slot: int) -> None:
        self.stopwatch.advance(self._enqueue_ns)
        self.laps.start()

    def synchronize(self) -> None:
        self.laps.wait(-1)

    def flush_cache(self) -> None:
        self.flushed += 1
        self.stopwatch.advance(1_000_000)

    def upload(self, slot: int, arrays: Any) -> None: ...
    def download(self, slot: int) -> dict[str, np.ndarray]:
        return {}

    def evidence(self) -> Any: ...
    def close(self) -> None: ...
    def transfer_ns(self, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (), ()

    def device_memory(self) -> dict[str, int]:
        return {}
