"""Verdicts: when one is given, when it is withheld, and how often it is wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sample_records import ENVIRONMENT, record, skipped, trials

from benchbox.gate.comparable import Measured, Rules, environments_apart
from benchbox.gate.judge import overall, verdict_between, verdicts_from_measured
from benchbox.schema.energy import EnergyRun, EnergyWindow
from benchbox.schema.loadgen import LoadgenRun
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.reading import Flag, Severity
from benchbox.schema.trial import Pass
from benchbox.schema.verdict import Outcome, Verdict


def measured(medians_s: Sequence[float], number: int = 0, **fields: Any) -> Measured:
    """A record whose processes had these medians; as in a run, others report their memory."""
    timed, memory = trials()
    made = []
    for place, value in enumerate(medians_s):
        nanoseconds = round(value * 1e9)
        made.append(dataclasses.replace(timed, number=place, samples_ns=(nanoseconds,) * 3, window_ns=3 * nanoseconds))
    made += [
        dataclasses.replace(memory, number=place, peak_host_bytes=1000 + place)
        for place in range(MeasurementPlan().memory_trials)
    ]
    return Measured(record=record(number, **{"flags": (), **fields}), trials=tuple(made))


def verdict(base: Measured, head: Measured, **rules: Any) -> Verdict:
    (found,) = verdicts_from_measured([base], [head], Rules(**rules))
    return found


STEADY = [1.0, 1.001, 0.999, 1.002, 0.998]


@pytest.mark.parametrize(
    ("factor", "outcome"),
    [(1.0, Outcome.SAME), (1.1, Outcome.SLOWER), (0.9, Outcome.FASTER), (1.05, Outcome.INCONCLUSIVE)],
)
def test_outcomes(factor: float, outcome: Outcome) -> None:
    found = verdict(measured(STEADY), measured([factor * value for value in STEADY]))
    assert found.outcome is outcome
    assert found.ratio == pytest.approx(factor)
    assert (found.n_base, found.n_head) == (5, 5)
    assert found.mde is not None
    assert 0 < found.mde < 0.01


def test_more_throughput_is_faster() -> None:
    found = verdict(measured(STEADY), measured([0.8 * value for value in STEADY]), metrics=("throughput",))
    assert found.outcome is Outcome.FASTER
    assert found.ratio == pytest.approx(1.25)


def test_the_least_effect_decides() -> None:
    head = measured([1.03 * value for value in STEADY])
    assert verdict(measured(STEADY), head).outcome is Outcome.SAME
    assert verdict(measured(STEADY), head, effect=0.02).outcome is Outcome.SLOWER


def test_three_processes_are_too_few() -> None:
    found = verdict(measured(STEADY[:3]), measured([2.0, 2.1, 1.9]))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "too few" in found.reason


def test_other_environments_are_not_compared() -> None:
    other = dataclasses.replace(ENVIRONMENT, hash="ffff", hardware={"cpu": "another"}, software={"benchbox": "0.2.0"})
    head = measured(STEADY, environment=other)
    found = verdict(measured(STEADY), head)
    assert found.outcome is Outcome.INCOMPARABLE
    assert "cpu 'none' and 'another'" in found.reason
    assert "benchbox '0.1.0' and '0.2.0'" in found.reason
    assert verdict(measured(STEADY), head, across_environments=True).outcome is Outcome.SAME


def test_other_threads_are_not_compared() -> None:
    base, head = measured(STEADY), measured(STEADY, plan=MeasurementPlan(threads=2))
    found = verdicts_from_measured([base], [head], Rules())
    assert [one.outcome for one in found] == [Outcome.INCOMPARABLE] * 2
    assert [one.reason for one in found] == [
        "only the base has it; the nearest of the head differs: threads 1 and 2",
        "only the head has it; the nearest of the base differs: threads 2 and 1",
    ]


def test_flags_that_void_a_number_withhold_the_verdict() -> None:
    flag = Flag(code="CPU_STEAL", severity=Severity.ERROR, message="stolen")
    found = verdict(measured(STEADY), measured([2 * value for value in STEADY], flags=(flag,)))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "CPU_STEAL" in found.reason


def test_warnings_stand_beside_the_verdict() -> None:
    noisy = Flag(code="NOISY", severity=Severity.WARNING, message="it varies")
    told = Flag(code="TAIL_UNDERSAMPLED", severity=Severity.INFO, message="few samples")
    found = verdict(measured(STEADY), measured([1.2 * value for value in STEADY], flags=(noisy, told)))
    assert found.outcome is Outcome.SLOWER
    assert found.reason.endswith("; warnings: NOISY")


def test_a_flag_about_energy_says_nothing_of_latency() -> None:
    flag = Flag(code="ENERGY_SHARED", severity=Severity.ERROR, message="shared", metrics=("energy_per_sample",))
    found = verdict(measured(STEADY), measured([2 * value for value in STEADY], flags=(flag,)))
    assert found.outcome is Outcome.SLOWER


def _with_energy(run: EnergyRun, *flags: Flag) -> Measured:
    timed, _ = trials()
    made = dataclasses.replace(timed, pass_=Pass.ENERGY, samples_ns=(), energy=run)
    return Measured(record=record(flags=flags), trials=(made,))


def test_energy_is_judged_where_it_was_measured() -> None:
    window = EnergyWindow(energy_j={"gpu_board": 3000.0}, duration_s=10.0, inferences=2000.5)
    run = EnergyRun(scope="gpu_board", idle_power_w={"gpu_board": 60.0}, windows=(window,))
    flag = Flag(code="ENERGY_INCONSISTENT", severity=Severity.ERROR, message="apart", metrics=("energy_per_sample",))
    rules = {"metrics": ("energy_per_sample",)}
    base, head = _with_energy(run), _with_energy(run)
    head = dataclasses.replace(head, record=dataclasses.replace(head.record, id="20260103T030400Z-00000001"))
    found = verdict(base, head, **rules)
    assert (found.outcome, found.n_base) == (Outcome.INCONCLUSIVE, 1)
    assert found.reason.startswith("too few values for a 95 % interval: at least 4 energy windows (--energy-windows)")
    assert "ENERGY_INCONSISTENT" in verdict(_with_energy(run), _with_energy(run, flag), **rules).reason
    absent = verdict(_with_energy(run), _with_energy(EnergyRun(absent="no counter")), **rules)
    assert (absent.outcome, absent.reason) == (Outcome.INCOMPARABLE, "the head has no energy_per_sample")


def test_cases_on_one_side_only_and_cases_without_numbers_are_reported() -> None:
    missing = Measured(record=skipped(), trials=())
    found = verdicts_from_measured([measured(STEADY)], [missing], Rules())
    assert [one.reason for one in found] == [
        "only the base has it; the nearest of the head differs: precision fp32 and bf16",
        "only the head has it; the nearest of the base differs: precision bf16 and fp32",
    ]
    (both,) = verdicts_from_measured([missing], [missing], Rules())
    assert both.reason == "skipped on both sides: bf16 cannot run here"
    same = verdicts_from_measured([measured(STEADY), missing], [measured(STEADY, 5), missing], Rules())
    assert overall(same) is Outcome.SAME, "what neither side could run decides nothing"
    assert overall(found) is overall([both]) is overall([]) is Outcome.INCOMPARABLE


def test_a_metric_that_a_side_lacks() -> None:
    head = measured(STEADY)
    head = dataclasses.replace(head, trials=tuple(t for t in head.trials if t.pass_ is Pass.TIMING))
    found = verdict(measured(STEADY), head, metrics=("peak_host_memory",))
    assert (found.outcome, found.reason) == (Outcome.INCOMPARABLE, "the head has no peak_host_memory")


def test_replicates_of_one_environment_are_joined_and_older_environments_left() -> None:
    old = measured([9.0] * 5, 0, environment=dataclasses.replace(ENVIRONMENT, hash="old"))
    base = [old, measured(STEADY, 1), measured(STEADY, 2)]
    (found,) = verdicts_from_measured(base, [measured(STEADY, 3)], Rules())
    assert (found.outcome, found.n_base) == (Outcome.SAME, 10)


def noisy(draw: np.random.Generator, count: int, factor: float = 1.0) -> Measured:
    """Processes of a shared machine: 1.5 % between them, and now and then one that is much slower."""
    values = factor * np.exp(0.015 * draw.standard_t(3, count))
    return measured(values.tolist())


def test_equal_sides_get_no_false_verdict() -> None:
    draw = np.random.default_rng(1)
    found = [verdict(noisy(draw, 8), noisy(draw, 8)).outcome for _ in range(300)]
    assert sum(outcome in (Outcome.FASTER, Outcome.SLOWER) for outcome in found) <= 1


def test_a_slowdown_of_a_tenth_is_found() -> None:
    draw = np.random.default_rng(2)
    found = [verdict(noisy(draw, 8), noisy(draw, 8, 1.1)).outcome for _ in range(200)]
    assert found.count(Outcome.SLOWER) >= 180
    assert Outcome.FASTER not in found


def test_fields_that_an_older_record_lacks_are_told_apart_from_what_differs() -> None:
    hardware, software = {"cpu": "a", "governor": "powersave"}, {"benchbox": "1", "numpy": "2"}
    base = dataclasses.replace(ENVIRONMENT, hash="1", hardware=hardware, software=software)
    newer = dataclasses.replace(
        base, hash="2", hardware={**hardware, "aslr": "full", "microcode": "7"}, software={**software, "os": "Debian"}
    )
    reason = environments_apart(base, newer)
    assert "the base did not record aslr, microcode, os" in reason
    assert "what both recorded is equal (--across-environments compares)" in reason
    changed = dataclasses.replace(
        newer,
        hardware={**newer.hardware, "governor": "performance"},
        software={"benchbox": "1", "env OMP_PROC_BIND": "true", "torch": "3", "os": "Debian"},
    )
    reason = environments_apart(base, changed)
    assert "governor 'powersave' and 'performance'" in reason
    assert "env OMP_PROC_BIND not set and 'true'" in reason
    assert "numpy '2' and not installed" in reason
    assert "torch not installed and '3'" in reason
    assert "the base did not record aslr, microcode, os" in reason
    assert "is equal" not in reason
    assert "the head did not record" in environments_apart(newer, base)


def test_what_another_tool_measures_is_another_case() -> None:
    alike = measured(STEADY, plan=MeasurementPlan(like="trtexec-11"))
    for one in verdicts_from_measured([measured(STEADY)], [alike], Rules()):
        assert one.outcome is Outcome.INCOMPARABLE
        assert "like " in one.reason


def load_of(**fields: Any) -> LoadgenRun:
    return LoadgenRun(**{"version": "6.0.17", "samples": 3, "completed_per_s": 100.0, "valid": True, **fields})


def loaded(mode: Mode, overs: Sequence[int], **plan: Any) -> Measured:
    """A record of one of LoadGen's modes; of its three samples so many were over the bound, process by process."""
    made = measured(STEADY, plan=MeasurementPlan(mode=mode, **plan))
    key = dataclasses.replace(made.record.key, mode=mode)
    numbers = iter(overs)
    own = [
        dataclasses.replace(trial, loadgen=load_of(over_bound=next(numbers))) if trial.pass_ is Pass.TIMING else trial
        for trial in made.trials
    ]
    if mode is Mode.OFFLINE:
        own = [dataclasses.replace(trial, samples_ns=()) for trial in own]
    return Measured(record=dataclasses.replace(made.record, key=key), trials=tuple(own))


