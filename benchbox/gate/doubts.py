"""May the machine under both sides, rather than the network, be behind an outcome?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.gate.comparable import Measured
from benchbox.gate.outcome import judge_ratio
from benchbox.gate.values import values_of
from benchbox.metrics.device_times import CYCLES
from benchbox.metrics.metric import METRICS, Metric
from benchbox.metrics.probes import ARITHMETIC, PROBES, SHIFTED
from benchbox.schema.trial import Pass
from benchbox.schema.verdict import Outcome
from benchbox.stats.rank import rank_test, ratio_interval

# Times that a GPU's clock moves, and the difference of clocks from which on cycles are looked at.
_CLOCKED = ("gpu_time", "latency", "throughput", "trtexec")
CLOCK_EFFECT = 0.01


def doubt_about(
    base: Sequence[Measured], head: Sequence[Measured], metric: Metric, outcome: Outcome, effect: float, *, alike: bool
) -> str:
    """Why the machine may be behind an outcome; empty where nothing points to it."""
    if metric.pass_ is not Pass.TIMING or metric.name in {*PROBES.values(), CYCLES}:
        return ""
    doubts = [_speed_doubt(base, head, outcome, effect)] if alike else []
    doubts += [_clock_doubt(base, head, outcome, effect)] if metric.name.startswith(_CLOCKED) else []
    return next(filter(None, doubts), "")


def _speed_doubt(base: Sequence[Measured], head: Sequence[Measured], outcome: Outcome, effect: float) -> str:
    """Whether a probe was faster on one side too, in the direction of the outcome.

    Not for the sides of ``run --ab``: they share the machine, and may differ in threads.
    """
    for kind, name in PROBES.items():
        probes = [values_of(side, METRICS.get(name)) for side in (base, head)]
        if not all(probes):
            continue
        ratio = ratio_interval(*probes)[0]
        # An inference is mostly arithmetic and few exchanges between cores: the limits differ.
        limit = 1 + effect if kind == ARITHMETIC else SHIFTED[kind]
        slower, faster = ratio > limit, ratio < 1 / limit
        if {Outcome.SLOWER: slower, Outcome.FASTER: faster, Outcome.SAME: slower or faster}[outcome]:
            change = f"{ratio:.3g}x slower" if slower else f"{1 / ratio:.3g}x faster"
            return (
                f"the machine itself was {change} in the head ({name}), so '{outcome}' cannot be attributed to the "
                "network; measure both sides in one run (run --ab)"
            )
    return ""


def _clock_doubt(base: Sequence[Measured], head: Sequence[Measured], outcome: Outcome, effect: float) -> str:
    """Whether the clocks of an unlocked GPU differed and the outcome is another one in cycles."""
    if all(entry.record.plan.locked_clocks for entry in (*base, *head)):
        return ""
    cycles, times = ([values_of(side, METRICS.get(name)) for side in (base, head)] for name in (CYCLES, "gpu_time_p50"))
    if not (all(cycles) and all(times)):
        return ""
    ratio, low, high = ratio_interval(*cycles)
    clock = ratio / ratio_interval(*times)[0]
    by_cycles, _ = judge_ratio(METRICS.get(CYCLES), low, high, rank_test(*cycles), effect)
    if by_cycles is outcome or 1 / (1 + CLOCK_EFFECT) <= clock <= 1 + CLOCK_EFFECT:
        return ""
    return (
        f"'{outcome}' in time, '{by_cycles}' in cycles ({ratio:.3f}): the GPU's clock was {clock:.3f} times as high in "
        "the head; lock it (--lock-clocks), or measure both sides in one run (run --ab)"
    )
