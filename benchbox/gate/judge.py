"""Is the head faster or slower than the base, and may the question be asked at all?

The process is the unit: one value per process goes in, never the iterations of one. A claim needs the whole interval
of the ratio on one side of the least effect of interest; the same needs all of it inside (equivalence, Schuirmann
1987); whatever lies across is inconclusive. Numbers from different environments are not compared, and a claim that
the machine's own speed may explain is not made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchbox.gate.comparable import (
    Measured,
    Rules,
    by_case,
    obstacle,
)
from benchbox.gate.doubts import doubt_about
from benchbox.gate.outcome import judge_ratio
from benchbox.gate.values import flags_about, values_of
from benchbox.metrics.metric import METRICS, Metric
from benchbox.schema.plan import Mode
from benchbox.schema.reading import Severity
from benchbox.schema.record import RecordKey
from benchbox.schema.verdict import Outcome, Verdict
from benchbox.stats.rank import minimum_detectable_effect, rank_test, ratio_interval

# Least effects of interest: a machine shared with others moves by a few percent from day to day, a GPU by less.
CPU_EFFECT, GPU_EFFECT = 0.05, 0.02
_WORST_FIRST = (Outcome.SLOWER, Outcome.INCOMPARABLE, Outcome.INCONCLUSIVE, Outcome.FASTER, Outcome.SAME)


def verdicts_from_measured(base: Iterable[Measured], head: Iterable[Measured], rules: Rules) -> tuple[Verdict, ...]:
    """A verdict for every case on either side and every metric, in the order of the base, then of the head.

    Several records of a case on one side are replicates if their environments are equal; otherwise the newest counts.
    """
    sides = [by_case(side) for side in (base, head)]
    keys = dict.fromkeys([*sides[0], *sides[1]])
    return tuple(
        _verdict(key, METRICS.get(metric), sides[0].get(key, ()), sides[1].get(key, ()), rules)
        for key in keys
        for metric in rules.metrics
    )


def verdict_between(base: Measured, head: Measured, metric: str, rules: Rules) -> Verdict:
    """One record against another, whatever differs between them: it is what the question is about.

    The verdict's key is the head's.
    """
    return _verdict(head.record.key, METRICS.get(metric), (base,), (head,), rules, alike=False)


def overall(verdicts: Sequence[Verdict]) -> Outcome:
    """The one word for all of them: slower if any is, then what could not be judged, then faster, then same."""
    found = {verdict.outcome for verdict in verdicts}
    return next((outcome for outcome in _WORST_FIRST if outcome in found), Outcome.INCOMPARABLE)


def _verdict(
    key: RecordKey,
    metric: Metric,
    base: Sequence[Measured],
    head: Sequence[Measured],
    rules: Rules,
    *,
    alike: bool = True,
) -> Verdict:
    if found := obstacle(base, head, rules, alike=alike):
        return Verdict(key=key, metric=metric.name, outcome=Outcome.INCOMPARABLE, reason=found)
    values = [values_of(side, metric) for side in (base, head)]
    if not all(values):
        missing = "base" if not values[0] else "head"
        return Verdict(
            key=key,
            metric=metric.name,
            outcome=Outcome.INCOMPARABLE,
            reason=f"the {missing} has no {metric.name}" + _instead(key, metric),
        )
    if min(map(min, values)) <= 0:
        reason = f"{metric.name} is 0 in a process: there is no ratio"
        return Verdict(key=key, metric=metric.name, outcome=Outcome.INCOMPARABLE, reason=reason)
    effect = rules.effect if rules.effect is not None else GPU_EFFECT if key.device.startswith("cuda") else CPU_EFFECT
    ratio, low, high = ratio_interval(*values)
    outcome, reason = judge_ratio(metric, low, high, rank_test(*values), effect)
    if outcome is not Outcome.INCONCLUSIVE and (doubt := doubt_about(base, head, metric, outcome, effect, alike=alike)):
        outcome, reason = Outcome.INCONCLUSIVE, doubt
    if flags := flags_about(metric, [*base, *head], Severity.ERROR):
        outcome, reason = Outcome.INCONCLUSIVE, f"flagged as invalid: {', '.join(flags)}"
    if warnings := flags_about(metric, [*base, *head], Severity.WARNING):
        reason += f"; warnings: {', '.join(warnings)}"
    return Verdict(
        key=key,
        metric=metric.name,
        outcome=outcome,
        ratio=ratio,
        low=low,
        high=high,
        mde=minimum_detectable_effect(*values),
        n_base=len(values[0]),
        n_head=len(values[1]),
        reason=reason,
    )


def _instead(key: RecordKey, metric: Metric) -> str:
    """What to compare of a mode in which no sample has a time of its own."""
    timeless = key.mode is Mode.OFFLINE and metric.name.startswith("latency")
    return ": in mode offline compare throughput (--metric)" if timeless else ""