def test_other_rates_and_bounds_are_not_compared() -> None:
    base = loaded(Mode.SERVER, [1] * 5, rate_per_s=100.0, latency_bound_s=0.1)
    assert verdict(base, base).outcome is Outcome.SAME
    for other in ({"rate_per_s": 200.0, "latency_bound_s": 0.1}, {"rate_per_s": 100.0, "latency_bound_s": 0.2}):
        for found in verdicts_from_measured([base], [loaded(Mode.SERVER, [1] * 5, **other)], Rules()):
            assert found.outcome is Outcome.INCOMPARABLE
            assert "differs: rate_per_s" in found.reason or "differs: latency_bound_s" in found.reason


def test_a_share_of_zero_has_no_ratio() -> None:
    base, head = loaded(Mode.SERVER, [1, 0, 1, 1, 1]), loaded(Mode.SERVER, [1] * 5)
    found = verdict(base, head, metrics=("over_bound_share",))
    assert found.outcome is Outcome.INCOMPARABLE
    assert "there is no ratio" in found.reason
    assert verdict(head, head, metrics=("over_bound_share",)).outcome is Outcome.SAME


def test_offline_is_compared_by_its_rate() -> None:
    made = loaded(Mode.OFFLINE, [0] * 5)
    assert "compare throughput" in verdict(made, made).reason
    assert verdict(made, made, metrics=("throughput",)).outcome is Outcome.SAME


