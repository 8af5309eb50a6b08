"""Is the head faster or slower than the base, and may the question be asked at all?

The process is the unit: one value per process goes in, never its single inferences; only energy is replicated by
windows within a process. Faster or slower needs the whole interval of the ratio beyond the smallest effect of interest;
same needs all of it inside (equivalence, Schuirmann 1987); anything else is inconclusive. Other cases, networks and
environments are not compared, and no claim is made that the machine's own speed may explain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from benchbox.gate.comparable import (
    SKIPPED_ON_BOTH,
    Measured,
    Pair,
    Rules,
    note_on_networks,
    obstacle,
    pairs_by_fields,
    pairs_of_cases,
)
from benchbox.gate.doubts import doubt_about
from benchbox.gate.outcome import LEAST_VALUES, judge_ratio
from benchbox.gate.values import flags_about, note_on_replication, paired_values_of, values_of
from benchbox.metrics.metric import METRICS, Metric
from benchbox.schema.identity import CaseIdentity, identity_of
from benchbox.schema.plan import Mode
from benchbox.schema.reading import Severity
from benchbox.schema.verdict import Outcome, Verdict
from benchbox.stats.rank import (
    LEAST_PAIRS,
    minimum_detectable_effect,
    paired_detectable_effect,
    paired_ratio_interval,
    rank_test,
    ratio_interval,
    signed_rank_test,
)

# Smallest effects of interest: a machine shared with others moves by a few percent from day to day, a GPU by less.
CPU_EFFECT, GPU_EFFECT = 0.05, 0.02
Turned = tuple[list[float], list[float]] | None
_WORST_FIRST = (Outcome.SLOWER, Outcome.INCOMPARABLE, Outcome.INCONCLUSIVE, Outcome.FASTER, Outcome.SAME)


def verdicts_from_measured(base: Iterable[Measured], head: Iterable[Measured], rules: Rules) -> tuple[Verdict, ...]:
    """A verdict for every case on either side and every metric, in the order of the base, then of the head."""
    if rules.match:
        pairs = pairs_by_fields(base, head, rules.match)
        return tuple(_apart(pair, METRICS.get(metric), rules) for pair in pairs for metric in rules.metrics)
    return tuple(
        _verdict(pair, METRICS.get(metric), rules) for pair in pairs_of_cases(base, head) for metric in rules.metrics
    )


def verdict_between(base: Measured, head: Measured, metric: str, rules: Rules) -> Verdict:
    """One record against another, whatever differs between them: the difference is the question.

    Its two sides were measured in turn; where their processes took turns, they are judged pair by pair. The verdict
    names both cases.
    """
    pair = Pair(base=(base,), head=(head,))
    verdict = _verdict(
        pair, METRICS.get(metric), rules, alike=False, in_turns=paired_values_of(base, head, METRICS.get(metric))
    )
    return dataclasses.replace(verdict, base_case=identity_of(base.record))


def overall(verdicts: Sequence[Verdict]) -> Outcome:
    """The one word for all of them: slower if any is, then what could not be judged, then faster, then same."""
    found = {verdict.outcome for verdict in verdicts if not verdict.reason.startswith(SKIPPED_ON_BOTH)}
    return next((outcome for outcome in _WORST_FIRST if outcome in found), Outcome.INCOMPARABLE)


def _apart(pair: Pair, metric: Metric, rules: Rules) -> Verdict:
    """A pair of two different cases, which need not be of one network."""
    verdict = _verdict(pair, metric, dataclasses.replace(rules, across_networks=True), one_case=False)
    return dataclasses.replace(verdict, base_case=identity_of(pair.base[0].record)) if pair.base else verdict


def _verdict(
    pair: Pair, metric: Metric, rules: Rules, *, alike: bool = True, one_case: bool = True, in_turns: Turned = None
) -> Verdict:
    """The verdict of a pair, with the ids of its records.

    ``alike`` asks for one network, environment and state of the machine, ``one_case`` notes what else is another.
    ``in_turns`` are the values of processes that took turns, pair by pair, which are judged as such.
    """
    base, head = (tuple(entry.record.id for entry in side) for side in (pair.base, pair.head))
    found = _judged(pair, metric, rules, alike=alike, one_case=one_case and alike, in_turns=in_turns)
    return dataclasses.replace(found, base_records=base, head_records=head)


def _judged(pair: Pair, metric: Metric, rules: Rules, *, alike: bool, one_case: bool, in_turns: Turned) -> Verdict:
    case, base, head = pair.identity, pair.base, pair.head
    if found := obstacle(pair, rules, alike=alike):
        return Verdict(case=case, metric=metric.name, outcome=Outcome.INCOMPARABLE, reason=found)
    values = in_turns or (values_of(base, metric), values_of(head, metric))
    if not all(values):
        missing = "base" if not values[0] else "head"
        reason = f"the {missing} has no {metric.name}{_instead(case, metric)}"
        return Verdict(case=case, metric=metric.name, outcome=Outcome.INCOMPARABLE, reason=reason)
    if min(map(min, values)) <= 0:
        reason = f"{metric.name} is 0 in a process: there is no ratio"
        return Verdict(case=case, metric=metric.name, outcome=Outcome.INCOMPARABLE, reason=reason)
    effect = rules.effect if rules.effect is not None else GPU_EFFECT if case.device.startswith("cuda") else CPU_EFFECT
    ratio, low, high = (paired_ratio_interval if in_turns else ratio_interval)(*values)
    if base == head:  # the same records were named twice: nothing can have changed, however widely they vary
        ratio, low, high = 1.0, 1.0, 1.0
        outcome, reason = Outcome.SAME, "base and head are the same records"
    else:
        p_value, least = (signed_rank_test(*values), LEAST_PAIRS) if in_turns else (rank_test(*values), LEAST_VALUES)
        outcome, reason = judge_ratio(metric, low, high, p_value, effect, quick=rules.quick, least=least)
    if outcome is not Outcome.INCONCLUSIVE and (doubt := doubt_about(base, head, metric, outcome, effect, alike=alike)):
        outcome, reason = Outcome.INCONCLUSIVE, doubt
    if flags := flags_about(metric, [*base, *head], Severity.ERROR):
        outcome, reason = Outcome.INCONCLUSIVE, f"flagged as invalid: {', '.join(flags)}"
    if warnings := flags_about(metric, [*base, *head], Severity.WARNING):
        reason += f"; warnings: {', '.join(warnings)}"
    notes = (
        note_on_networks(base[0].record, head[0].record) if one_case else "",
        note_on_replication(metric, base, head),
    )
    return Verdict(
        case=case,
        metric=metric.name,
        outcome=outcome,
        ratio=ratio,
        low=low,
        high=high,
        mde=(paired_detectable_effect if in_turns else minimum_detectable_effect)(*values),
        n_base=len(values[0]),
        n_head=len(values[1]),
        reason="; ".join(filter(None, (reason, *notes))),
    )


def _instead(case: CaseIdentity, metric: Metric) -> str:
    """What to compare in a mode in which no sample has a time of its own."""
    timeless = case.mode is Mode.OFFLINE and metric.name.startswith("latency")
    return ": in mode offline compare throughput (--metric)" if timeless else ""
