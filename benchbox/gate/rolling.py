"""What does tonight say of one case against the last good nights of the same environment and network?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from benchbox.gate.again import Again
from benchbox.gate.clocks import Cycles, cycles_beside
from benchbox.gate.comparable import environments_apart, networks_apart
from benchbox.gate.levels.baseline import ACCEPTED, Baseline
from benchbox.gate.night import Finding, Need, Place, Qualifier, Trend
from benchbox.gate.policy import Policy
from benchbox.gate.series import Value, commit_of, error_flags
from benchbox.gate.tonight import ROLLING, Question, decision_on, measured_again
from benchbox.metrics.metric import METRICS
from benchbox.schema.reading import Better
from benchbox.schema.record import Record, reading_of
from benchbox.schema.trial import Pass
from benchbox.schema.verdict import Outcome, Verdict
from benchbox.stats.again import Decision
from benchbox.stats.nights import Move, Seen, Watch, last_night, processes_needed
from benchbox.units import format_percent

# Nights in a picture of a finding.
TREND = 30


def against_rolling(ask: Question, policy: Policy, baseline: Baseline, again: Again, *, chance: float) -> Finding:
    """Tonight against the last good nights of the same environment and network.

    Nights of another environment count too where a bridge says what its levels are in this one.
    """
    records = ask.series.measured(ask.night)
    if flags := error_flags(records, ask.metric):
        return ask.finding(Outcome.INCONCLUSIVE, ROLLING, f"flagged as invalid: {', '.join(flags)}")
    earlier = ask.series.before(ask.night)
    alike = ask.series.alike(ask.night)
    scales = {
        night: scale
        for night in earlier
        if (scale := 1.0 if night in alike else _scale(ask, night, records[-1], again)) is not None
    }
    if earlier and not scales:
        before = ask.series.measured(earlier[-1])[-1]
        return ask.finding(Outcome.INCOMPARABLE, ROLLING, _apart(before, records[-1]))
    measured = {
        night: value if scale == 1 else value._replace(value=value.value * scale)
        for night, scale in {**scales, ask.night: 1.0}.items()
        if (value := ask.series.value(night, ask.metric)) is not None
    }
    nights, values = list(measured), list(measured.values())
    if ask.night not in measured:
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
    levels = _decided(ask, nights, baseline, again, records[-1].environment.hash)
    cycles = None
    if ask.rule.also is not None:
        unscaled = [scales.get(night, 1.0) == 1 for night in nights]
        cycles = cycles_beside(ask.series, nights, unscaled, watch, moved=levels)
    seen = last_night(
        [value.value for value in values],
        watch,
        errors=[value.error for value in values],
        levels=levels,
        settled=_settled(ask, policy, again, nights),
        backed=cycles.sides if cycles else None,
    )
    found = _finding(ask, seen, values, nights, watch, cycles)
    entry = again.of(ask.series.name, ask.metric, ROLLING).get(ask.night)
    if entry is None or not (seen.worse or Qualifier.BLIND in found.qualifiers):
        return found
    decision = decision_on(ask, policy, entry)
    return measured_again(found, entry, decision, clear=decision is not None and _is_clear(decision, ask))


def _is_clear(decision: Decision, ask: Question) -> bool:
    """Whether the interval of base and head in turn leaves out every change for the worse that matters."""
    if decision.low is None or decision.high is None:
        return False
    worst = decision.high if ask.better is Better.LOWER else 1 / decision.low
    return worst <= 1 + ask.effect


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
    found = {place: decision_on(ask, policy, entries[night]) for place, night in enumerate(nights) if night in entries}
    return {
        place: decision.worse
        for place, decision in found.items()
        if decision is not None and decision.worse is not None
    }


def _apart(before: Record, now: Record) -> str:
    if found := networks_apart(before, now):
        return found.replace(" (--across-networks compares)", "")
    if before.environment.hash == now.environment.hash:
        return ""
    return environments_apart(before.environment, now.environment).replace(" (--across-environments compares)", "")


def _decided(
    ask: Question, nights: Sequence[str], baseline: Baseline, again: Again, environment: str
) -> dict[int, float]:
    """The level that somebody accepted, at the first night from which it holds, in the environment of tonight."""
    expected = baseline.get(ask.series.name)
    level = expected.levels.get(ask.metric) if expected else None
    if level is None or level.kind != ACCEPTED or level.value <= 0:
        return {}
    scale = 1.0
    if level.environment != environment:
        bridged = again.bridged(ask.series.name, ask.metric, level.environment, environment)
        if bridged is None:
            return {}
        scale = bridged
    index = next((place for place, night in enumerate(nights) if night >= level.night), None)
    return {} if index is None else {index: scale * level.value}


_OUTCOMES = {
    Move.NEW: Outcome.INCONCLUSIVE,
    Move.LEVEL: Outcome.SAME,
    Move.BEYOND: Outcome.INCONCLUSIVE,
    Move.WORSE: Outcome.SLOWER,
    Move.BETTER: Outcome.FASTER,
}


def _finding(
    ask: Question,
    seen: Seen,
    values: Sequence[Value],
    nights: Sequence[str],
    watch: Watch,
    cycles: Cycles | None,
) -> Finding:
    blind = seen.move in {Move.LEVEL, Move.BEYOND} and seen.mde is not None and seen.mde > watch.effect
    suspicious = seen.move is Move.BEYOND and seen.worse
    qualifiers = [Qualifier.NEW] * (seen.move is Move.NEW) + [Qualifier.BLIND] * blind
    first, last = seen.since, len(nights) - 1
    before = values[first - 1].records if first else ()
    length = last - first + 1
    run = f"{length} night{'s in a row' * (length > 1)} beyond {format_percent(watch.effect)}"
    reason = _reason(seen.move, run, length, watch, before=len(values) - 1, since=nights[first])
    if cycles is not None and seen.move is Move.BEYOND and (doubt := cycles.doubt(last, worse=seen.worse)):
        reason = f"{run}; {doubt}"
    if len(records := values[-1].records) > 1 and reason:
        each = [one.value for record in records if (one := reading_of(record, ask.metric)) is not None]
        reason += f"; its {len(records)} records are {format_percent(max(each) / min(each) - 1, 1)} apart"
    if blind:
        least = format_percent(seen.mde or 0, 1)
        reason = "; ".join(filter(None, (reason, f"only a change of at least {least} would show within a week")))
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
        need=_need(ask, seen, values[-watch.nights :], watch) if blind else None,
        place=Place(
            night=nights[first],
            commits=(commit_of(before), commit_of(values[first].records)),
            records=(before[-1].id if before else "", values[-1].records[-1].id),
        ),
    )


def _reason(move: Move, run: str, length: int, watch: Watch, *, before: int, since: str) -> str:
    """Why a night is called what it is called; "" for one at the level."""
    few = f"{watch.persist} in a row are needed" if length < watch.persist else "not clearly beyond noise"
    return {
        Move.NEW: f"{before} of {watch.least} nights to compare with",
        Move.LEVEL: "",
        Move.BEYOND: f"{run}: {few}",
        Move.WORSE: f"{run}, since the night of {since}",
        Move.BETTER: f"{run}",
    }[move]


def _need(ask: Question, seen: Seen, values: Sequence[Value], watch: Watch) -> Need | None:
    """How many processes a night would show the effect within a week; None where their noise is not known.

    The smallest change that shows goes with the spread of the nights, on logarithms.
    """
    metric = METRICS.get(ask.metric)
    counts = [_processes(value, ask.metric) for value in values if value.error > 0]
    if metric.pass_ is not Pass.TIMING or metric.replicates is not None or not counts:
        return None
    assert seen.mde is not None  # or it would not be called blind
    assert seen.spread is not None
    tonight = values[-1].error  # where that is the larger one, it is what makes the row blind
    error = max(tonight, math.sqrt(math.fsum(value.error**2 for value in values) / len(counts)))
    spread = max(seen.spread, tonight)
    wanted = spread * math.log1p(watch.effect) / math.log1p(seen.mde)
    return Need(processes=processes_needed(spread, min(error, spread), round(statistics.median(counts)), wanted))


def _processes(value: Value, metric: str) -> int:
    """Behind a night's value."""
    readings = (reading_of(record, metric) for record in value.records)
    return sum(reading.n for reading in readings if reading is not None)
