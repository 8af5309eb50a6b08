"""Did the machine under both sides do something that may stand behind an outcome?"""

from __future__ import annotations

from collections.abc import Sequence

from benchbox.gate.comparable import (
    Measured,
)
from benchbox.gate.outcome import judge_ratio
from benchbox.gate.values import values_of
from benchbox.metrics.device_times import CYCLES
from benchbox.metrics.metric import METRICS, Metric
from benchbox.metrics.probes import ARITHMETIC, PROBES, SHIFTED
from benchbox.schema.trial import Pass
from benchbox.schema.verdict import Outcome
from benchbox.stats.rank import rank_test, ratio_interval

# Times that a GPU's clock moves, and by how much it must have differed before cycles are asked.
_CLOCKED = ("gpu_time", "latency", "throughput", "trtexec")
CLOCK_EFFECT = 0.01


def doubt_about(
    base: Sequence[Measured], head: Sequence[Measured], metric: Metric, outcome: Outcome, effect: float, *, alike: bool
) -> str:
    """What the machine under both sides did that may stand behind an outcome; empty where nothing did."""
    if metric.pass_ is not Pass.TIMING or metric.name in {*PROBES.values(), CYCLES}:
        return ""
    doubts = [_speed_doubt(base, head, outcome, effect)] if alike else []
    doubts += [_clock_doubt(base, head, outcome, effect)] if metric.name.startswith(_CLOCKED) else []
    return next(filter(None, doubts), "")


def _speed_doubt(base: Sequence[Measured], head: Sequence[Measured], outcome: Outcome, effect: float) -> str:
    """Whether what was timed beside the network was faster on one side too, in the direction of the outcome.

    Both sides of ``run --ab`` meet the same machine, and may have different numbers of threads: they are not asked.
    """
    for kind, name in PROBES.items():
        references = [values_of(side, METRICS.get(name)) for side in (base, head)]
        if not all(references):
            continue
        ratio = ratio_interval(*references)[0]
        # An inference is mostly arithmetic, and hands over a little: what counts as another machine differs.
        limit = 1 + effect if kind == ARITHMETIC else SHIFTED[kind]
        slower, faster = ratio > limit, ratio < 1 / limit
        if {Outcome.SLOWER: slower, Outcome.FASTER: faster, Outcome.SAME: slower or faster}[outcome]:
            return (
                f"{outcome} by the numbers, but the machine was another: in the head its {kind} took {ratio:.3f} times "
                f"as long ({name}); measure both in one run (run --ab)"
            )
    return ""


def _clock_doubt(base: Sequence[Measured], head: Sequence[Measured], outcome: Outcome, effect: float) -> str:
    """Whether a GPU whose clock was free, and another on either side, says something else in cycles than in time."""
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
        f"{outcome} in time, {by_cycles} in cycles ({ratio:.3f}): the GPU's clock was {clock:.3f} times as high in the "
        "head; hold it (--lock-clocks), or measure both in one run (run --ab)"
    )
