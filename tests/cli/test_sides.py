"""``--ab``: every option of a run reaches both sides, and the sides keep their names whatever ends first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from sample_records import record

from benchbox.cli.commands import run
from benchbox.cli.flags.sides import between
from benchbox.errors import ArtifactError
from benchbox.jobs.cases import Case
from benchbox.jobs.run import Outcome
from benchbox.schema.record import Status

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
    "batch_axes": ("--batch-axis", "input=0"),
    "samples": ("--inputs", "real.npz"),
    "weights": ("--weights", "weights.pt"),
}
# Not of the plan: what is shown, where, and the environment of every process.
APART = {"as_json", "root", "debug", "ab", "dry_run", "cuda", "wide", "columns", "notes"}
PAIRED = ("trials", "max_trials", "memory_trials")


@pytest.fixture
def cases_of(benchbox: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[Any, ...]]:
    """The cases of a command line, and the share that must be executed; nothing is measured."""
    (tmp_path / "weights.pt").touch()
    (tmp_path / "real.npz").touch()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "cat.png").touch()
    seen: list[tuple[Any, ...]] = []

    def measure(cases: tuple[Case, ...], *_: object, min_executed: float | None, **__: object) -> None:
        seen.append((*cases, min_executed))

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
