"""Cases in turn: what runs when, what an error ends, and what an interrupt leaves."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import trial

from benchbox.errors import MeasurementError, StoreError
from benchbox.measure.case import CaseRequest, CaseResult
from benchbox.measure.process.trials import TrialRequest
from benchbox.measure.schedule import abba, drawn_anew, measure_in_turn
from benchbox.schema.artifact import Hop
from benchbox.schema.model import Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.trial import Pass, Trial

RIGHT = Hop(source="a", target="b", max_abs_error=0.0, rel_l2_error=0.0, cosine=1.0, passed=True)


class Runner:
    """Stands in for ``run_trial``: remembers the order, and answers with times that a table gives."""

    def __init__(self) -> None:
        self.order: list[tuple[str, Pass]] = []
        self.times: dict[str, list[int]] = {}
        self.takes_s = 1.0
        self.raises: dict[tuple[str, Pass], BaseException] = {}

    def __call__(self, request: TrialRequest) -> Trial:
        name: Any = request.source
        self.order.append((name, request.pass_))
        if error := self.raises.get((name, request.pass_)):
            raise error
        level = self.times.get(name, [1_000_000])
        samples = (level[request.number % len(level)],) * 400
        return trial(
            request.pass_,
            number=request.number,
            duration_s=self.takes_s,
            hop=RIGHT if request.pass_ is Pass.CHECK else None,
            samples_ns=samples if request.pass_ is Pass.TIMING else (),
            window_ns=sum(samples),
        )


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Runner:
    made = Runner()
    monkeypatch.setattr("benchbox.measure.case.run_trial", made)
    return made


class _Artifact:
    quantization = None
    unchecked = ""
    empty = ()
    expected_by = "pytorch"
    inputs = ()


def requests(*names: str, **plan: Any) -> list[CaseRequest]:
    settings = MeasurementPlan(**{"trials": 3, "memory_trials": 1, "threads": 2, **plan})
    return [
        CaseRequest(
            backend="onnxruntime",
            precision=Precision.FP32,
            plan=settings,
            artifact=_Artifact(),  # type: ignore[arg-type]
            source=name,  # type: ignore[arg-type]
            root=Path(),
            flops=1000,
            title=name,
        )
        for name in names
    ]


def run(*args: Any, **fields: Any) -> Iterator[tuple[int, CaseResult]]:
    usual = {"order": drawn_anew(0), "progress": lambda *_: None, "keep": lambda place, result: (place, result)}
    return measure_in_turn(*args, **{**usual, **fields})


def test_all_checks_then_rounds_then_memory(runner: Runner) -> None:
    results = dict(run(requests("a", "b", "c")))
    assert set(results) == {0, 1, 2}
    assert [purpose for _, purpose in runner.order] == [Pass.CHECK] * 3 + [Pass.TIMING] * 9 + [Pass.MEMORY] * 3
    rounds = [[name for name, _ in runner.order[first : first + 3]] for first in (3, 6, 9)]
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds), "one process of each in a round"


def test_the_order_is_drawn_anew_and_reproducible() -> None:
    order = drawn_anew(1)
    rounds = [order(6) for _ in range(10)]
    assert len({tuple(places) for places in rounds}) > 5
    again = drawn_anew(1)
    assert [again(6) for _ in range(10)] == rounds


def test_two_sides_go_forward_and_backward(runner: Runner) -> None:
    list(run(requests("a", "b", trials=4), order=abba()))
    timed = "".join(name for name, purpose in runner.order if purpose is Pass.TIMING)
    assert timed == "abbaabba"


def test_a_wide_interval_asks_for_more_processes(runner: Runner) -> None:
    runner.times = {"wide": [1_000_000, 1_200_000], "narrow": [1_000_000]}
    results = dict(run(requests("wide", "narrow", trials=3, max_trials=6)))
    counts = {place: sum(trial.pass_ is Pass.TIMING for trial in result.trials) for place, result in results.items()}
    assert counts == {0: 6, 1: 3}


def test_more_processes_end_with_the_budget(runner: Runner) -> None:
    runner.times = {"wide": [1_000_000, 1_200_000]}
    ((_, result),) = run(requests("wide", trials=3, max_trials=20, timing_budget_s=4.5))  # each takes 1 s
    assert sum(trial.pass_ is Pass.TIMING for trial in result.trials) == 5


@pytest.mark.parametrize(
    ("takes_s", "plan", "quick", "counts"),
    [
        (40.0, {"trials": 5, "max_trials": 6}, True, (2, 2)),
        (25.0, {"trials": 5, "max_trials": 6}, True, (3, 3)),
        (200.0, {"trials": 5, "max_trials": 6}, True, (2, 2)),
        (40.0, {"trials": 5, "max_trials": 6}, False, (5, 4)),
        (40.0, {"trials": 5, "max_trials": 5}, True, (5, 4)),  # --trials 5, or --ab
        (10.0, {"trials": 5, "max_trials": 6}, True, (5, 4)),
    ],
)
def test_quick_ends_a_case_that_takes_long(
    takes_s: float, plan: dict[str, int], quick: bool, counts: tuple[int, int], runner: Runner
) -> None:
    """At least two processes of each kind, which have an interval; numbers that somebody asked for are kept to."""
    runner.takes_s = takes_s
    asked = [dataclasses.replace(request, quick=quick) for request in requests("slow", memory_trials=4, **plan)]
    ((_, result),) = run(asked)
    ran = [trial.pass_ for trial in result.trials]
    assert (ran.count(Pass.TIMING), ran.count(Pass.MEMORY)) == counts
    assert ("CUT_SHORT" in {flag.code for flag in result.flags}) == (counts[0] < plan["trials"])


def test_an_error_ends_its_case_and_no_other(runner: Runner) -> None:
    runner.raises[("bad", Pass.TIMING)] = MeasurementError("it died")
    results = dict(run(requests("good", "bad")))
    assert results[1].error is not None
    assert results[1].readings == ()
    assert results[0].error is None
    assert sum(name == "bad" for name, _ in runner.order) == 2


def test_an_interrupt_yields_what_was_timed_and_goes_on(runner: Runner) -> None:
    """In the second round: both cases have been timed once at least, and are told before the interrupt is."""
    told: list[tuple[int, CaseResult]] = []
    with pytest.raises(KeyboardInterrupt):
        told.extend(run(requests("a", "b", trials=3), progress=_interrupt_at(5)))
    assert [place for place, _ in told] == [0, 1]
    for _, result in told:
        assert "INTERRUPTED" in {flag.code for flag in result.flags}
        assert result.readings
        assert result.sampling is not None
    assert sum(result.sampling.processes for _, result in told if result.sampling) == 3


def _interrupt_at(step: float) -> Any:
    def progress(done: float, total: float, text: str) -> None:
        if done >= step:
            raise KeyboardInterrupt

    return progress


def test_an_interrupt_while_a_result_is_stored_loses_none(runner: Runner) -> None:
    """Storing takes a moment; the result that was being stored, and what was timed of the others, are kept."""
    runner.raises[("c", Pass.TIMING)] = MeasurementError("it died")
    stored: list[tuple[int, bool]] = []
    hits = iter([True])

    def keep(place: int, result: CaseResult) -> int:
        if next(hits, False):
            raise KeyboardInterrupt
        stored.append((place, "INTERRUPTED" in {flag.code for flag in result.flags}))
        return place

    told: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        told.extend(run(requests("a", "b", "c"), keep=keep, order=lambda count: list(range(count))))
    assert stored == [(0, True), (1, True), (2, False)], "c had ended, a and b were timed once"
    assert told == [0, 1, 2]


def test_a_consumer_that_is_interrupted_loses_none(runner: Runner) -> None:
    stored: list[int] = []

    def keep(place: int, result: CaseResult) -> int:
        stored.append(place)
        return place

    with contextlib.closing(run(requests("a", "b"), keep=keep)) as places:  # type: ignore[type-var]
        assert next(places) == 0  # type: ignore[comparison-overlap]
    assert stored == [0, 1], "b was timed as often as planned; its memory was not measured"
    assert runner.order[-1] == ("a", Pass.MEMORY)


def test_one_result_that_cannot_be_stored_does_not_take_the_others_along(runner: Runner) -> None:
    def keep(place: int, result: CaseResult) -> int:
        if place == 0:
            raise StoreError("the disk is full")
        return place

    told: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        told.extend(run(requests("a", "b", "c", trials=3), progress=_interrupt_at(7), keep=keep))
    assert told == [1, 2]


def test_before_the_first_timing_nothing_is_left(runner: Runner) -> None:
    runner.raises[("a", Pass.CHECK)] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        assert list(run(requests("a"))) == []


def test_progress_only_grows(runner: Runner) -> None:
    steps: list[tuple[float, float]] = []
    list(run(requests("a", "b"), progress=lambda done, total, _: steps.append((done, total))))
    shares = [done / total for done, total in steps]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 1


@pytest.fixture
def together(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stands in for ``run_trials_together``: remembers which were there at once, one fails where the runner does."""
    groups: list[list[str]] = []

    def run(requests: list[TrialRequest]) -> tuple[Any, ...]:
        groups.append([str(request.source) for request in requests])
        failed = [runner.raises.get((str(request.source), request.pass_)) for request in requests]
        if any(failed):
            return tuple(failed)
        return tuple(runner(request) for request in requests)

    monkeypatch.setattr("benchbox.measure.case.run_trials_together", run)
    return groups


