"""What speaks against a night, and with which exit status does it end?

Every reason is named; the first in this order decides: the gate itself cannot be believed, something is worse, numbers
are missing, records are damaged, the environment is another, too much cannot be told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbox.errors import (
    EXIT_ENVIRONMENT_CHANGED,
    EXIT_INCONCLUSIVE,
    EXIT_REGRESSION,
    MeasurementError,
    StoreError,
)
from benchbox.gate.night import Coverage, Finding, NewEnvironment, NightReport, Qualifier, Tier
from benchbox.gate.policy import Policy
from benchbox.gate.selftest import Trust
from benchbox.gate.tonight import ROLLING
from benchbox.schema.verdict import Outcome
from benchbox.units import format_percent

# Nothing can be believed of a case without numbers.
EXIT_GAPS, EXIT_UNREADABLE = MeasurementError.exit_status, StoreError.exit_status
_NAMED = 3
_UNCOUNTED = "secondary metrics, levels in git and first bad nights are not counted here"

Reason = tuple[int, str]


def reasons_of(
    findings: Sequence[Finding],
    policy: Policy,
    *,
    night: str,
    newest: str,
    coverage: Coverage,
    environments: Sequence[NewEnvironment],
    trust: Trust,
    unreadable: Sequence[str],
) -> tuple[Reason, ...]:
    """All that speaks against a night, as (exit status, text), the deciding one first.

    Args:
        findings: of the night.
        policy: with the budgets.
        night: that was judged, "" where there is none.
        newest: the newest night with records, "" where there is none.
        coverage: of the night.
        environments: that are new in it.
        trust: in the gate itself.
        unreadable: files of damaged records.
    """
    return (
        *_doubts(trust, policy),
        *_changes(findings),
        *_gaps(findings),
        *_new_cases(policy, coverage),
        *_nothing(findings, night, newest, coverage),
        *_damage(unreadable),
        *_environments(environments, night),
        *_budgets(findings, policy),
    )


def reasons_beside_rows(report: NightReport) -> list[str]:
    """What speaks against a night and stands in none of its rows, that the gate cannot be believed first.

    That much is unclear is left out where something else decides.
    """
    of_rows = {*_changes(report.findings), *_gaps(report.findings)}
    return [
        text
        for status, text in report.reasons
        if (status, text) not in of_rows and (status != EXIT_INCONCLUSIVE or report.exit == status)
    ]


def _doubts(trust: Trust, policy: Policy) -> Iterator[Reason]:
    """Why nothing of this night can be believed."""
    again = "benchbox doctor says what disturbs the machine, gate --selftest tests again"
    if trust.believed is False:
        yield EXIT_GAPS, f"the gate cannot be believed tonight: its self-test {' and '.join(_wrong(trust))} ({again})"
    elif trust.missing and policy.selftest.every == "night":
        machines = ", ".join(trust.missing)
        yield EXIT_GAPS, f"the gate cannot be believed tonight: no self-test on {machines} (gate --selftest)"


def _wrong(trust: Trust) -> Iterator[str]:
    """What a self-test that failed got wrong."""
    if trust.aa == Outcome.INCONCLUSIVE:
        yield "could not tell that equal sides are the same"
    elif trust.aa != Outcome.SAME:
        yield f"called equal sides {trust.aa}"
    if trust.injected != Outcome.SLOWER:
        yield "missed the slow-down that was injected"


def _changes(findings: Sequence[Finding]) -> Iterator[Reason]:
    """What is worse, and counts that changed, by kind."""
    alarms = [finding for finding in findings if finding.is_alarm]
    exact = [finding for finding in alarms if Qualifier.EXACT in finding.qualifiers]
    drifted = {finding.name for finding in alarms if Qualifier.DRIFT in finding.qualifiers}
    slower = {finding.name for finding in alarms if not {Qualifier.EXACT, Qualifier.DRIFT} & set(finding.qualifiers)}
    parts = [_counted(len(slower), "case slower", "cases slower")] * bool(slower)
    parts += [_counted(len(drifted), "case drifted from its level", "cases drifted from their levels")] * bool(drifted)
    parts += [_counted(len(exact), "count changed", "counts changed")] * bool(exact)
    if alarms:
        yield EXIT_REGRESSION, ", ".join(parts)


def _gaps(findings: Sequence[Finding]) -> Iterator[Reason]:
    """Cases without numbers."""
    gaps = [finding for finding in findings if finding.is_gap and finding.tier is Tier.PRIMARY]
    kinds = (
        ("case missing", "cases missing", [gap for gap in gaps if gap.verdict.outcome is Outcome.MISSING]),
        ("case failed", "cases failed", [gap for gap in gaps if gap.verdict.outcome is Outcome.FAILED]),
    )
    parts = []
    for one, many, found in kinds:
        if cases := [gap for gap in found if not gap.verdict.metric]:
            parts.append(_counted(len(cases), one, many))
    if metrics := [gap for gap in gaps if gap.verdict.metric]:
        parts.append(_counted(len(metrics), "metric missing", "metrics missing"))
    if gaps:
        names = [" ".join(filter(None, (gap.name, gap.verdict.metric))) for gap in gaps]
        yield EXIT_GAPS, f"{' and '.join(parts)}: {_listed(names)}"


def _new_cases(policy: Policy, coverage: Coverage) -> Iterator[Reason]:
    """New cases, where the policy allows none."""
    if coverage.new and not policy.coverage.allow_new:
        text = _counted(len(coverage.new), "new case", "new cases")
        yield EXIT_GAPS, f"{text}, without a level: {_listed(coverage.new)}"


def _nothing(findings: Sequence[Finding], night: str, newest: str, coverage: Coverage) -> Iterator[Reason]:
    """A night in which nothing was judged is no good one."""
    if any(not finding.is_gap for finding in findings):
        return
    if not night or not newest:
        yield EXIT_GAPS, "there are no records: 'benchbox run MODEL' makes some"
    elif coverage.seen:
        cases = _counted(coverage.seen, "case was", "cases were")
        yield (
            EXIT_GAPS,
            (
                f"nothing was judged: {cases} measured in the night of {night}, and no rule of benchbox.toml matches "
                "(its 'where'; defaults = true adds the usual rules)"
            ),
        )
    else:
        ago = f"; the newest records are of the night of {newest}" if newest < night else ""
        yield EXIT_GAPS, f"nothing was judged in the night of {night}{ago}"


def _damage(unreadable: Sequence[str]) -> Iterator[Reason]:
    if unreadable:
        text = _counted(len(unreadable), "record cannot be read", "records cannot be read")
        yield EXIT_UNREADABLE, f"{text}: {_listed(unreadable)} (restore from a copy, or delete)"


def _environments(environments: Sequence[NewEnvironment], night: str) -> Iterator[Reason]:
    if environments:
        found = "; ".join(f"new environment on {entry.machine} ({_listed([*entry.changed])})" for entry in environments)
        carried = f"benchbox gate --night {night} --confirm --ab OLD/bin/python NEW/bin/python"
        yield (
            EXIT_ENVIRONMENT_CHANGED,
            f"{found}: no case is called slower for it, and the next nights make new levels; where both can still run, "
            f"this carries the old ones over: {carried}",
        )


def _budgets(findings: Sequence[Finding], policy: Policy) -> Iterator[Reason]:
    """Too large a share of rows of which nothing can be said."""
    rows = [
        f for f in findings if f.reference == ROLLING and f.tier is Tier.PRIMARY and Qualifier.NEW not in f.qualifiers
    ]
    unclear = [
        f for f in rows if f.verdict.outcome is Outcome.INCONCLUSIVE and Qualifier.SUSPICIOUS not in f.qualifiers
    ]
    blind = [finding for finding in rows if Qualifier.BLIND in finding.qualifiers]
    all_unclear = sum(f.verdict.outcome is Outcome.INCONCLUSIVE and Qualifier.NEW not in f.qualifiers for f in findings)
    all_blind = sum(Qualifier.BLIND in f.qualifiers for f in findings)
    for word, some, in_all, most in (
        ("inconclusive", unclear, all_unclear, policy.budget.inconclusive),
        ("blind (noise would hide a change as large as the effect)", blind, all_blind, policy.budget.blind),
    ):
        if rows and len(some) / len(rows) > most:
            text = f"{len(some)} of {_counted(len(rows), 'primary row', 'primary rows')} {word}"
            # The table has them all.
            apart = f" ({in_all} in all; {_UNCOUNTED})" if in_all > len(some) else ""
            yield EXIT_INCONCLUSIVE, f"{text}, more than {format_percent(most)}{apart}"


def _listed(names: Sequence[str]) -> str:
    """The first few, each on the line of the others whatever a name holds."""
    more = len(names) - _NAMED
    return ", ".join(" ".join(name.split()) for name in names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
