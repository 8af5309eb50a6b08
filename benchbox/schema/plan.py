"""How is a case to be measured?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

INPUTS_ROTATE, INPUTS_FIXED = "rotate", "fixed"
TRANSFER_RESIDENT, TRANSFER_TIMED, TRANSFER_INSIDE = "resident", "timed", "inside"
WAIT_SPIN, WAIT_BLOCKING = "spin", "blocking"


class Mode(StrEnum):
    """Which experiment a measurement is; a record has exactly one. ``measure/loop/modes.py`` says what each does."""

    ISOLATED = "isolated"
    PIPELINED = "pipelined"
    BATCHED = "batched"
    COLD = "cold"
    CONCURRENT = "concurrent"
    OFFLINE = "offline"
    SINGLE_STREAM = "single-stream"
    MULTI_STREAM = "multi-stream"
    SERVER = "server"


class PairOrder(StrEnum):
    """How the processes of the sides of a pair share the machine.

    One after the other, forward and backward in turn or in an order drawn anew in each round; or paired: a process of
    each side is there at once, and they time in turn, a moment each (``measure/loop/turns.py``).
    """

    ABBA = "ABBA"
    RANDOM = "random"
    PAIRED = "paired"


# How long a process that takes turns times before it gives the turn away: long beside what a turn costs at its
# beginning, short beside what changes a machine's speed; and so many turns at least.
TURN_S, LEAST_TURNS = 0.2, 8
# Requests of these are issued by MLPerf LoadGen: ``measure/loadgen/issuing.py``.
LOADGEN_MODES = frozenset({Mode.OFFLINE, Mode.SINGLE_STREAM, Mode.MULTI_STREAM, Mode.SERVER})
# Queries that a run of LoadGen has at least where its 99th percentile counts: its early stopping can then say something
# with 99 % confidence though one is over the bound (early_stopping.cc; also in mlperf.conf).
QUERIES_FOR_P99 = 662
# What ``locked_clocks`` says where a GPU was held at its base clock.
BASE_CLOCKS = "base"


@dataclass(frozen=True, kw_only=True)
class MeasurementPlan:
    """Everything that decides how samples are taken.

    A *trial* is one fresh process. ``trials`` of them are timed; more, up to ``max_trials``, while their interval
    is wider than wanted and all of them together have taken less than ``timing_budget_s``. Each trial warms up for
    at least ``warmup_s`` and ``warmup_iterations``, then until it has settled or ``warmup_max_s`` have passed; then
    it times inferences until ``min_time_s`` has passed and the 95 % interval of its median has a half-width of at
    most ``target_half_width`` (a ratio), or ``max_time_s`` has passed. ``group`` is how many inferences are started
    together in mode batched, ``streams`` how many sessions run at once in modes concurrent and server, and the
    samples of a query in mode multi-stream; ``rate_per_s`` is how many samples a second arrive in mode server, and
    ``latency_bound_s`` the time within which LoadGen wants 99 % of them answered, None where nothing was asked for.
    ``input_slots`` distinct seeded random inputs are used in turn (``input_policy`` "rotate", or "fixed" for one),
    never zeros; they are resident before the clock starts (``transfer`` "resident"); with "timed" copies in and out
    are timed too, by themselves; with "inside" every request copies its inputs in and its outputs out, and the
    copies of neighbours overlap. ``wait`` says how the host waits for an event in mode pipelined: it spins or it
    sleeps. ``injected_delay`` makes every inference wait for that share of its own time: the gate's test of itself,
    never a measurement. ``turn_s`` is how long a process times before the other side's has its turn, 0 where none
    takes turns. ``like`` names the tool whose way of measuring this is, "" for benchbox's own; then sampling
    ends when ``min_time_s`` and ``min_samples`` are reached, however wide the interval is. ``timeout_s`` bounds one
    whole process. ``energy_windows`` of ``energy_window_s`` each measure energy, none by default. ``locked_clocks``
    says at what the GPU's clocks were held, "" where they were free.
    """

    batch: int = 1
    mode: Mode = Mode.ISOLATED
    threads: int = 1
    trials: int = 5
    memory_trials: int = 4
    max_trials: int = 0
    timing_budget_s: float = 17.0
    warmup_s: float = 0.5
    warmup_max_s: float = 1.0
    warmup_iterations: int = 10
    min_time_s: float = 0.5
    max_time_s: float = 1.5
    min_samples: int = 30
    target_half_width: float = 0.0025
    input_slots: int = 4
    input_policy: str = INPUTS_ROTATE
    group: int = 10
    streams: int = 2
    transfer: str = TRANSFER_RESIDENT
    timeout_s: float = 600.0
    seed: int = 0
    energy_windows: int = 0
    energy_window_s: float = 10.0
    locked_clocks: str = ""
    wait: str = WAIT_SPIN
    like: str = ""
    rate_per_s: float | None = None
    latency_bound_s: float | None = None
    injected_delay: float = 0.0
    turn_s: float = 0.0
