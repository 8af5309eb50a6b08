"""``--ab``: every option of a run reaches both sides, and the sides keep their names whatever ends first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from sample_records import record, trials

from benchbox.backends.base import BACKENDS
from benchbox.cli.commands.measuring import run
from benchbox.cli.flags.sides import between, labels_of_verdicts, note_on_order, notes_on_sides
from benchbox.errors import ArtifactError
from benchbox.gate.judge import overall
from benchbox.jobs.cases import Case
from benchbox.jobs.run import Outcome
from benchbox.report.views.verdicts import render_sides
from benchbox.schema.model import Precision
from benchbox.schema.plan import Mode
from benchbox.schema.record import Status
from benchbox.schema.verdict import Outcome as Verdicts

GPU = ("--backend", "tensorrt")
# An example of every option of a run, by the name of its parameter.
SAMPLES: dict[str, tuple[str, ...]] = {
    "backends": ("--backend", "pytorch"),
    "precisions": ("--precision", "fp16"),
    "batches": ("--batch", "4"),
    "mode": ("--mode", "cold"),
    "group": ("--mode", "batched", "--group", "3"),
    "streams": ("--mode", "concurrent", "--streams", "3"),
    "rate": ("--mode", "server", "--rate", "200"),
    "latency_bound": ("--mode", "server", "--rate", "200", "--latency-bound", "0.1"),
    "threads": ("--threads", "5"),
    "trials": ("--trials", "4"),
    "max_time": ("--max-time", "0.7"),
    "timeout": ("--timeout", "33"),
    "memory": ("--no-memory",),
    "quick": ("--quick",),
    "like": ("--like", "trtexec-11"),
    "transfers": (*GPU, "--transfers"),
    "energy": ("--energy",),
    "energy_window": ("--energy-window", "3"),
    "energy_windows": ("--energy-windows", "4"),
    "lock_clocks": (*GPU, "--lock-clocks=1410"),
    "excludes": ("--precision", "fp16", "--exclude", "fc1"),
    "fallback": ("--precision", "int8", "--fallback", "fp16"),
    "calibration": ("--precision", "int8", "--calibration", "pictures"),
    "method": ("--precision", "int8", "--calibration-method", "entropy"),
    "converter": ("--precision", "fp16", "--converter", "modelopt"),
    "min_executed": ("--min-executed", "0.5"),
    "inputs": ("--input", "3x32x32"),
    "warmup": ("--warmup", "7"),
    "batch_axes": ("--batch-axis", "input=0"),
    "samples": ("--inputs", "real.npz"),
    "weights": ("--weights", "weights.pt"),
    "part": ("--module", "layer1"),
    "builder_level": (*GPU, "--builder-level", "5"),
    "workspace": (*GPU, "--workspace", "2"),
    "aux_streams": (*GPU, "--aux-streams", "0"),
    "tactic_sources": (*GPU, "--tactic-sources", "cublas,cudnn"),
    "sparsity": (*GPU, "--sparsity"),
}
# Not of the plan: what is shown, where, and the environment of every process.
# What is shown, and what resnet18 does not take.
APART = {
    "task",
    "as_json",
    "root",
    "debug",
    "ab",
    "also",
    "ab_order",
    "dry_run",
    "builds",
    "cuda",
    "plugin_lib",
    "nvtx",
    "profile_command",
    "device",
    "wide",
    "columns",
    "notes",
}
PAIRED = ("trials", "max_trials", "memory_trials")


@pytest.fixture
def cases_of(benchbox: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[Any, ...]]:
    """The cases of a command line, and the share that must be executed; nothing is measured."""
    (tmp_path / "weights.pt").touch()
    (tmp_path / "real.npz").touch()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "cat.png").touch()
    seen: list[tuple[Any, ...]] = []

    def measure(groups: tuple[tuple[Case, ...], ...], *_: object, min_executed: float | None, **__: object) -> None:
        seen.append((*(case for group in groups for case in group), min_executed))

    @contextlib.contextmanager
    def locked(_: str) -> Iterator[None]:
        yield

    monkeypatch.setattr(run, "_measure", measure)
    monkeypatch.setattr(run, "locked", locked)

    def cases(*arguments: str) -> tuple[Any, ...]:
        ran = benchbox("run", *arguments)
        assert ran.status == 0, ran.err
        return seen.pop()

    return cases


def test_every_option_has_a_sample() -> None:
    names = {parameter.name for parameter in run.command.params if isinstance(parameter, click.Option)}
    assert names == SAMPLES.keys() | APART


@pytest.mark.parametrize("name", SAMPLES)
def test_every_option_reaches_both_sides(name: str, cases_of: Callable[..., tuple[Any, ...]]) -> None:
    usual = cases_of("resnet18")
    alone, least = cases_of("resnet18", *SAMPLES[name])
    assert (alone, least) != usual, "the sample changes nothing"
    *sides, least_of_sides = cases_of("resnet18", *SAMPLES[name], "--ab", "batch=7", "threads=2,batch=9")
    assert least_of_sides == least
    for side, differs in zip(sides, ({"batch": 7}, {"threads": 2, "batch": 9}), strict=True):
        counts = {count: getattr(side.plan, count) for count in PAIRED}  # a pair takes other numbers of processes
        assert side == replace(alone, plan=replace(alone.plan, **counts, **differs))


def test_another_model_has_the_shape_and_weights_of_the_command(cases_of: Callable[..., tuple[Any, ...]]) -> None:
    first, second, _ = cases_of("lenet5", "--weights", "weights.pt", "--ab", "model=lenet5", "model=resnet18")
    assert (first.source.weights, second.source.weights) == ("weights.pt", "weights.pt")
    assert (first.source.name, second.source.name) == ("lenet5", "resnet18"), "each with its own usual shape"
    first, second, _ = cases_of("resnet18", "--input", "3x64x64", "--ab", "model=resnet34", "input=3x32x32")
    assert (first.source.name, second.source.name) == ("resnet34-3x64x64", "resnet18-3x32x32")
    first, second, _ = cases_of("resnet18", "--ab", "batch=1", "weights=weights.pt")
    assert (first.source.weights, second.source.weights) == (None, "weights.pt")


def test_a_precision_of_a_side_has_the_derivation_of_the_command(cases_of: Callable[..., tuple[Any, ...]]) -> None:
    first, second, _ = cases_of("lenet5", "--fallback", "fp16", "--ab", "precision=fp32", "precision=int8")
    assert (first.derivation.fallback, second.derivation.fallback) == ("fp32", "fp16")


def test_several_models_and_variants_make_a_group_for_each_model(cases_of: Callable[..., tuple[Any, ...]]) -> None:
    *cases, _ = cases_of("lenet5", "resnet18", "--ab", "batch=1", "batch=2", "--also", "batch=4")
    assert [(case.source.name, case.batch) for case in cases] == [
        (name, batch) for name in ("lenet5", "resnet18") for batch in (1, 2, 4)
    ]
    *cases, _ = cases_of("lenet5", "resnet18", "--ab", "model=lenet5", "model=resnet18")
    assert [case.source.name for case in cases] == ["lenet5", "resnet18"], "the same group is measured once"


def test_sides_that_name_models_need_no_model(cases_of: Callable[..., tuple[Any, ...]], tmp_path: Path) -> None:
    first, second, _ = cases_of("--ab", "model=lenet5", "model=resnet18")
    assert (first.source.name, second.source.name) == ("lenet5", "resnet18")


def test_a_backend_is_chosen_that_runs_every_side(benchbox: Callable, cases_of: Callable[..., tuple[Any, ...]]) -> None:
    first, second, _ = cases_of("lenet5", "--ab", "precision=fp32", "precision=bf16")
    assert first.backend == second.backend
    assert BACKENDS.get(first.backend).refusal(Precision.BF16) is None
    first, second, _ = cases_of("lenet5", "--precision", "bf16", "--ab", "backend=pytorch", "backend=openvino")
    assert (first.backend, second.backend) == ("pytorch", "openvino")
    assert "bf16 on " in benchbox("run", "lenet5", "--ab", "precision=fp32", "precision=bf16", "--dry-run").err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("lenet5", "--also", "batch=2"), "--also adds a variant to --ab"),
        (("lenet5", "--ab", "batch=2", "batch=2"), "the same"),
        (("lenet5", "--ab", "batches=2", "batch=2"), "did you mean"),
        (("lenet5", "--ab", "batch=1", "batch=1,batch=2"), "twice"),
    ],
)
def test_sides_that_make_no_sense(arguments: tuple[str, ...], words: str, benchbox: Callable) -> None:
    ran = benchbox("run", *arguments)
    assert ran.status == 2
    assert words in ran.err


def test_every_variant_is_judged_against_the_first_in_memory_too() -> None:
    sides = [Outcome(place=place, record=record(place), trials=trials()) for place in range(3)]
    verdicts = between(sides)
    assert [verdict.head_records for verdict in verdicts[::3]] == [(sides[1].record.id,), (sides[2].record.id,)]
    assert {verdict.metric for verdict in verdicts} == {"latency_p50", "throughput", "peak_host_memory"}
    variants = ("batch=1", "batch=2", "batch=4")
    labels = labels_of_verdicts(verdicts, [side.record for side in sides], variants)
    text = render_sides(verdicts, labels, overall(verdicts), form="table")
    header, _, *lines = text.splitlines()
    assert [line.split("  ")[0] for line in lines[:6]] == ["lenet5"] * 6
    assert "ratio to A" in header
    assert [("batch=2" in line, "batch=4" in line) for line in lines[:6]] == [(True, False)] * 3 + [(False, True)] * 3
    assert not any("batch=1" in line for line in lines[:6]), "A is named once"
    assert lines[6] == "A, with which every side is compared: batch=1"
    for side in ("batch=2", "batch=4"):
        assert sum(line.startswith(f"{side} against batch=1: ") for line in lines) == 1, "each has its own conclusion"


def test_that_both_sides_are_one_file_is_said() -> None:
    one, two = record(0), record(1)
    (note,) = notes_on_sides([one, two], ("model=a", "model=b"))
    assert "the same ONNX file, sha256 abababab" in note
    assert "noise alone" in note
    other = replace(two, key=replace(two.key, model="other"), plan=replace(two.plan, threads=7))
    assert "the models do not differ" in notes_on_sides([one, other], ("model=a", "model=b"))[0]
    assert not notes_on_sides([one, replace(two, onnx_sha256="cd" * 32)], ("model=a", "model=b"))
    assert not notes_on_sides([one, replace(two, plan=replace(two.plan, threads=7))], ("threads=1", "threads=7"))


def test_what_stayed_open_one_after_the_other_is_sent_to_turns() -> None:
    one, two = record(0), record(1)
    (verdict,) = between(
        [Outcome(place=0, record=one, trials=trials()), Outcome(place=1, record=two, trials=trials())]
    )[:1]
    undecided = replace(verdict, outcome=Verdicts.INCONCLUSIVE, low=0.9, high=1.2)
    (note,) = note_on_order([undecided], [one, two])
    assert "--ab-order paired" in note
    turned = replace(two, plan=replace(two.plan, turn_s=0.2))
    server = replace(two, key=replace(two.key, mode=Mode.SERVER))
    for verdicts, records in (
        ([replace(undecided, outcome=Verdicts.SAME)], [one, two]),
        ([replace(undecided, low=None, high=None)], [one, two]),
        ([replace(undecided, metric="peak_host_memory")], [one, two]),
        ([undecided], [turned, turned]),
        ([undecided], [one, server]),
    ):
        assert note_on_order(verdicts, records) == []


def test_single_builds_are_said() -> None:
    """Which kernels a builder picks differs from build to build, and one build a side says nothing of that."""
    one, two = (replace(record(number), engine_sha256=f"{number}" * 64) for number in (0, 1))
    (note,) = (text for text in notes_on_sides([one, two], ("precision=fp32", "precision=fp16")) if "build" in text)
    assert "one build of its engine" in note
    same = notes_on_sides([one, replace(two, engine_sha256=one.engine_sha256)], ("threads=1", "threads=2"))
    assert not any("build" in text for text in same)


def test_a_dry_run_shows_the_plan_of_each_side(benchbox: Callable) -> None:
    ran = benchbox("run", "lenet5", "--dry-run", "--json", "--energy", "--ab", "threads=1", "threads=2,batch=8")
    first, second = (shown["plan"] for shown in ran.document["records"])
    assert (first["threads"], second["threads"], first["batch"], second["batch"]) == (1, 2, 1, 8)
    assert first["energy_windows"] == second["energy_windows"] > 0
    out = benchbox("run", "lenet5", "--dry-run", "--ab", "threads=1", "threads=2,batch=8").out
    assert "batch 1 isolated, 1 thread:" in out
    assert "batch 8 isolated, 2 threads:" in out


def test_the_sides_keep_their_names_whichever_ends_first() -> None:
    """B fails its check and is complete first; the verdict still says that it is the head."""
    failed = Outcome(place=1, record=record(status=Status.FAILED, readings=()), error=ArtifactError("wrong outputs"))
    whole = Outcome(place=0, record=record())
    verdicts = between([failed, whole])
    assert verdicts == between([whole, failed])
    assert {"head" in verdict.reason and "base" not in verdict.reason for verdict in verdicts} == {True}
