"""Which records of two sides are of one case: never those that differ in their identity."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_records import HOP, record, trials

from benchbox.gate.comparable import Measured, Rules, pairs_of_cases
from benchbox.gate.judge import verdicts_from_measured
from benchbox.schema.identity import identity_of
from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.record import Record, Status
from benchbox.schema.verdict import Outcome, Verdict

SPREAD = (1.0, 1.001, 0.999, 1.002, 0.998)


def measured(record_: Record, median_s: float = 1.0) -> Measured:
    """A record of five processes around a median."""
    timed, _ = trials()
    times = [round(1e9 * median_s * factor) for factor in SPREAD]
    made = [
        dataclasses.replace(timed, number=place, samples_ns=(time,) * 3, window_ns=3 * time)
        for place, time in enumerate(times)
    ]
    return Measured(record=record_, trials=tuple(made))


def of(number: int = 0, **fields: Any) -> Record:
    return record(number, flags=(), **fields)


def planned(**plan: Any) -> Record:
    made = MeasurementPlan(**plan)
    return of(plan=made, key=dataclasses.replace(record().key, mode=made.mode, batch=made.batch))


def network(sha: str, macs: int = 4096, number: int = 0) -> Record:
    analytic = record().analytic
    assert analytic is not None
    return of(number, onnx_sha256=sha * 32, analytic=dataclasses.replace(analytic, macs=macs))


def judged(base: Sequence[Measured], head: Sequence[Measured], **rules: Any) -> list[Verdict]:
    return list(verdicts_from_measured(base, head, Rules(**rules)))


def test_runs_with_other_threads_are_other_cases() -> None:
    """One thread against five runs of 1 to 16 threads, nothing changed in the code."""
    base = [measured(planned(threads=1))]
    head = [measured(planned(threads=count), 1 / count) for count in (1, 4, 4, 8, 16)]
    found = judged(base, head)
    assert [(one.outcome, one.case.threads, one.n_base, one.n_head) for one in found] == [
        (Outcome.SAME, 1, 5, 5),
        (Outcome.INCOMPARABLE, 4, 0, 0),
        (Outcome.INCOMPARABLE, 8, 0, 0),
        (Outcome.INCOMPARABLE, 16, 0, 0),
    ]
    assert found[1].reason == "only the head has it; the nearest of the base differs: threads 4 and 1"


plans = st.builds(
    planned,
    mode=st.sampled_from(Mode),
    threads=st.sampled_from((1, 2)),
    streams=st.sampled_from((1, 2)),
    group=st.sampled_from((5, 10)),
    rate_per_s=st.sampled_from((None, 100.0, 200.0)),
    latency_bound_s=st.sampled_from((None, 0.1)),
    transfer=st.sampled_from(("resident", "timed", "inside")),
    wait=st.sampled_from(("spin", "blocking")),
    like=st.sampled_from(("", "trtexec-10")),
)
networks = st.builds(network, st.sampled_from(("ab", "cd")), st.sampled_from((4096, 262_144)))


@given(st.lists(plans | networks, min_size=1, max_size=6), st.randoms())
def test_identical_runs_are_never_judged_different_whatever_their_plans(records: list[Record], draw: Any) -> None:
    """The time of a run depends on nothing but its case; the same runs, again and again, are both sides."""
    speeds = {case: 1.5**place for place, case in enumerate(dict.fromkeys(map(identity_of, records)))}
    base = [measured(each, speeds[identity_of(each)]) for each in records]
    head = [draw.choice(base) for _ in range(2 * len(base))]
    found = judged(base, head, metrics=("throughput",))
    assert found
    assert not [one for one in found if one.outcome in {Outcome.FASTER, Outcome.SLOWER}]
    for one in found:
        assert one.outcome is Outcome.SAME or "only the base has it" in one.reason


@given(st.lists(plans | networks, max_size=8))
def test_a_pair_pools_one_case_only(records: list[Record]) -> None:
    sides = [measured(each) for each in records]
    pairs = pairs_of_cases(sides, sides)
    assert all(
        len({identity_of(each.record) for each in side}) <= 1 for pair in pairs for side in (pair.base, pair.head)
    )
    assert sum(len(pair.base) for pair in pairs) == len(records), "nobody is dropped"


def test_retrained_weights_are_compared_and_noted() -> None:
    (found,) = judged([measured(network("ab"))], [measured(network("cd"))])
    assert found.outcome is Outcome.SAME
    assert found.reason.endswith("other weights, equal MACs and parameters (sha256 abababab → cdcdcdcd)")
    assert found.case.onnx_sha256 == "cd" * 32


def test_another_structure_under_the_same_name_is_not_compared() -> None:
    base, head = [measured(network("ab", 4096))], [measured(network("cd", 262_144))]
    (found,) = judged(base, head)
    assert found.outcome is Outcome.INCOMPARABLE
    assert found.reason == "another network: MACs 4,096 → 262,144 (--across-networks compares)"
    (across,) = judged(base, head, across_networks=True)
    assert across.outcome is Outcome.SAME
    assert "another network (sha256 abababab → cdcdcdcd)" in across.reason


def test_files_of_one_stem_are_paired_by_their_bytes_then_by_their_structure() -> None:
    small, large = network("ab", 4096), network("cd", 262_144)
    both = [measured(small), measured(large, 9.0)]
    assert [one.outcome for one in judged(both, both[::-1])] == [Outcome.SAME, Outcome.SAME]
    retrained = [measured(network("ef", 262_144), 9.0), measured(network("01", 4096))]
    found = judged(both, retrained)
    assert [one.outcome for one in found] == [Outcome.SAME, Outcome.SAME]
    assert all("other weights" in one.reason for one in found)
    alone = judged(both, retrained[:1])
    assert [one.reason for one in alone if one.outcome is Outcome.INCOMPARABLE] == ["only the base has it"]


def test_the_newest_of_several_trainings_stands_for_the_case() -> None:
    older, newer = measured(network("ab", number=1), 5.0), measured(network("cd", number=2))
    found = judged([older, newer], [measured(network("ef", number=3))])
    assert [(one.outcome, one.case.onnx_sha256) for one in found] == [
        (Outcome.SAME, "ef" * 32),
        (Outcome.INCOMPARABLE, "ab" * 32),
    ]


@pytest.mark.parametrize("status", [Status.FAILED, Status.SKIPPED])
def test_a_run_that_ended_before_its_file_was_there_is_of_the_same_case(status: Status) -> None:
    fields = {"readings": (), "analytic": None, "evidence": None, "onnx_sha256": None}
    ended = Measured(record=of(1, status=status, reason="numerics", **fields), trials=())
    fine = measured(network("ab"))
    assert [one.outcome for one in judged([fine, ended], [fine])] == [Outcome.SAME]
    words = "was skipped" if status is Status.SKIPPED else "failed"
    (found,) = judged([fine], [ended])
    assert (found.outcome, found.reason) == (Outcome.INCOMPARABLE, f"the head {words}: numerics")


def test_what_differs_beside_the_identity_is_pooled() -> None:
    """Another day, other trials, other hops: replicates."""
    moment = datetime.datetime(2026, 1, 3, tzinfo=datetime.UTC)
    other = of(
        5,
        started_at=moment.isoformat(),
        plan=MeasurementPlan(trials=9, max_time_s=3.0),
        correctness=dataclasses.replace(record().correctness, hops=(HOP, HOP)),
    )
    (found,) = judged([measured(of()), measured(other)], [measured(of())])
    assert (found.outcome, found.n_base) == (Outcome.SAME, 10)
