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
from benchbox.gate.night import Coverage, Finding, NewEnvironment, Qualifier, Tier
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
        *_gaps(findings, policy, coverage),
        *_nothing(findings, night, newest, coverage),
        *_damage(unreadable),
        *_environments(environments),
        *_budgets(findings, policy),
    )


def _doubts(trust: Trust, policy: Policy) -> Iterator[Reason]:
    """Why nothing of this night can be believed."""
    if trust.believed is False:
        said = f"equal sides are {trust.aa}, the injected slow-down is {trust.injected}"
        yield EXIT_GAPS, f"the gate cannot be believed tonight: its self-test failed, {said}"
    elif trust.missing and policy.selftest.every == "night":
        machines = ", ".join(trust.missing)
        yield EXIT_GAPS, f"the gate cannot be believed tonight: no self-test on {machines} (gate --selftest)"


def _changes(findings: Sequence[Finding]) -> Iterator[Reason]:
    """What is worse, and counts that changed, by kind."""
    alarms = [finding for finding in findings if finding.is_alarm]
    exact = sum(Qualifier.EXACT in finding.qualifiers for finding in alarms)
    drifted = sum(Qualifier.DRIFT in finding.qualifiers for finding in alarms)
    slower = len(alarms) - exact - drifted
    parts = [f"{slower} slower"] * bool(slower) + [f"{drifted} drifted away from a level"] * bool(drifted)
    parts += [_counted(exact, "count changed", "counts changed")] * bool(exact)
    if alarms:
        yield EXIT_REGRESSION, ", ".join(parts)


def _gaps(findings: Sequence[Finding], policy: Policy, coverage: Coverage) -> Iterator[Reason]:
    """Cases without numbers, and new ones where the policy allows none."""
    gaps = [finding for finding in findings if finding.is_gap and finding.tier is Tier.PRIMARY]
    if gaps:
        metrics = [gap for gap in gaps if gap.verdict.metric]
        cases = len(gaps) - len(metrics)
        parts = [_counted(cases, "case without numbers", "cases without numbers")] if cases else []
        parts += [_counted(len(metrics), "metric missing", "metrics missing")] if metrics else []
        names = [" ".join(filter(None, (gap.name, gap.verdict.metric))) for gap in gaps]
        yield EXIT_GAPS, f"{' and '.join(parts)}: {_listed(names)}"
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


def _environments(environments: Sequence[NewEnvironment]) -> Iterator[Reason]:
    if environments:
        found = "; ".join(f"new environment on {entry.machine} ({_listed([*entry.changed])})" for entry in environments)
        yield EXIT_ENVIRONMENT_CHANGED, f"{found}: its nights are new, unless --confirm --ab carries the levels over"


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
        ("blind", blind, all_blind, policy.budget.blind),
    ):
        if rows and len(some) / len(rows) > most:
            text = f"{len(some)} of {_counted(len(rows), 'primary row', 'primary rows')} {word}"
            # The night's headline counts them all.
            apart = f" ({in_all} in all; {_UNCOUNTED})" if in_all > len(some) else ""
            yield EXIT_INCONCLUSIVE, f"{text}, more than {format_percent(most)}{apart}"


def _listed(names: Sequence[str]) -> str:
    """The first few, each on the line of the others whatever a name holds."""
    more = len(names) - _NAMED
    return ", ".join(" ".join(name.split()) for name in names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
