"""Has a case drifted away from the level that is pinned in git?"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

from benchbox.gate.again import Again
from benchbox.gate.clocks import clocks_float
from benchbox.gate.levels.baseline import Level
from benchbox.gate.night import Finding, Place, Qualifier
from benchbox.gate.policy import Policy
from benchbox.gate.series import commit_of, error_flags
from benchbox.gate.tonight import ANCHOR, ProcessValues, Question, decision_on, measured_again
from benchbox.metrics.device_times import CYCLES
from benchbox.schema.reading import Better
from benchbox.schema.verdict import Outcome, Verdict
from benchbox.stats.rank import ratio_interval
from benchbox.units import format_change, format_percent


def against_anchor(
    ask: Question,
    policy: Policy,
    level: Level,
    process_values: ProcessValues,
    again: Again,
    *,
    cycles: Level | None = None,
) -> Finding:
    """Tonight, and as many nights as must persist, against the pinned level: drift, in units of the effect.

    A level of another environment is carried over by its bridge, where one was measured. ``cycles`` is the pinned level
    of the GPU's clock cycles, which must have drifted too where the rule asks for it and clocks float.
    """
    records = ask.series.measured(ask.night)
    value = ask.series.value(ask.night, ask.metric)
    if value is None or error_flags(records, ask.metric):
        return ask.finding(Outcome.INCONCLUSIVE, ANCHOR, "no valid value tonight")
    level, scale = _carried_over(ask, level, records[-1].environment.hash, again)
    if scale is None:
        return ask.finding(Outcome.INCOMPARABLE, ANCHOR, _APART)
    worse = 1 if ask.better is Better.LOWER else -1
    limit = policy.anchor.drift * math.log1p(ask.effect)
    persist = ask.rule.persist or policy.rolling.persist
    nights = _changes(ask, level, records[-1].environment.hash)
    far = [worse * change > limit for _, change in nights]
    beyond = far[-persist:]
    head = [one for record in value.records for one in process_values(record, ask.metric)]
    usable = level.values and head and min(*level.values, *head) > 0
    ratio, low, high = ratio_interval(level.values, head) if usable else (value.value / level.value, None, None)
    sure = low is None or high is None or (low if worse > 0 else 1 / high) > math.exp(limit)
    drifted = len(beyond) == persist and all(beyond) and sure
    doubt = _doubt_of_cycles(ask, cycles, limit) if beyond[-1] and ask.rule.also is not None and scale == 1 else ""
    drifted = drifted and not doubt
    entry = again.of(ask.series.name, ask.metric, ANCHOR).get(ask.night) if beyond[-1] else None
    decision = decision_on(ask, policy, entry, effect=math.expm1(limit)) if entry else None
    drifted = drifted if decision is None or decision.worse is None else decision.worse
    outcome = Outcome.SLOWER if drifted else Outcome.INCONCLUSIVE if beyond[-1] else Outcome.SAME
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
            reason=_reason(ask, policy, level, scale, doubt),
        ),
        name=ask.series.name,
        machine=ask.series.machine,
        reference=ANCHOR,
        tier=ask.rule.level,
        unit=level.unit,
        base=level.value,
        head=value.value,
        qualifiers=_qualifiers(outcome, scale),
        place=Place(
            night=_since(nights, far) if drifted else ask.night,
            commits=(level.commit, commit_of(value.records)),
            records=(level.records[-1] if level.records else "", value.records[-1].id),
        ),
    )
    return found if entry is None else measured_again(found, entry, decision)


_APART = "the level is of another environment: benchbox baseline propose, or a bridge (gate --confirm --ab)"


def _carried_over(ask: Question, level: Level, environment: str, again: Again) -> tuple[Level, float | None]:
    """The level as it is in an environment, and by what it was multiplied; None where nobody measured that."""
    if level.environment == environment:
        return level, 1.0
    ratio = again.bridged(ask.series.name, ask.metric, level.environment, environment)
    if ratio is None:
        return level, None
    values = tuple(ratio * value for value in level.values)
    return dataclasses.replace(level, value=ratio * level.value, values=values), ratio


def _changes(ask: Question, level: Level, environment: str) -> list[tuple[str, float]]:
    """The nights since the level, tonight's last, with the logarithms of their ratios to it, in this environment."""
    nights = [night for night in sorted(ask.series.nights) if level.night <= night <= ask.night]
    return [
        (night, math.log(value.value / level.value))
        for night in nights
        if ask.series.measured(night)
        and ask.series.measured(night)[-1].environment.hash == environment
        and (value := ask.series.value(night, ask.metric)) is not None
    ]


def _since(nights: Sequence[tuple[str, float]], far: Sequence[bool]) -> str:
    """The first of the nights that lie beyond the limit up to tonight: so tomorrow's alarm is the same one."""
    back = sum(1 for _ in itertools.takewhile(bool, reversed(far)))
    return nights[-max(back, 1)][0]


def _qualifiers(outcome: Outcome, scale: float) -> tuple[Qualifier, ...]:
    bridged = [Qualifier.BRIDGED] if scale != 1 else []
    return (Qualifier.DRIFT, *bridged, *([Qualifier.SUSPICIOUS] if outcome is Outcome.INCONCLUSIVE else []))


def _reason(ask: Question, policy: Policy, level: Level, scale: float, doubt: str) -> str:
    bridge = f", carried over into this environment by its bridge (× {scale:.3f})" if scale != 1 else ""
    times = f"{policy.anchor.drift:g} × " if policy.anchor.drift != 1 else ""
    name = f"the anchor {level.pinned}" if level.pinned else "the level"
    limit = f"{times}{format_percent(ask.effect)} off {name} of {level.night} are allowed"
    return "; ".join(filter(None, (limit + bridge, doubt)))


def _doubt_of_cycles(ask: Question, level: Level | None, limit: float) -> str:
    """Why drift in time is none in the GPU's clock cycles, "" where it is, or where nobody knows."""
    now = ask.series.value(ask.night, CYCLES)
    if level is None or now is None or level.value <= 0 or not clocks_float(ask.series, ask.night):
        return ""
    ratio = now.value / level.value
    if math.log(ratio) > limit:
        return ""
    return f"{format_change(ratio)} in cycles: the GPU's clock moved, which is not held (run --lock-clocks)"
