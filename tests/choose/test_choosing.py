"""Answers, runners-up, what is undecided, and how often the chosen one truly violates its limit."""

from __future__ import annotations

import dataclasses
import math

import pytest
from sample_configurations import candidates, measured, reading
from sample_records import ENVIRONMENT, EVIDENCE

from benchbox.choose.choosing import Choice, Request, choices_of
from benchbox.choose.document import document_from_choices
from benchbox.choose.limits import limit_from_text, objective_from_names
from benchbox.choose.standing import Standing
from benchbox.choose.text import render_choices
from benchbox.schema.accuracy import AccuracyResult, Share
from benchbox.schema.record import Record


def choose(*records: Record, maximize: str | None = None, minimize: str | None = None, **limits: str) -> Choice:
    request = Request(
        limits=tuple(limit_from_text(name.replace("_", "-"), text) for name, text in limits.items()),
        objective=objective_from_names(maximize, minimize),
    )
    (choice,) = choices_of(candidates(*records), (), request)
    return choice


def case(model: str, latency: float, memory: float = 1e8, *, spread: float = 0.01, n: int = 8) -> Record:
    return measured(
        model,
        reading("latency_p50", latency, spread=spread, n=n),
        reading("throughput", 1 / latency, spread=spread, n=n),
        reading("peak_host_memory", memory, spread=0),
    )


def names(choice: Choice) -> list[str]:
    return [entry.candidate.record.key.model for entry in (choice.answer, *choice.runners_up) if entry]


def test_the_best_of_those_that_surely_meet_the_limits() -> None:
    choice = choose(case("a", 2e-3), case("b", 1e-3, 9e8), case("c", 3e-3), latency="5 ms", memory="500 MB")
    assert names(choice) == ["a", "c"]
    assert choice.misses[0].candidate.record.key.model == "b"
    assert choice.misses[0].excess == pytest.approx(0.8)
    assert choice.answer is not None
    assert choice.answer.chance > 0.999
    assert choice.feasible == 2


def test_objectives() -> None:
    records = case("quick", 1e-3, 9e8), case("small", 5e-3, 1e8)
    assert names(choose(*records)) == ["quick", "small"]
    assert names(choose(*records, minimize="memory")) == ["small", "quick"]
    assert names(choose(*records, maximize="throughput")) == ["quick", "small"]


def test_an_interval_across_the_limit_is_undecided_and_says_what_would_decide() -> None:
    choice = choose(case("near", 4.9e-3, spread=0.05), case("far", 50e-3), latency="<= 5 ms")
    assert choice.answer is None
    (entry,) = choice.undecided
    assert entry.judged.standing is Standing.UNDECIDED
    assert entry.trials is not None
    assert entry.trials > 8
    assert choice.misses[0].candidate.record.key.model == "far"


def test_as_many_processes_as_are_said_would_decide() -> None:
    spread = 0.05
    choice = choose(case("near", 4.9e-3, spread=spread), latency="<= 5 ms")
    trials = choice.undecided[0].trials
    assert trials is not None
    # the same spread of processes, seen in so many of them
    from benchbox.stats.student import t_quantile

    error = math.log1p(spread) / t_quantile(0.975, 7) * math.sqrt(8)
    for number, decided in ((trials, True), (trials - 1, False)):
        reach = math.expm1(t_quantile(0.975, number - 1) * error / math.sqrt(number))
        again = choose(case("near", 4.9e-3, spread=reach, n=number), latency="<= 5 ms")
        assert (again.answer is not None) is decided


def test_at_the_limit_no_number_of_processes_decides() -> None:
    choice = choose(case("at", 5e-3, spread=0.05), latency="<= 5 ms")
    assert choice.undecided[0].trials is None


def in_passes(*latencies: float, spread: float = 0.02) -> Choice:
    """A sweep's record for each pass, of four processes."""
    environment = dataclasses.replace(ENVIRONMENT, observed={"sweep": "s/p1-0000"})
    return choose(
        *(
            dataclasses.replace(case("a", latency, spread=spread, n=4), environment=environment, id=f"r{number}")
            for number, latency in enumerate(latencies)
        ),
        latency="<= 5 ms",
    )


