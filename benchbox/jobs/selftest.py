"""How does the gate test itself? Pairs on the network that ran fastest tonight: equal sides, and a slowed head.

All pairs are measured in turn, A B B A, with the runtime that measured the night, and judged by the rule that confirms
what a night has flagged. Nothing of it is stored but the decisions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchbox.errors import BenchboxError, MeasurementError, UsageError
from benchbox.gate.comparable import Measured
from benchbox.gate.policy import Policy
from benchbox.gate.selftest import Selftest, write_selftest
from benchbox.gate.series import CaseSeries, case_series
from benchbox.gate.tonight import rule_for
from benchbox.gate.values import round_of
from benchbox.jobs.cases import Case
from benchbox.jobs.confirm import order_for
from benchbox.jobs.gate import Judged
from benchbox.jobs.prepare import source_of
from benchbox.jobs.run import measure_cases
from benchbox.metrics.metric import METRICS
from benchbox.progress import Progress
from benchbox.schema.identity import network_of
from benchbox.schema.plan import MeasurementPlan, Mode, PairOrder
from benchbox.schema.record import reading_of
from benchbox.stats.again import Decision, Round, decide
from benchbox.store.kept import known_artifacts
from benchbox.units import format_percent

METRIC = "latency_p50"
# Reading the clock twice takes part of a microsecond: shorter inferences cannot wait for a tenth of their time.
_SHORTEST_S = 20e-6
MeasurePair = Callable[[Case, Case], tuple[Measured, Measured]]


def selftest(root: Path, judged: Judged, *, progress: Progress, measure: MeasurePair | None = None) -> Selftest:
    """Measures the pairs, stores the decisions, and returns them.

    Args:
        root: project root.
        judged: the night, whose fastest network is used.
        progress: shows what runs.
        measure: measures a pair in turn; in this environment unless a test says otherwise.

    Raises:
        UsageError: no network of the night can be used.
        BenchboxError: it could not be measured.
    """
    series, case = _chosen(root, judged)
    policy = judged.policy
    rule = rule_for(policy, series, METRIC)
    effect = (rule.effect if rule else None) or 0.05

    def pair(base: Case, head: Case) -> tuple[Measured, Measured]:
        order = order_for(policy.confirm, base.backend, base.plan.mode)
        return _in_turn(root, base, head, progress, order)

    slowed = replace(case, plan=replace(case.plan, injected_delay=policy.selftest.injected))
    found = []
    equal = policy.selftest.aa
    for what, head in (
        *((f"equal sides{f' ({number} of {equal})' * (equal > 1)}", case) for number in range(1, equal + 1)),
        (f"a head slowed by {format_percent(policy.selftest.injected)}", slowed),
    ):
        text = f"self-test on {series.name}: {what}, {policy.confirm.processes} processes a side in turn"
        found.append(_decision(measure or pair, case, head, policy, effect, functools.partial(_say, progress, text)))
    test = Selftest(
        night=judged.report.night,
        machine=series.machine,
        name=series.name,
        effect=effect,
        injected=policy.selftest.injected,
        aa=tuple(found[:-1]),
        slowed=found[-1],
    )
    write_selftest(root, test)
    return test


def _chosen(root: Path, judged: Judged) -> tuple[CaseSeries, Case]:
    """The isolated case of tonight with the shortest inferences whose network is still there."""
    known = known_artifacts(root)
    found = []
    for series in case_series(judged.records, night_starts=judged.policy.night_starts):
        for record in series.measured(judged.report.night)[-1:]:
            reading = reading_of(record, METRIC)
            usable = record.key.mode is Mode.ISOLATED and not record.key.variant and network_of(record) in known
            if usable and reading is not None and reading.value >= _SHORTEST_S:
                found.append((reading.value, series, record))
    if not found:
        raise UsageError(
            "there is nothing that the gate could test itself with",
            values=f"no isolated case of the night of {judged.report.night or 'no records'} whose network is here",
            remedy="run it where the night was measured, after 'benchbox run'",
        )
    _, series, record = min(found, key=lambda entry: (entry[0], entry[1].name))
    processes = judged.policy.confirm.processes
    plan: MeasurementPlan = replace(
        record.plan, trials=processes, max_trials=processes, memory_trials=0, energy_windows=0
    )
    case = Case(
        source=source_of(known[network_of(record) or ""]),
        backend=record.key.backend,
        precision=record.key.precision,
        plan=plan,
    )
    return series, case


def _decision(
    measure: MeasurePair, base: Case, head: Case, policy: Policy, effect: float, say: Callable[[int], None]
) -> Decision:
    rounds: list[Round] = []
    while True:
        say(len(rounds))
        rounds.append(_round(measure(base, head)))
        found = decide(rounds, effect=effect, chance=policy.alpha, most=policy.rounds)
        if found.worse is not None:
            return found


def _say(progress: Progress, text: str, earlier: int) -> None:
    """What is measured now, and why it is measured once more."""
    progress.say(text + (", once more: the first round does not decide" if earlier else ""))


def _round(pair: tuple[Measured, Measured]) -> Round:
    found = round_of(*pair, METRICS.get(METRIC))
    if not found.base or not found.head:
        raise MeasurementError("the self-test has no numbers", values=pair[0].record.reason or pair[1].record.reason)
    return found


def _in_turn(root: Path, base: Case, head: Case, progress: Progress, order: PairOrder) -> tuple[Measured, Measured]:
    outcomes = list(
        measure_cases((base, head), root=root, progress=progress, interleaved=True, pair_order=order, stores=False)
    )
    errors: list[BenchboxError] = [outcome.error for outcome in outcomes if outcome.error]
    if errors:
        raise errors[0]
    first, second = sorted(outcomes, key=lambda outcome: outcome.place)
    return (
        Measured(record=first.record, trials=first.trials),
        Measured(record=second.record, trials=second.trials),
    )
