"""``also = "cycles"``: where a GPU's clocks float, a night is slower only where its cycles say so too."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from sample_nights import level, nights

from benchbox.gate.levels.proposals import proposals_for
from benchbox.gate.night import Finding, NightReport, Qualifier
from benchbox.gate.nightly import judge_night
from benchbox.gate.policy import Budget, Policy, policy_from_text
from benchbox.metrics.device_times import CYCLES
from benchbox.schema.reading import Better
from benchbox.schema.record import Record
from benchbox.schema.verdict import Outcome

TIME = "gpu_time_p50"
PLAIN = policy_from_text(
    f'[gate]\ndefaults = false\n[[gate.rule]]\nwhere = {{ metric = "{TIME}" }}\neffect = 0.02\n', origin="x"
)
# The nights of these tests are few for an effect of 2 %.
FEW = Policy(budget=Budget(blind=1.0))
QUIET, SLOW = level(20, 1e-3), level(3, 1.1e-3, 1)


def taken(times: Sequence[float], cycles: Sequence[float] | None, *, locked: str = "") -> list[Record]:
    """Nights of a GPU: its times, and its cycles in units of a thousand to a microsecond."""
    found = []
    for place, entry in enumerate(nights(times, flags=())):
        (latency,) = entry.readings
        readings = [dataclasses.replace(latency, metric=TIME)]
        if cycles is not None:
            amount = 1e9 * cycles[place]
            ends = {"value": amount, "low": amount * 0.99, "high": amount * 1.01}
            readings.append(dataclasses.replace(latency, metric=CYCLES, unit="1", better=Better.LOWER, **ends))
        plan = dataclasses.replace(entry.plan, locked_clocks=locked)
        found.append(dataclasses.replace(entry, readings=tuple(readings), plan=plan))
    return found


def judged(records: Sequence[Record], policy: Policy | None = None, **more: Any) -> NightReport:
    return judge_night(records, policy or FEW, process_values=lambda *_: (), **more)


def time_of(report: NightReport, reference: str = "rolling") -> Finding:
    (found,) = [row for row in report.findings if row.verdict.metric == TIME and row.reference == reference]
    return found


def test_a_lower_clock_is_no_slower_network() -> None:
    records = taken([*QUIET, *SLOW], [*QUIET, *level(3, 1e-3, 2)])
    assert judged(records, PLAIN).exit == 1
    report = judged(records)
    found = time_of(report)
    assert (found.verdict.outcome, report.exit) == (Outcome.INCONCLUSIVE, 0)
    # It is flagged all the same, so that --confirm measures both sides under one clock.
    assert Qualifier.SUSPICIOUS in found.qualifiers
    assert "in cycles" in found.verdict.reason
    assert "clock" in found.verdict.reason


def test_a_slower_network_is_slower_in_cycles_too() -> None:
    report = judged(taken([*QUIET, *SLOW], [*QUIET, *SLOW]))
    assert (time_of(report).verdict.outcome, report.exit) == (Outcome.SLOWER, 1)


@pytest.mark.parametrize("cycles", [None, [*QUIET, *level(3, 1e-3, 2)]])
def test_clocks_that_are_held_or_were_not_read_leave_time_alone(cycles: Sequence[float] | None) -> None:
    report = judged(taken([*QUIET, *SLOW], cycles, locked="" if cycles is None else "1410"))
    assert (time_of(report).verdict.outcome, report.exit) == (Outcome.SLOWER, 1)


def test_a_higher_clock_moves_no_level() -> None:
    """Two weeks of a cool machine must not make the nights after it look slower."""
    cool = level(14, 0.9e-3, 3)
    records = taken([*QUIET, *cool, *level(3, 1e-3, 4)], [*QUIET, *level(14, 1e-3, 5), *level(3, 1e-3, 6)])
    assert time_of(judged(records[:34])).verdict.outcome is Outcome.INCONCLUSIVE
    assert judged(records[:34], PLAIN).findings[0].verdict.outcome in {Outcome.SAME, Outcome.FASTER}
    assert judged(records, PLAIN).exit == 1
    assert time_of(judged(records)).verdict.outcome is not Outcome.SLOWER


def test_drift_is_held_against_the_cycles_of_the_pinned_level() -> None:
    base = taken(QUIET, QUIET)
    found, baseline = proposals_for(base, judged(base), Policy(), {}, lambda *_: (), accepted=False)
    assert [entry.metric for entry in found if entry.metric == CYCLES] == [CYCLES]
    for cycles, outcome in ((1e-3, Outcome.INCONCLUSIVE), (1.1e-3, Outcome.SLOWER)):
        records = taken([*QUIET, *SLOW], [*QUIET, *level(3, cycles, 2)])
        anchored = Policy(references=["anchor"])
        report = judged(records, anchored, baseline=baseline)
        assert time_of(report, "anchor").verdict.outcome is outcome
        assert ("in cycles" in time_of(report, "anchor").verdict.reason) is (outcome is Outcome.INCONCLUSIVE)
