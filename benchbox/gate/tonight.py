"""What does tonight say of one case: against the last good nights, against its anchor, and of its counts?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchbox.gate.again import Again, Remeasured
from benchbox.gate.baseline import ACCEPTED, Baseline, Level
from benchbox.gate.comparable import environments_apart, networks_apart
from benchbox.gate.night import Finding, Place, Qualifier, Tier, Trend
from benchbox.gate.policy import COUNTS_OF_BYTES, EXACT_METRICS, Policy, Rule
from benchbox.gate.series import CaseSeries, Value, commit_of, error_flags, fields_of
from benchbox.metrics.metric import METRICS
from benchbox.schema.reading import Better
from benchbox.schema.record import Record
from benchbox.schema.verdict import Outcome, Verdict
from benchbox.stats.again import Decision
from benchbox.stats.nights import Move, Seen, Watch, watch_nights
from benchbox.stats.rank import ratio_interval

ROLLING, ANCHOR, EXACT = "rolling", "anchor", "exact"
# Nights in a picture of a finding.
TREND = 30
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
    fields = fields_of(series.case, series.machine, metric)
    rule = next((entry for entry in policy.rules if entry.matches(fields)), None)
    return None if rule is None or rule.level is Tier.OFF else rule


def against_rolling(ask: Question, policy: Policy, baseline: Baseline, again: Again, *, chance: float) -> Finding:
    """Tonight against the last good nights of the same environment and network.

    Nights of another environment count too where a bridge says what its levels are in this one.
    """
    records = ask.series.measured(ask.night)
    if flags := error_flags(records, ask.metric):
        return ask.finding(Outcome.INCONCLUSIVE, ROLLING, f"flagged as invalid: {', '.join(flags)}")
    earlier = ask.series.before(ask.night)
    scales = {night: scale for night in earlier if (scale := _scale(ask, night, records[-1], again)) is not None}
    if earlier and not scales:
        before = ask.series.measured(earlier[-1])[-1]
        return ask.finding(Outcome.INCOMPARABLE, ROLLING, _apart(before, records[-1]))
    nights = [night for night in scales if ask.series.value(night, ask.metric)] + [ask.night]
    values = [
        value if (scale := scales.get(night, 1.0)) == 1 else dataclasses.replace(value, value=value.value * scale)
        for night in nights
        if (value := ask.series.value(night, ask.metric)) is not None
    ]
    if not values or len(values) != len(nights):
        return ask.finding(Outcome.INCONCLUSIVE, ROLLING, f"{ask.metric} is 0: there is no ratio")
    watch = Watch(
        effect=ask.effect,
        chance=chance,
        floor=ask.rule.least_difference,
        nights=policy.rolling.nights,
        least=policy.rolling.min_nights,
        persist=ask.rule.persist or policy.rolling.persist,
        higher_is_worse=ask.better is Better.LOWER,
    )
    seen = watch_nights(
        [value.value for value in values],
        watch,
        errors=[value.error for value in values],
        levels=_decided(ask, nights, baseline, records[-1].environment.hash),
        settled=_settled(ask, policy, again, nights),
    )[-1]
    found = _finding(ask, seen, values, nights, watch)
    entry = again.of(ask.series.name, ask.metric, ROLLING).get(ask.night)
    return found if entry is None or not seen.worse else _measured_again(found, entry, _decision(ask, policy, entry))


def _scale(ask: Question, night: str, now: Record, again: Again) -> float | None:
    """By what a night's value is multiplied to be compared with tonight's, None where it cannot be."""
    before = ask.series.measured(night)[-1]
    if not _apart(before, now):
        return 1.0
    if networks_apart(before, now):
        return None
    return again.bridged(ask.series.name, ask.metric, before.environment.hash, now.environment.hash)


def _settled(ask: Question, policy: Policy, again: Again, nights: Sequence[str]) -> dict[int, bool]:
    """Of nights that were measured again, whether that confirmed them."""
    entries = again.of(ask.series.name, ask.metric, ROLLING)
    found = {place: _decision(ask, policy, entries[night]) for place, night in enumerate(nights) if night in entries}
    return {place: bool(decision.worse) for place, decision in found.items() if decision is not None}


def _decision(ask: Question, policy: Policy, entry: Remeasured, *, effect: float | None = None) -> Decision | None:
    return entry.decision(
        effect=ask.effect if effect is None else effect,
        false_alarms=policy.false_alarms,
        floor=ask.rule.least_difference,
        higher_is_worse=ask.better is Better.LOWER,
    )


def _measured_again(finding: Finding, entry: Remeasured, decision: Decision | None) -> Finding:
    """The finding with what base and head in turn said; its ratio is theirs then."""
    verdict = finding.verdict
    if decision is None:
        reason = "; ".join(filter(None, (verdict.reason, f"not measured again: {entry.obstacle}")))
        return dataclasses.replace(finding, verdict=dataclasses.replace(verdict, reason=reason))
    text = f"measured again in turn, {decision.n_base} + {decision.n_head} processes: "
    if decision.worse:
        text += f"worse there too (p = {decision.p:.2g})"
    else:
        text += f"{100 * (decision.ratio - 1):+.1f} %, not the network but the machine, or chance"
    nights = f"a night of {100 * ((verdict.ratio or 1) - 1):+.1f} % against the level"
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
    kept = [entry for entry in finding.qualifiers if not decision.worse or entry is not Qualifier.SUSPICIOUS]
    mark = Qualifier.CONFIRMED if decision.worse else Qualifier.REFUTED
    layers = entry.layers if decision.worse else ()
    return dataclasses.replace(finding, verdict=verdict, qualifiers=(*kept, mark), layers=layers)


def _apart(before: Record, now: Record) -> str:
    if found := networks_apart(before, now):
        return found.replace(" (--across-networks compares)", "")
    if before.environment.hash == now.environment.hash:
        return ""
    return environments_apart(before.environment, now.environment).replace(" (--across-environments compares)", "")


def _decided(ask: Question, nights: Sequence[str], baseline: Baseline, environment: str) -> dict[int, float]:
    """The level that somebody accepted, at the first night from which it holds."""
    expected = baseline.get(ask.series.name)
    level = expected.levels.get(ask.metric) if expected else None
    if level is None or level.kind != ACCEPTED or level.environment != environment or level.value <= 0:
        return {}
    index = next((place for place, night in enumerate(nights) if night >= level.night), None)
    return {} if index is None else {index: level.value}


_OUTCOMES = {
    Move.NEW: Outcome.INCONCLUSIVE,
    Move.LEVEL: Outcome.SAME,
    Move.BEYOND: Outcome.INCONCLUSIVE,
    Move.WORSE: Outcome.SLOWER,
    Move.BETTER: Outcome.FASTER,
}


def _finding(ask: Question, seen: Seen, values: Sequence[Value], nights: Sequence[str], watch: Watch) -> Finding:
    blind = seen.move in {Move.LEVEL, Move.BEYOND} and seen.mde is not None and seen.mde > watch.effect
    suspicious = seen.move is Move.BEYOND and seen.worse
    qualifiers = [Qualifier.NEW] * (seen.move is Move.NEW) + [Qualifier.BLIND] * blind
    first, last = seen.since, len(nights) - 1
    before = values[first - 1].records if first else ()
    length = last - first + 1
    run = f"{length} night{'s' * (length > 1)} in a row beyond {watch.effect:.0%}"
    reason = {
        Move.NEW: f"{len(values) - 1} of {watch.least} nights to compare with",
        Move.LEVEL: "",
        Move.BEYOND: f"{run}: not enough to tell it from noise",
        Move.WORSE: f"{run}, since the night of {nights[first]}",
        Move.BETTER: f"{run}",
    }[seen.move]
    if blind:
        reason = "; ".join(filter(None, (reason, f"a week would show {seen.mde or 0:.1%} at the least")))
    return Finding(
        verdict=Verdict(
            case=ask.series.case,
            metric=ask.metric,
            outcome=_OUTCOMES[seen.move],
            ratio=seen.ratio,
            low=seen.low,
            high=seen.high,
            mde=seen.mde,
            n_base=seen.n,
            n_head=length if seen.move in {Move.WORSE, Move.BETTER, Move.BEYOND} else 1,
            reason=reason,
        ),
        name=ask.series.name,
        machine=ask.series.machine,
        reference=ROLLING,
        tier=ask.rule.level,
        unit=values[-1].unit,
        base=seen.level,
        head=values[-1].value,
        qualifiers=tuple(qualifiers + [Qualifier.SUSPICIOUS] * suspicious),
        trend=None
        if seen.move in {Move.NEW, Move.LEVEL}
        else Trend(values=tuple(value.value for value in values[-TREND:]), begins=first - max(0, len(values) - TREND)),
        place=Place(
            night=nights[first],
            commits=(commit_of(before), commit_of(values[first].records)),
            records=(before[-1].id if before else "", values[-1].records[-1].id),
        ),
    )


def against_anchor(ask: Question, policy: Policy, level: Level, process_values: ProcessValues, again: Again) -> Finding:
    """Tonight, and as many nights as must persist, against the pinned level: drift, in units of the effect."""
    records = ask.series.measured(ask.night)
    value = ask.series.value(ask.night, ask.metric)
    if value is None or error_flags(records, ask.metric):
        return ask.finding(Outcome.INCONCLUSIVE, ANCHOR, "no valid value tonight")
    if records[-1].environment.hash != level.environment:
        return ask.finding(
            Outcome.INCOMPARABLE, ANCHOR, "the pinned level is of another environment: benchbox baseline pin a new one"
        )
    worse = 1 if ask.better is Better.LOWER else -1
    limit = policy.anchor.drift * math.log1p(ask.effect)
    persist = ask.rule.persist or policy.rolling.persist
    nights = [night for night in sorted(ask.series.nights) if level.night <= night <= ask.night]
    last = [one for night in nights if (one := ask.series.value(night, ask.metric)) is not None][-persist:]
    beyond = [worse * math.log(one.value / level.value) > limit for one in last]
    head = [one for record in value.records for one in process_values(record, ask.metric)]
    usable = level.values and head and min(*level.values, *head) > 0
    ratio, low, high = ratio_interval(level.values, head) if usable else (value.value / level.value, None, None)
    sure = low is None or high is None or (low if worse > 0 else 1 / high) > math.exp(limit)
    drifted = len(beyond) == persist and all(beyond) and sure
    entry = again.of(ask.series.name, ask.metric, ANCHOR).get(ask.night) if beyond[-1] else None
    decision = _decision(ask, policy, entry, effect=math.expm1(limit)) if entry else None
    drifted = drifted if decision is None else bool(decision.worse)
    outcome = Outcome.SLOWER if drifted else Outcome.INCONCLUSIVE if beyond[-1] else Outcome.SAME
    text = f"limit {policy.anchor.drift:g} × {ask.effect:.0%} from {level.pinned or 'the level'} of {level.night}"
    found = Finding(
        verdict=Verdict(
            case=ask.series.case,
            metric=ask.metric,
            outcome=outcome,
            ratio=ratio,
            low=low,
            high=high,
            n_base=len(level.values),
            n_head=len(head),
            reason=text,
        ),
        name=ask.series.name,
        machine=ask.series.machine,
        reference=ANCHOR,
        tier=ask.rule.level,
        unit=level.unit,
        base=level.value,
        head=value.value,
        qualifiers=(Qualifier.DRIFT, *([Qualifier.SUSPICIOUS] if outcome is Outcome.INCONCLUSIVE else [])),
        place=Place(
            night=ask.night,
            commits=(level.commit, commit_of(value.records)),
            records=(level.records[-1] if level.records else "", value.records[-1].id),
        ),
    )
    return found if entry is None else _measured_again(found, entry, decision)


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
            commits=(commit_of(before), commit_of(tonight)),
            records=(before[-1].id if before else "", tonight[-1].id),
        ),
    )


def unit_of_count(metric: str) -> str:
    """The unit of an analytical count."""
    return "bytes" if metric in COUNTS_OF_BYTES else "1"


def count_of(record: Record, metric: str) -> int | None:
    """An analytical count of a record, None where it has none."""
    return getattr(record.analytic, metric) if record.analytic is not None and metric in EXACT_METRICS else None
