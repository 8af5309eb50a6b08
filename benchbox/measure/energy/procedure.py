"""How much energy does an inference take, by a counter that only steps ten times a second?

A counter of energy shows its last step, so a window that begins and ends anywhere is wrong by up to a step at each end:
2 % of 10 s for steps of 100 ms. Here a window begins and ends at a step that was watched for, while inferences run.
Where a step falls into the middle of an inference, the share of its time on this side is counted.

Between windows the device cools down, and each starts at a random (seeded) phase: power sensors may look only a part
of the time (25 % on A100 and H100: Yang et al. 2024, arXiv 2312.02741), and must not look at the same part of every
inference.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
from dataclasses import dataclass, field, replace
from typing import Protocol

from benchbox.machine.energy_counter import Counter, CounterLostError, CounterResetError, Gauge
from benchbox.schema.energy import EnergyRun, EnergyWindow

TICKS_TIMED = 5
PATIENCE_S, PATIENCE_INFERENCES = 5.0, 3
# How often the counter is read while nothing runs: one that fell and grew again is only seen on the way.
LOOK_EVERY_S = 0.5
COOL_WITHIN_C, COOL_AT_MOST_S, COOL_STEP_S = 2.0, 30.0, 0.25
REST_S = 5.0
PHASE_S = 0.1
# A running inference is watched for a tick until this share of its usual time; then its end is waited for.
WATCHED_SHARE = 0.8


class Load(Protocol):
    """The network, one inference at a time."""

    @property
    def overlaps(self) -> bool:
        """Whether an inference continues after ``start`` has returned."""
        ...

    def warm(self) -> float:
        """Warms up and returns the usual time of an inference in s."""
        ...

    def start(self) -> None:
        """Starts the next inference."""
        ...

    def finish(self) -> None:
        """Returns when it is done."""
        ...


class Time(Protocol):
    """A clock that can wait."""

    def now_s(self) -> float:
        """Seconds; only differences mean anything."""
        ...

    def sleep(self, duration_s: float) -> None:
        """Lets time pass."""
        ...


@dataclass(frozen=True, kw_only=True)
class EnergyPlan:
    """How many windows, how long (s), how long idle (s), and the seed of their phases."""

    windows: int
    window_s: float
    idle_s: float
    seed: int


def energy_run(gauge: Gauge, load: Load, plan: EnergyPlan, time: Time) -> EnergyRun:
    """Idle first, then the windows; what stood in the way is in ``absent``, and there are no numbers then.

    A window in which the counter went backwards is counted, not used, and taken again, as often as there are windows.
    """
    return _Procedure(gauge=gauge, load=load, plan=plan, time=time).run()


class _SharedError(Exception):
    """Others use what is counted."""


class _StuckError(Exception):
    """The counter does not move, or only backwards."""


@dataclass(frozen=True, kw_only=True)
class _Edge:
    """A tick: what the counters showed right after, when it was, and how sure that is.

    Under load, ``before`` is how many inferences ran from the start of the search to the tick, the last of them in
    part; ``after`` is the rest of that one.
    """

    energy_j: dict[str, float]
    at_s: float
    width_s: float
    before: float = 0.0
    after: float = 0.0


@dataclass(frozen=True, kw_only=True)
class _Idle:
    """Power by scope with the network loaded and nothing running, over which time."""

    power_w: dict[str, float]
    took_s: float


@dataclass(kw_only=True)
class _Procedure:
    gauge: Gauge
    load: Load
    plan: EnergyPlan
    time: Time
    _last_j: dict[str, float] = field(default_factory=dict)
    _read_at_s: float = 0.0
    _tick_s: float = math.inf
    _powers: list[tuple[float, float]] = field(default_factory=list)

    def run(self) -> EnergyRun:
        run = EnergyRun(counter=self.gauge.name, scope=self.gauge.counter.scope, window_s=self.plan.window_s)
        try:
            return self._measured(run)
        except _SharedError as reason:
            return replace(run, absent=str(reason), shared=True)
        except (_StuckError, CounterLostError) as reason:
            return replace(run, absent=" ".join(str(reason).split()))

    def _measured(self, run: EnergyRun) -> EnergyRun:
        self._require_alone()
        cool_c = self.gauge.temperature_c()
        draw = random.Random(self.plan.seed)
        idle: _Idle | None = None
        windows: list[EnergyWindow] = []
        resets = 0
        while len(windows) < self.plan.windows:
            try:
                if idle is None:
                    idle = self._idle()
                windows.append(self._window(draw))
            except CounterResetError as error:
                resets += 1
                if resets > self.plan.windows:
                    raise _StuckError(f"{error.what} {resets} times, last {error.values}") from error
            self._require_alone()
            if len(windows) < self.plan.windows:
                self._cool_down(cool_c)
        assert idle is not None, "there is no window before the idle power is known"
        return replace(
            run,
            tick_s=self._tick_s,
            idle_s=idle.took_s,
            idle_power_w=idle.power_w,
            windows=tuple(windows),
            resets=resets,
        )

    def _idle(self) -> _Idle:
        """Also times the ticks. The counter is polled at both ends only: on a CPU polling is work itself."""
        self._last_j.clear()
        ticks = [self._tick_of_idle() for _ in range(TICKS_TIMED)]
        self._tick_s = statistics.median([after.at_s - before.at_s for before, after in itertools.pairwise(ticks)])
        first = ticks[-1]
        while (left_s := first.at_s + self.plan.idle_s - self.time.now_s()) > 0:
            self.time.sleep(min(LOOK_EVERY_S, left_s))
            self._read()
        last = self._tick_of_idle()
        took_s = last.at_s - first.at_s
        power_w = {scope: (last.energy_j[scope] - first.energy_j[scope]) / took_s for scope in first.energy_j}
        return _Idle(power_w=power_w, took_s=took_s)

    def _tick_of_idle(self) -> _Edge:
        """The next tick, watched for without a pause."""
        edge = self._watched(self._read(), until_s=self._read_at_s + PATIENCE_S)
        if edge is None:
            raise _StuckError(f"{self.gauge.name} showed the same energy for {PATIENCE_S:g} s")
        return edge

    def _window(self, draw: random.Random) -> EnergyWindow:
        """Inferences from tick to tick, from a random phase on; the warm-up brings load and sensors to their level."""
        self.time.sleep(draw.uniform(0.0, max(PHASE_S, self._tick_s)))
        before_c = self.gauge.temperature_c()
        self._last_j.clear()
        self._powers.clear()
        usual_s = self.load.warm()
        first = self._edge(usual_s)
        done, due_s = 0, first.at_s
        while (now := self.time.now_s()) - first.at_s < self.plan.window_s:
            self.load.start()
            try:
                if now >= due_s:
                    self._read()
                    self._look_at_power(now)
                    due_s = now + self.gauge.look_every_s
            finally:
                self.load.finish()
            done += 1
        last = self._edge(usual_s)
        return EnergyWindow(
            energy_j={scope: last.energy_j[scope] - first.energy_j[scope] for scope in first.energy_j},
            duration_s=last.at_s - first.at_s,
            inferences=first.after + done + last.before,
            edge_s=max(first.width_s, last.width_s),
            power_j=_integral(self._powers, first.at_s, last.at_s),
            temperature_before_c=before_c,
            temperature_after_c=self.gauge.temperature_c(),
        )

    def _edge(self, usual_s: float) -> _Edge:
        """Runs inferences until the counter ticks, and the last of them to its end."""
        seen_j, done = self._read(), 0
        begin_s = ended_s = self._read_at_s
        while True:
            self.load.start()
            try:
                now = self.time.now_s()
                watched_s = WATCHED_SHARE * usual_s if self.load.overlaps else 0.0
                edge = self._watched(seen_j, until_s=now + watched_s)
            finally:
                self.load.finish()
            before_s, ended_s = ended_s, self.time.now_s()
            if edge is not None:
                after = (ended_s - edge.at_s) / (ended_s - before_s)
                return replace(edge, before=done + 1 - after, after=after)
            done += 1
            if self._read_at_s - begin_s > PATIENCE_S and done >= PATIENCE_INFERENCES:
                raise _StuckError(f"{self.gauge.name} showed the same energy for {PATIENCE_S:g} s under load")

    def _watched(self, seen_j: float, *, until_s: float) -> _Edge | None:
        """Reads the counter, at least once, until it shows something else; None if it did not until then."""
        while True:
            before_s = self._read_at_s
            energy_j = self._read()
            if energy_j != seen_j:
                beside = {counter.scope: self._guarded(counter) for counter in self.gauge.beside}
                # The tick lies between both readings, and where ticks come faster than readings, one tick back at most.
                width_s = min(self._read_at_s - before_s, self._tick_s)
                return _Edge(
                    energy_j={self.gauge.counter.scope: energy_j, **beside},
                    at_s=self._read_at_s - width_s / 2,
                    width_s=width_s,
                )
            if self._read_at_s >= until_s:
                return None

    def _read(self) -> float:
        energy_j = self._guarded(self.gauge.counter)
        self._read_at_s = self.time.now_s()
        return energy_j

    def _guarded(self, counter: Counter) -> float:
        """What a counter shows; raises CounterResetError if that is less than before."""
        energy_j = counter.read_j()
        last_j = self._last_j.get(counter.scope, energy_j)
        self._last_j[counter.scope] = energy_j
        if energy_j < last_j:
            what = f"the energy counter of {counter.scope} went backwards"
            raise CounterResetError(what, values=f"from {last_j:.6g} J to {energy_j:.6g} J")
        return energy_j

    def _look_at_power(self, now_s: float) -> None:
        power_w = self.gauge.power_w()
        if power_w is not None:
            self._powers.append((now_s, power_w))

    def _cool_down(self, cool_c: float | None) -> None:
        """Waits until it is as cool as before the first window, or long enough; a fixed rest without a thermometer."""
        if cool_c is None:
            self.time.sleep(min(REST_S, self.plan.window_s))
            return
        begin = self.time.now_s()
        while self.time.now_s() - begin < COOL_AT_MOST_S:
            now_c = self.gauge.temperature_c()
            if now_c is None or now_c <= cool_c + COOL_WITHIN_C:
                return
            self.time.sleep(COOL_STEP_S)

    def _require_alone(self) -> None:
        foreign = self.gauge.foreign()
        if foreign:
            raise _SharedError(foreign)


def _integral(powers: list[tuple[float, float]], start_s: float, end_s: float) -> float | None:
    """Joules by the trapezoidal rule, the first and the last power held to the edges; None with fewer than two."""
    if len(powers) < 2:
        return None
    held = [(start_s, powers[0][1]), *powers, (end_s, powers[-1][1])]
    return sum((two[0] - one[0]) * (one[1] + two[1]) / 2 for one, two in itertools.pairwise(held))
