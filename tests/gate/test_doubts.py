"""Claims that the machine's own speed may explain are not made."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from sample_records import record, trials

from benchbox.gate.comparable import Measured, Rules
from benchbox.gate.judge import verdict_between, verdicts_from_measured
from benchbox.metrics.probes import ARITHMETIC, HANDOVER, counter_name
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.verdict import Outcome, Verdict

SPREAD = (1.0, 1.001, 0.999, 1.002, 0.998)


def measured(
    median_s: float,
    *,
    reference_s: float | None = None,
    kind: str = ARITHMETIC,
    clock_hz: float | None = None,
    **plan: Any,
) -> Measured:
    """A record of five processes around a median, on a machine of this reference; with a clock it is a GPU's."""
    timed, _ = trials()
    made = []
    for place, factor in enumerate(SPREAD):
        times = (round(1e9 * median_s * factor),) * 3
        counters = dict(timed.counters)
        if reference_s is not None:
            counters[counter_name(kind, "before")] = reference_s * factor
            counters[counter_name(kind, "after")] = reference_s / factor
        if clock_hz is not None:
            counters["gpu_clock_median_hz"] = clock_hz
        made.append(
            dataclasses.replace(
                timed,
                number=place,
                samples_ns=times,
                window_ns=sum(times),
                gpu_ns=times if clock_hz else (),
                counters=counters,
            )
        )
    entry = record(flags=(), **({"plan": MeasurementPlan(**plan)} if plan else {}))
    if clock_hz is not None:
        entry = dataclasses.replace(entry, key=dataclasses.replace(entry.key, device="cuda"))
    return Measured(record=entry, trials=tuple(made))


def verdict(base: Measured, head: Measured, *metrics: str) -> Verdict:
    (found,) = verdicts_from_measured([base], [head], Rules(metrics=metrics or ("latency_p50",)))
    return found


@pytest.mark.parametrize(
    ("factor", "machine", "outcome"),
    [
        (1.2, 1.0, Outcome.SLOWER),
        (1.2, 1.02, Outcome.SLOWER),
        (1.2, 1.25, Outcome.INCONCLUSIVE),
        (0.8, 0.75, Outcome.INCONCLUSIVE),
        (1.0, 1.25, Outcome.INCONCLUSIVE),
        (1.0, 0.75, Outcome.INCONCLUSIVE),
        # A network that got faster on a slower machine, or slower on a faster one, did so all the more.
        (0.8, 1.25, Outcome.FASTER),
        (1.2, 0.75, Outcome.SLOWER),
    ],
)
def test_another_speed_of_the_machine_is_no_claim_about_the_network(
    factor: float, machine: float, outcome: Outcome
) -> None:
    found = verdict(measured(1.0, reference_s=1e-3), measured(factor, reference_s=machine * 1e-3))
    assert found.outcome is outcome
    assert found.ratio == pytest.approx(factor)
    assert ("(probe_arithmetic)" in found.reason) is (outcome is Outcome.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("factor", "machine", "outcome"),
    [
        (1.25, 1.4, Outcome.SLOWER),
        (1.25, 2.0, Outcome.INCONCLUSIVE),
        (0.8, 0.5, Outcome.INCONCLUSIVE),
        (1.0, 2.0, Outcome.INCONCLUSIVE),
        (0.8, 2.0, Outcome.FASTER),
    ],
)
def test_cpus_that_were_moved_apart_are_no_claim_either(factor: float, machine: float, outcome: Outcome) -> None:
    base = measured(1.0, reference_s=140e-9, kind=HANDOVER)
    found = verdict(base, measured(factor, reference_s=machine * 140e-9, kind=HANDOVER))
    assert found.outcome is outcome
    assert ("(probe_handover)" in found.reason) is (outcome is Outcome.INCONCLUSIVE)


def test_the_reference_itself_is_compared_like_any_metric() -> None:
    found = verdict(measured(1.0, reference_s=1e-3), measured(1.0, reference_s=1.25e-3), "probe_arithmetic")
    assert (found.outcome, found.ratio) == (Outcome.SLOWER, pytest.approx(1.25))


def test_records_without_a_reference_are_judged_as_ever() -> None:
    assert verdict(measured(1.0), measured(1.2, reference_s=1e-3)).outcome is Outcome.SLOWER


def test_sides_that_ran_in_turn_met_the_same_machine() -> None:
    base, head = measured(1.0, reference_s=1e-3), measured(1.2, reference_s=2e-3)
    assert verdict_between(base, head, "latency_p50", Rules()).outcome is Outcome.SLOWER


@pytest.mark.parametrize(
    ("factor", "clock", "outcome"),
    [
        (1.2, 1.0, Outcome.SLOWER),
        (1.2, 1 / 1.2, Outcome.INCONCLUSIVE),  # as many cycles as before
        (1.0, 1.2, Outcome.INCONCLUSIVE),  # more cycles, hidden by a faster clock
        (1.5, 1 / 1.2, Outcome.SLOWER),  # more cycles, and a slower clock
    ],
)
@pytest.mark.parametrize("metric", ["latency_p50", "gpu_time_p50"])
def test_a_free_clock_must_say_the_same_in_cycles(factor: float, clock: float, outcome: Outcome, metric: str) -> None:
    base, head = measured(1.0, clock_hz=1e9), measured(factor, clock_hz=clock * 1e9)
    found = verdict(base, head, metric)
    assert found.outcome is outcome
    assert ("in cycles" in found.reason) is (outcome is Outcome.INCONCLUSIVE)


def test_a_clock_that_was_held_is_not_asked() -> None:
    base = measured(1.0, clock_hz=1e9, locked_clocks="1000 MHz")
    head = measured(1.2, clock_hz=0.8e9, locked_clocks="1000 MHz")
    assert verdict(base, head).outcome is Outcome.SLOWER


def test_what_the_clock_does_not_move_is_not_judged_in_cycles() -> None:
    base, head = measured(1.0, clock_hz=1e9), measured(1.0, clock_hz=1.2e9)
    loads = [
        dataclasses.replace(side, trials=tuple(dataclasses.replace(trial, load_s=1.0) for trial in side.trials))
        for side in (base, head)
    ]
    assert verdict(*loads, "load_time").outcome is Outcome.SAME
    assert verdict(base, head, "gpu_cycles_p50").outcome is Outcome.SLOWER
