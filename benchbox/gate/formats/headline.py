"""What happened in a night, in one line: what, where, by how much, how sure, and whether it can be believed?

Cases are counted, not rows: each once, by the worst that its rows say.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from benchbox.gate.formats.words import change_in_words, is_suspicious
from benchbox.gate.night import Finding, NightReport, Qualifier, Standing, Tier
from benchbox.gate.tonight import ANCHOR, EXACT
from benchbox.schema.verdict import Outcome
from benchbox.units import counted

_MACHINES = 2


class _State(Enum):
    """What a case is counted as: a sign, whose shape differs and not only its colour, and a word; the worst first."""

    SLOWER = ("✖", "slower")
    DRIFTED = ("✖", "drifted")
    COUNT = ("✖", "with another count")
    FAILED = ("✖", "failed")
    MISSING = ("∅", "missing")
    INCOMPARABLE = ("≠", "incomparable")
    SUSPICIOUS = ("?", "suspicious")
    UNCLEAR = ("?", "inconclusive")
    ACKNOWLEDGED = ("○", "acknowledged")
    FASTER = ("▲", "faster")
    NEW = ("○", "new, with too few nights to be judged")
    REFUTED = ("○", "refuted, not slower when measured again")
    SAME = ("●", "same")


# Of these the largest is named.
_NAMED = (_State.SLOWER, _State.DRIFTED, _State.COUNT, _State.FAILED, _State.MISSING, _State.SUSPICIOUS)


def headline(report: NightReport) -> str:
    """The night in one line: what was found, how often, on which machine, and whether it can be believed."""
    cases: dict[str, list[Finding]] = {}
    for finding in report.findings:
        cases.setdefault(finding.name, []).append(finding)
    found: dict[_State, list[Finding]] = {}
    for rows in cases.values():
        state, row = _worst(rows)
        found.setdefault(state, []).append(row)
    parts = [_part(state, found[state], report) for state in _State if state in found]
    if _State.MISSING not in found and report.coverage.seen:
        parts.append("∅ 0 missing")  # silence would look the same
    informing = sum(row.tier is Tier.SECONDARY and row.verdict.outcome is Outcome.SLOWER for row in report.findings)
    parts += [f"{counted(informing, 'row')} slower for information"] if informing else []
    where = [", ".join(report.machines) if len(report.machines) <= _MACHINES else f"{len(report.machines)} machines"]
    where += ["new environment" if report.environments else "environment unchanged", report.selftest.word]
    if report.selftest.believed is False:
        parts.insert(0, "NOT TO BE BELIEVED")
    said = " · ".join(parts) if report.findings else "nothing was judged"
    return f"night of {report.night or 'no records'}: {said}" + (f" — {', '.join(where)}" if report.machines else "")


def _worst(rows: Sequence[Finding]) -> tuple[_State, Finding]:
    """What a case is counted as, and the row that says so; rows that only inform count where there are no others."""
    deciding = [row for row in rows if row.tier is Tier.PRIMARY] or rows
    states = [(_state_of(row), row) for row in deciding]
    # Counts are known after the first night: they do not make a case that has no level yet one that has.
    timed = [entry for entry in states if entry[1].reference != EXACT] or states
    settled = [entry for entry in timed if entry[0] is not _State.NEW]
    states = [entry for entry in states if entry[0] is not _State.NEW] if settled else states
    order = list(_State)
    return min(states, key=lambda entry: order.index(entry[0]))


def _state_of(row: Finding) -> _State:
    outcome, marks = row.verdict.outcome, row.qualifiers
    named = {Outcome.FAILED: _State.FAILED, Outcome.MISSING: _State.MISSING}
    if outcome in named:
        return named[outcome]
    if Qualifier.ACKNOWLEDGED in marks:
        return _State.ACKNOWLEDGED
    if Qualifier.EXACT in marks and outcome in {Outcome.SLOWER, Outcome.FASTER}:
        return _State.COUNT
    if outcome is Outcome.SLOWER:
        return _State.DRIFTED if Qualifier.DRIFT in marks else _State.SLOWER
    if outcome is Outcome.INCOMPARABLE:
        # Of a level of another environment: the nights say more.
        return _State.INCOMPARABLE if row.reference != ANCHOR else _State.SAME
    for mark, state in ((Qualifier.NEW, _State.NEW), (Qualifier.REFUTED, _State.REFUTED)):
        if mark in marks:
            return state
    if is_suspicious(row):
        return _State.SUSPICIOUS
    if outcome is Outcome.INCONCLUSIVE or Qualifier.BLIND in marks:
        return _State.UNCLEAR
    return _State.FASTER if outcome is Outcome.FASTER else _State.SAME


def _part(state: _State, rows: Sequence[Finding], report: NightReport) -> str:
    """How many, and of what somebody has to look at the first, which is the largest."""
    sign, word = state.value
    text = f"{sign} {len(rows)} {word}"
    if state is _State.ACKNOWLEDGED:
        held = [entry.days for entry in report.acknowledged if entry.standing is Standing.HOLDS]
        return f"{text}, oldest {counted(max(held), 'day')}" if held else text
    if state not in _NAMED:
        return text
    first = rows[0]
    name = " ".join((first.name if len(report.machines) > 1 else first.name.rpartition("@")[0]).split())
    most = ", the largest " if len(rows) > 1 and first.verdict.ratio else ", the first " if len(rows) > 1 else ": "
    return text + most + " ".join(filter(None, (name, first.verdict.metric, change_in_words(first))))