def in_pairs(asked: list[CaseRequest]) -> dict[int, CaseResult]:
    return dict(run(asked, order=abba(), paired=True))


def test_paired_processes_are_there_at_once_forward_and_backward(runner: Runner, together: list[list[str]]) -> None:
    found = in_pairs(requests("a", "b"))
    assert together == [["a", "b"], ["b", "a"], ["a", "b"]]
    assert list(found) == [0, 1]
    for result in found.values():
        assert result.error is None
        assert [one.number for one in result.trials if one.pass_ is Pass.TIMING] == [0, 1, 2]


def test_a_pair_goes_on_until_both_have_enough(runner: Runner, together: list[list[str]]) -> None:
    runner.times["b"] = [1_000_000, 2_000_000]
    in_pairs(requests("a", "b", max_trials=5))
    assert len(together) == 5, "b is too wide until there are no more; a has its neighbour in each round"


def test_one_that_fails_leaves_the_other_without_that_process(runner: Runner, together: list[list[str]]) -> None:
    runner.raises["b", Pass.TIMING] = MeasurementError("the worker crashed")
    found = in_pairs(requests("a", "b"))
    assert str(found[1].error) == "the worker crashed"
    assert together == [["a", "b"], ["a"], ["a"], ["a"]]
    assert [one.number for one in found[0].trials if one.pass_ is Pass.TIMING] == [0, 1, 2]
