"""``benchbox choose`` on stored records: answers, exit status, what it emits, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_configurations import measured, reading
from sample_records import ENVIRONMENT, trials

from benchbox.schema.plan import MeasurementPlan, Mode
from benchbox.schema.record import Record
from benchbox.store.records import append

OTHER_MACHINE = dataclasses.replace(ENVIRONMENT, hash="eeee", hardware={"cpu": "Other", "cpus": "8"})


def case(model: str, latency: float, *, number: int, memory: float = 1e8, spread: float = 0.01, **more: Any) -> Record:
    numbers = reading("latency_p50", latency, spread=spread), reading("peak_host_memory", memory, spread=0)
    return measured(model, *numbers, number=number, **more)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two networks here, one elsewhere, one in another mode."""
    records = [
        case("resnet18", 20e-3, number=1, memory=2e8),
        case("squeezenet1_1", 9.9e-3, number=2, spread=0.05, batch=4),
        case("resnet18", 5e-3, number=0, environment=OTHER_MACHINE),
        case("resnet18", 15e-3, number=0, mode=Mode.PIPELINED),
    ]
    for count, record in enumerate(records):
        append(tmp_path, dataclasses.replace(record, id=f"{record.id}-{count}"), trials())
    return tmp_path


def test_an_answer_for_each_machine_and_mode(root: Path, benchbox: Callable[..., Any]) -> None:
    ran = benchbox("choose", "--latency", "<= 30 ms")
    assert ran.status == 0
    first, *others = ran.out.split("\n\n")
    assert first.startswith("lowest latency under latency <= 30 ms on none, isolated:")
    assert "squeezenet1_1 · null · fp32 · batch 4" in first.splitlines()[1]
    assert "runner-up  resnet18" in first.splitlines()[3]
    assert max(map(len, ran.out.splitlines())) <= 100
    assert len(others) == 2
    assert any("on other-8cpus, isolated" in block for block in others)
    assert any("on none, pipelined" in block for block in others)


def test_across_is_one_field(root: Path, benchbox: Callable[..., Any]) -> None:
    document = benchbox("choose", "--across", "--json").document
    assert len(document["facets"]) == 1
    assert "other-8cpus" in document["answer"]["case"]


def test_undecided_is_7_and_its_command_can_be_parsed(root: Path, benchbox: Callable[..., Any]) -> None:
    ran = benchbox("choose", "--latency", "<= 10 ms", "--where", "model=squeeze*", "--json")
    assert ran.status == 7
    document = ran.document
    assert document["schema"] == "benchbox.choose/1"
    assert document["answer"] is None
    (command,) = document["commands"]
    words = shlex.split(command)
    assert words[:3] == ["benchbox", "run", "squeezenet1_1"]
    assert words[words.index("--batch") + 1] == "4"
    assert int(words[words.index("--trials") + 1]) > 8


def test_two_networks_of_one_name_are_told_apart_and_every_line_fits(
    benchbox: Callable[..., Any], tmp_path: Path
) -> None:
    """A module that was edited between two runs, with all that a case's name may have."""
    variant = "calibration=photos fallback=fp16 input=3x320x320"
    for number, digest in ((1, "ab" * 32), (2, "cd" * 32)):
        record = case("mynets.quite_small", 20e-3, number=number, variant=variant)
        append(tmp_path, dataclasses.replace(record, onnx_sha256=digest), trials())
    out = benchbox("choose", "--latency", "<= 30 ms").out
    assert "network abababab" in out
    assert "network cdcdcdcd" in out
    assert max(map(len, out.splitlines())) <= 100, max(out.splitlines(), key=len)


def test_the_rate_of_arrivals_is_no_throughput_to_be_measured_again(
    benchbox: Callable[..., Any], tmp_path: Path
) -> None:
    """40 a second were asked for and 39.9 arrived: no number of processes makes 40 of them."""
    plan = MeasurementPlan(mode=Mode.SERVER, rate_per_s=40.0, latency_bound_s=0.1, streams=1)
    rate = reading("throughput", 39.9, spread=0.01)
    served = case("resnet18", 20e-3, number=1, mode=Mode.SERVER, plan=plan)
    append(tmp_path, dataclasses.replace(served, readings=(*served.readings, rate)), trials())
    ran = benchbox("choose", "--throughput", ">= 40 /s")
    assert ran.status == 7
    assert "more processes would not decide: its throughput is the arrival rate, --rate 40" in ran.out
    assert "limit --latency-p99 instead" in ran.out
    assert "streams 1 · 40 samples/s · bound 100.0 ms" in " ".join(ran.out.split())
    assert "--trials" not in ran.out
    assert benchbox("choose", "--throughput", ">= 40 /s", "--json").document["commands"] == []
    missed = benchbox("choose", "--throughput", ">= 100 /s")
    assert (missed.status, "which --rate sets" in missed.out) == (9, True)
    assert "which --rate sets" not in benchbox("choose", "--latency", "<= 30 ms").out