def test_energy_of_one_run_a_side_is_judged_by_its_windows() -> None:
    def run(factor: float) -> Measured:
        joules = [factor * value for value in (3000.0, 3003.0, 2997.0, 3006.0, 2994.0)]
        windows = tuple(EnergyWindow(energy_j={"gpu_board": j}, duration_s=10.0, inferences=2000.0) for j in joules)
        return _with_energy(EnergyRun(scope="gpu_board", idle_power_w={"gpu_board": 60.0}, windows=windows))

    rules = {"metrics": ("energy_per_sample",)}
    same, worse = verdict(run(1.0), run(1.0), **rules), verdict(run(1.0), run(1.2), **rules)
    assert (same.outcome, same.n_base, same.n_head) == (Outcome.SAME, 5, 5)
    assert (worse.outcome, worse.ratio) == (Outcome.SLOWER, pytest.approx(1.2))
    assert "windows of one process: the interval lacks the spread between processes" in worse.reason


def test_memory_of_as_many_processes_as_a_run_makes_is_judged() -> None:
    count = MeasurementPlan().memory_trials
    assert count >= 4, "an interval of the ratio needs 4 values a side"
    sides = [measured(STEADY[:count]) for _ in range(2)]
    found = verdict(*sides, metrics=("peak_host_memory",))
    assert (found.outcome, found.n_base) == (Outcome.SAME, count)