def test_as_many_passes_as_are_said_would_decide() -> None:
    (entry,) = in_passes(4.6e-3, 4.8e-3).undecided
    assert (entry.trials, entry.pictures, entry.is_open) == (0, 0, True)
    assert entry.passes == 3
    assert in_passes(4.6e-3, 4.8e-3, 4.6e-3).answer is not None
    at_the_limit = in_passes(4.8e-3, 5.2e-3).undecided[0]
    assert (at_the_limit.passes, at_the_limit.is_open) == (None, False)


def test_one_process_never_decides() -> None:
    choice = choose(case("once", 1e-3, n=1), latency="<= 5 ms")
    assert choice.answer is None
    assert choice.undecided[0].trials == 10


def test_a_limited_quality_that_is_not_known_is_counted_apart() -> None:
    choice = choose(case("a", 1e-3), accuracy=">= 75 %")
    assert choice.answer is None
    assert [entry.judged.candidate.record.key.model for entry in choice.unknown] == ["a"]
    assert choice.unknown[0].lacking == ("accuracy",)
    text = render_choices([choice], command_of=lambda _: "the command", measuring=lambda _: "")
    assert "1 without accuracy" in text
    assert text.count("the command") == 1


def with_pictures(number: int) -> Choice:
    """One configuration with an accuracy of 70 % of so many pictures."""
    share = Share(value=0.7, low=0.6, high=0.8)
    record = case("a", 1e-3)
    result = AccuracyResult(
        model="a", backend="null", precision=record.key.precision, variant="", samples=number, classes=10, top1=share,
        top5=share, recipe="", onnx_sha256=str(record.onnx_sha256), evidence=EVIDENCE,
    )  # fmt: skip
    request = Request(limits=(limit_from_text("accuracy", ">= 0.69"),), objective=objective_from_names(None, None))
    (choice,) = choices_of(candidates(record, accuracies=[result]), (), request)
    return choice


def test_as_many_pictures_as_are_said_would_decide() -> None:
    (entry,) = with_pictures(1000).undecided
    assert entry.trials == 0
    assert entry.pictures is not None
    assert 4000 < entry.pictures < 8000, "1.645 errors of 0.458 / sqrt(n) are 0.01 at 5,700"
    assert with_pictures(entry.pictures).answer is not None
    assert with_pictures(entry.pictures // 2).answer is None


def test_published_accuracy_is_labelled() -> None:
    request = Request(limits=(limit_from_text("accuracy", ">= 75 %"),), objective=objective_from_names(None, None))
    found = candidates(case("a", 1e-3), published={"a": (0.761, "a paper")})
    (choice,) = choices_of(found, (), request)
    assert "accuracy 76.10 % (published)" in render_choices([choice], command_of=lambda _: "", measuring=lambda _: "")


def test_values_have_the_digits_that_their_intervals_leave_known() -> None:
    choice = choose(case("near", 4.9e-3, spread=0.2), latency="<= 20 ms")
    text = render_choices([choice], command_of=lambda _: "", measuring=lambda _: "")
    assert "latency 4.9 ms (<= 5.67 ms)" in text


def test_a_narrow_screen_breaks_sentences_between_words() -> None:
    choice = choose(case("near", 4.9e-3), case("far", 4.0), latency="<= 5 ms", memory="<= 1 GB")
    text = render_choices([choice], command_of=lambda _: "", measuring=lambda _: "", width=40)
    assert max(map(len, text.splitlines())) <= 45
    assert "      memory 95.37 MiB (<= 95.37 MiB)" in text.splitlines()


def test_the_document_has_what_the_text_has() -> None:
    choice = choose(case("a", 2e-3), case("near", 4.9e-3, spread=0.05), case("far", 1.0), latency="<= 5 ms")
    document = document_from_choices([choice], choice.request.limits, command_of=lambda _: "the command")
    assert document["answer"]["key"]["model"] == "a"
    assert document["undecided"][0]["command"] == "the command"
    assert document["commands"] == ["the command"]
    assert document["misses"][0]["checks"][0]["excess"] == pytest.approx(199)
    assert document["limits"] == [
        {"quality": "latency", "sign": "<=", "text": "5 ms", "value": 5e-3, "unit": "s"}
    ]  # fmt: skip
    assert {member["case"] for member in document["front"]} == {"a fp32 b1"}
    assert document_from_choices([], (), command_of=lambda _: "")["answer"] is None
