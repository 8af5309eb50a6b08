"""What is asked of one case tonight, what did measuring it again say, and what do its counts?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchbox.gate.again import Remeasured
from benchbox.gate.levels.baseline import Baseline
from benchbox.gate.night import Finding, Place, Qualifier, Tier
from benchbox.gate.policy import COUNTS_OF_BYTES, EXACT_METRICS, Policy, Rule
from benchbox.gate.series import CaseSeries, commit_of
from benchbox.metrics.metric import METRICS
from benchbox.schema.reading import Better
from benchbox.schema.record import Record
from benchbox.schema.verdict import Outcome, Verdict
from benchbox.stats.again import Decision
from benchbox.units import format_change

ROLLING, ANCHOR, EXACT = "rolling", "anchor", "exact"
ProcessValues = Callable[[Record, str], Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One metric of one case, and the rule by which it is judged tonight."""

    series: CaseSeries
    metric: str
    rule: Rule
    night: str

    @property
    def better(self) -> Better:
        """Which direction is good."""
        return METRICS.get(self.metric).better

    @property
    def effect(self) -> float:
        """The smallest change that matters."""
        return self.rule.effect or 0.0

    def finding(self, outcome: Outcome, reference: str, reason: str = "", **fields: object) -> Finding:
        """A finding without numbers."""
        verdict = Verdict(case=self.series.case, metric=self.metric, outcome=outcome, reason=reason)
        values = {"verdict": verdict, "place": Place(night=self.night), **fields}
        return Finding(
            name=self.series.name,
            machine=self.series.machine,
            reference=reference,
            tier=self.rule.level,
            **values,  # type: ignore[arg-type]
        )


def rule_for(policy: Policy, series: CaseSeries, metric: str) -> Rule | None:
    """The first rule that matches, None where none does or it is off."""
    fields = {**series.fields, "metric": metric}
    rule = next((entry for entry in policy.rules if entry.matches(fields)), None)
    return None if rule is None or rule.level is Tier.OFF else rule


def decision_on(ask: Question, policy: Policy, entry: Remeasured, *, effect: float | None = None) -> Decision | None:
    """What measuring again said of a case, by the policy of today; None where nothing was measured."""
    return entry.decision(
        effect=ask.effect if effect is None else effect,
        alpha=policy.alpha,
        most=policy.rounds,
        floor=ask.rule.least_difference,
        higher_is_worse=ask.better is Better.LOWER,
    )


def measured_again(finding: Finding, entry: Remeasured, decision: Decision | None, *, clear: bool = False) -> Finding:
    """The finding with what base and head in turn said; its ratio is theirs where they are worse.

    ``clear``: in turn a change that matters would have shown, whatever the nights can show.
    """
    verdict = finding.verdict
    suspected = finding.is_suspected
    if decision is None:
        reason = "; ".join(filter(None, (verdict.reason, f"not measured again: {entry.obstacle}")))
        return dataclasses.replace(finding, verdict=dataclasses.replace(verdict, reason=reason))
    text = f"measured again in turn, {decision.n_base} + {decision.n_head} processes: "
    if decision.worse is None:
        text += f"{format_change(decision.ratio)}, not enough to tell"
    elif decision.worse:
        text += f"worse there{' too' * suspected} (p = {decision.p:.2g})"
    elif not suspected:
        text += format_change(decision.ratio)
    else:
        text += f"{format_change(decision.ratio)}, not the network but the machine, or chance"
    nights = f"tonight {format_change(verdict.ratio or 1)} against the level"
    verdict = dataclasses.replace(verdict, reason=f"{text}; {nights}")
    if decision.worse:
        verdict = dataclasses.replace(
            verdict,
            outcome=Outcome.SLOWER,
            ratio=decision.ratio,
            low=decision.low,
            high=decision.high,
            n_base=decision.n_base,
            n_head=decision.n_head,
        )
    dropped = {Qualifier.SUSPICIOUS} if decision.worse else {Qualifier.BLIND} if clear else set()
    kept = [entry for entry in finding.qualifiers if entry not in dropped]
    marks = [Qualifier.CONFIRMED] if decision.worse else []
    marks += [Qualifier.REFUTED] if decision.worse is False and suspected else []
    layers = entry.layers if decision.worse else ()
    return dataclasses.replace(finding, verdict=verdict, qualifiers=(*kept, *marks), layers=layers)


def exact_counts(ask: Question, policy: Policy, baseline: Baseline) -> Finding | None:
    """A count of tonight's network against the level in git, else against the oldest of the last nights."""
    tonight = ask.series.measured(ask.night)
    head = count_of(tonight[-1], ask.metric) if tonight else None
    if head is None:
        return None
    expected = baseline.get(ask.series.name)
    level = expected.levels.get(ask.metric) if expected else None
    nights = [night for night in sorted(ask.series.nights) if night < ask.night][-policy.rolling.nights :]
    history = [(night, ask.series.measured(night)) for night in nights]
    known = [
        (night, entries) for night, entries in history if entries and count_of(entries[-1], ask.metric) is not None
    ]
    if level is None and not known:
        return ask.finding(Outcome.INCONCLUSIVE, EXACT, "nothing to compare with yet", qualifiers=(Qualifier.NEW,))
    base = level.value if level is not None else float(count_of(known[0][1][-1], ask.metric) or 0)
    before = next((entries for _, entries in reversed(known) if count_of(entries[-1], ask.metric) != head), ())
    first = next((night for night, entries in known if count_of(entries[-1], ask.metric) == head), ask.night)
    changed = base != head
    outcome = Outcome.SAME if not changed else Outcome.SLOWER if head > base else Outcome.FASTER
    return Finding(
        verdict=Verdict(
            case=ask.series.case,
            metric=ask.metric,
            outcome=outcome,
            ratio=head / base if base else None,
            reason=f"{base:,.0f} → {head:,}: any change needs an acknowledgement" if changed else "",
        ),
        name=ask.series.name,
        machine=ask.series.machine,
        reference=EXACT,
        tier=ask.rule.level,
        unit=unit_of_count(ask.metric),
        base=base,
        head=float(head),
        qualifiers=(Qualifier.EXACT,),
        place=Place(
            night=first if changed else ask.night,
            commits=(commit_of(before) if before or level is None else level.commit, commit_of(tonight)),
            records=(before[-1].id if before else "", tonight[-1].id),
        ),
    )


def unit_of_count(metric: str) -> str:
    """The unit of an analytical count."""
    return "bytes" if metric in COUNTS_OF_BYTES else "1"


def count_of(record: Record, metric: str) -> int | None:
    """An analytical count of a record, None where it has none."""
    return getattr(record.analytic, metric) if record.analytic is not None and metric in EXACT_METRICS else None