def in_turns(medians_s: Sequence[float], number: int = 0) -> Measured:
    return measured(medians_s, number, plan=dataclasses.replace(record().plan, turn_s=0.2))


# A machine whose speed changes from pair to pair by more than base and head differ.
MACHINE = (1.0, 1.3, 0.8, 1.1, 0.7, 1.2, 0.9, 1.05)


def test_processes_that_took_turns_are_judged_pair_by_pair() -> None:
    base = in_turns([1e-3 * factor for factor in MACHINE])
    head = in_turns([1.1e-3 * factor * (1 + 0.002 * place) for place, factor in enumerate(MACHINE)], 1)
    found = verdict_between(base, head, "latency_p50", Rules())
    assert found.outcome is Outcome.SLOWER
    assert found.ratio == pytest.approx(1.1, rel=0.02)
    assert (found.n_base, found.n_head) == (8, 8)
    assert "p = 0.0078" in found.reason, "2 of 2 ** 8 signs"
    assert (found.mde or 1) < 0.02
    apart = verdict_between(
        measured([1e-3 * f for f in MACHINE]), measured([1.1e-3 * f for f in MACHINE], 1), "latency_p50", Rules()
    )
    assert apart.outcome is Outcome.INCONCLUSIVE
    # Stored records that are compared later were not one run.
    (later,) = verdicts_from_measured([base], [head], Rules(metrics=("latency_p50",)))
    assert later.outcome is Outcome.INCONCLUSIVE


def test_pairs_are_those_of_one_number_and_an_unfinished_one_is_none() -> None:
    base, head = in_turns([1e-3 * factor for factor in MACHINE]), in_turns([1.1e-3 * factor for factor in MACHINE], 1)
    timed = [one for one in head.trials if one.pass_ is Pass.TIMING]
    # The last was interrupted, and what is left came back in another order.
    head = dataclasses.replace(head, trials=tuple(reversed(timed[:-1])))
    found = verdict_between(base, head, "latency_p50", Rules())
    assert (found.n_base, found.n_head, found.outcome) == (7, 7, Outcome.SLOWER)
    assert found.ratio == pytest.approx(1.1)


def test_too_few_pairs_ask_for_as_many_as_an_interval_needs() -> None:
    found = verdict_between(in_turns([1e-3] * 5), in_turns([1.1e-3] * 5, 1), "latency_p50", Rules())
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "at least 6 processes" in found.reason


def test_memory_of_sides_that_took_turns_is_judged_as_ever() -> None:
    base, head = in_turns([1e-3] * 8), in_turns([1e-3] * 8, 1)
    assert verdict_between(base, head, "peak_host_memory", Rules()).n_base == len(
        [one for one in base.trials if one.pass_ is Pass.MEMORY]
    )