def test_nothing_qualifies_is_9(root: Path, benchbox: Callable[..., Any]) -> None:
    ran = benchbox("choose", "--latency", "<= 10 us")
    assert ran.status == 9
    assert "nothing meets latency <= 10 us on none, isolated" in ran.out
    assert "0 of 1 configuration qualifies" in ran.out
    assert "the limit" in ran.out


def test_accuracy_that_nobody_measured_is_7_and_published_one_is_labelled(
    root: Path, benchbox: Callable[..., Any]
) -> None:
    published = benchbox("choose", "--accuracy", ">= 0.69", "--where", "mode=isolated", "--where", "env=0123456789ab")
    assert published.status == 0
    assert "accuracy 69.76 % (published)" in published.out
    unknown = benchbox("choose", "--accuracy", ">= 0.6", "--where", "model=resnet18", "--where", "precision=int8")
    assert unknown.status == 2
    assert "none of 4 records match model=resnet18 precision=int8" in unknown.err
    (result,) = [case("net", 1e-3, number=5)]
    append(root, result, trials())
    lacking = benchbox("choose", "--accuracy", ">= 0.6", "--energy", "1 J", "--where", "model=net", "--json")
    assert lacking.status == 7
    assert lacking.document["commands"] == [
        "benchbox run net --backend null --precision fp32 --batch 1 --threads 1 --energy && "
        "benchbox accuracy net --backend null --precision fp32 --data DIR"
    ]


def test_both_passes_of_a_sweep_count_and_more_of_them_would_decide(
    benchbox: Callable[..., Any], tmp_path: Path
) -> None:
    environment = dataclasses.replace(ENVIRONMENT, observed={"sweep": "s/p1-0000"})
    passes = [
        dataclasses.replace(case("resnet18", latency, number=number, environment=environment), id=f"r{number}")
        for number, latency in enumerate((20e-3, 21e-3))
    ]
    for each in passes:
        append(tmp_path, each, trials())
    document = benchbox("choose", "--json").document
    assert document["answer"]["records"] == ["r1", "r0"]
    assert document["answer"]["values"]["latency"]["value"] == pytest.approx((20e-3 * 21e-3) ** 0.5)
    undecided = benchbox("choose", "--latency", "<= 22 ms", "--json")
    assert undecided.status == 7
    (entry,) = undecided.document["undecided"]
    assert (entry["trials"], entry["pictures"]) == (0, 0)
    assert entry["passes"] == 3
    assert entry["command"] == "benchbox sweep FILE.toml  # s with passes = 3, processes = 24"
    near = benchbox("choose", "--latency", "<= 20.6 ms", "--json").document["undecided"][0]
    assert near["command"] == "too near to the limit: more passes would not decide"


def test_emit_names_what_to_deploy(root: Path, benchbox: Callable[..., Any], tmp_path: Path) -> None:
    target = tmp_path / "choice.json"
    ran = benchbox("choose", "--latency", "<= 30 ms", "--where", "model=resnet18", "--emit", str(target))
    assert ran.status == 0
    document = json.loads(target.read_text())
    assert document["schema"] == "benchbox.choice/1"
    assert document["onnx_sha256"] == "resnet18".ljust(64, "0")
    assert document["build"].startswith("benchbox export resnet18")
    assert document["verify"].startswith("benchbox run resnet18 --backend null")
    assert document["limits"]["latency"]["bound"] <= 30e-3
    assert benchbox("choose", "--emit").status == 0
    assert (root / "results" / "choice.json").is_file()
    assert benchbox("choose", "--emit", str(tmp_path / "no" / "such" / "folder.json")).status == 6


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--latency", "5"), "needs a unit"),
        (("--latency", "<= 5 ms", "--latency", "<= 4 ms"), "given twice"),
        (("--minimize", "throughput"), "--maximize throughput"),
        (("--minimize", "latancy"), "latency"),
        (("--confidence", "1"), "between 0 and 1"),
        (("--where", "modle=a"), "model"),
    ],
)
def test_what_makes_no_sense_is_2(words: tuple[str, ...], part: str, benchbox: Callable[..., Any]) -> None:
    ran = benchbox("choose", *words)
    assert ran.status == 2
    assert part in ran.err


def test_no_records_is_6(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    ran = benchbox("choose")
    assert ran.status == 6
    assert "benchbox run MODEL" in ran.err
