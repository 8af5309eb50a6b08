"""A device whose energy is known, on a clock that stands still until it is told to go on."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class FakeTime:
    """Simulated seconds; reading the clock takes some."""

    now: float = 0.0
    reading_s: float = 1e-6

    def now_s(self) -> float:
        self.now += self.reading_s
        return self.now

    def sleep(self, duration_s: float) -> None:
        self.now += duration_s


@dataclass(kw_only=True)
class FakeDevice:
    """Draws ``idle_w``, and ``busy_w`` on top while an inference runs; ``drift`` is the growth of power per second.

    What was drawn is kept as pieces (start, end, W above idle), so that the energy at any moment is known.
    """

    time: FakeTime
    idle_w: float = 60.0
    busy_w: float = 240.0
    drift: float = 0.0
    pieces: list[tuple[float, float]] = field(default_factory=list)
    _busy_before: list[float] = field(default_factory=lambda: [0.0])

    def work(self, start_s: float, end_s: float) -> None:
        """An inference runs; after those before it."""
        self.pieces.append((start_s, end_s))
        self._busy_before.append(self._busy_before[-1] + end_s - start_s)

    def energy_j(self, at_s: float) -> float:
        """What was really drawn until then."""
        count = bisect.bisect_left(self.pieces, (at_s, at_s))
        running_s = max(0.0, self.pieces[count - 1][1] - at_s) if count else 0.0
        busy_s = self._busy_before[count] - running_s
        return self.idle_w * at_s + self.busy_w * busy_s + self.drift * at_s * at_s / 2

    def power_w(self, at_s: float) -> float:
        busy = any(start <= at_s < end for start, end in self.pieces[-2:])
        return self.idle_w + self.drift * at_s + self.busy_w * busy


@dataclass(kw_only=True)
class FakeCounter:
    """Shows a device's energy as of its last tick; ``resets`` are moments at which it starts again at 0.

    ``seen_share`` below 1: as some sensors do, it only looks during the first part of each tick and takes that for all.
    """

    device: FakeDevice
    tick_s: float = 0.1
    phase_s: float = 0.037
    scope: str = "gpu_board"
    read_s: float = 20e-6
    seen_share: float = 1.0
    resets: list[float] = field(default_factory=list)
    frozen_after_s: float = math.inf
    _ticks: int = 0
    _sum_j: float = 0.0

    def read_j(self) -> float:
        self.device.time.now += self.read_s
        now = min(self.device.time.now, self.frozen_after_s)
        ticks = math.floor((now - self.phase_s) / self.tick_s)
        base = max((moment for moment in self.resets if moment <= now), default=-math.inf)
        first = 0 if base == -math.inf else math.ceil((base - self.phase_s) / self.tick_s)
        if self.seen_share < 1.0:
            return self._seen(ticks)
        return self._shown(max(ticks, first)) - self._shown(first)

    def _shown(self, tick: int) -> float:
        return self.device.energy_j(self.phase_s + tick * self.tick_s)

    def _seen(self, tick: int) -> float:
        while self._ticks < tick:
            start = self.phase_s + self._ticks * self.tick_s
            seen_s = self.seen_share * self.tick_s
            self._sum_j += (self.device.energy_j(start + seen_s) - self.device.energy_j(start)) / self.seen_share
            self._ticks += 1
        return self._sum_j


@dataclass(kw_only=True)
class FakeLoad:
    """Inferences of ``busy_s`` each with ``gap_s`` between; on a device that goes on by itself, or not."""

    device: FakeDevice
    busy_s: float = 0.005
    gap_s: float = 0.0005
    overlaps: bool = True
    warm_s: float = 0.5
    on_start: Callable[[], None] = lambda: None
    started: int = 0
    _end: float = 0.0

    def warm(self) -> float:
        begin = self.device.time.now
        while self.device.time.now - begin < self.warm_s:
            self.start()
            self.finish()
        return self.busy_s

    def start(self) -> None:
        self.on_start()
        time = self.device.time
        self.started += 1
        self._end = time.now + self.busy_s
        self.device.work(time.now, self._end)
        if not self.overlaps:
            time.now = self._end

    def finish(self) -> None:
        time = self.device.time
        time.now = max(time.now, self._end) + self.gap_s
