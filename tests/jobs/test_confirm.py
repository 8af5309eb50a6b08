"""What a night flagged, measured again: which rows, with which files, and what the judge makes of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_nights import NEW_DRIVER, level, nights
from sample_records import ENVIRONMENT, trials
from verdicts import chain

from benchbox.errors import MeasurementError, StoreError
from benchbox.gate.comparable import Measured
from benchbox.gate.formats.junit import junit_of
from benchbox.gate.formats.markdown import markdown_of
from benchbox.gate.formats.table import render_night
from benchbox.gate.night import LayerShift, NightReport, Qualifier
from benchbox.gate.policy import Confirm
from benchbox.gate.values import values_of
from benchbox.jobs.confirm import (
    Sides,
    Task,
    command_of,
    confirm_night,
    layers_side_by_side,
    measured_in_turn,
    order_for,
)
from benchbox.jobs.gate import Judged, judge_stored
from benchbox.metrics.metric import METRICS
from benchbox.schema.plan import Mode
from benchbox.schema.trial import Trial
from benchbox.schema.verdict import Outcome
from benchbox.store.kept import Kept
from benchbox.store.records import append, record_files

BASE, HEAD = (hashlib.sha256(text).hexdigest() for text in (b"base", b"head"))
NAME = "lenet5/null/fp32/b1/isolated/t1/virtual@none"


def judge(root: Path, **more: Any) -> Judged:
    values: dict[str, Any] = {"policy_file": None, "against": None, "night": None, "where": (), "warn": print}
    return judge_stored(root, **{**values, **more})


def stored(root: Path, values: Sequence[float], *, changed_at: int = 99, **fields: Any) -> None:
    for place, entry in enumerate(nights(values, flags=(), **fields)):
        append(root, dataclasses.replace(entry, onnx_sha256=HEAD if place >= changed_at else BASE), trials())
    kept = root / "engines" / "kept"
    kept.mkdir(parents=True, exist_ok=True)
    for text, name in ((b"base", BASE), (b"head", HEAD)):
        (kept / f"{name}.onnx").write_bytes(text)


def processes(value: float, seed: int, noise: float) -> tuple[Trial, ...]:
    timed, _ = trials()
    factors = np.exp(noise * np.random.default_rng(seed).standard_normal(8))
    return tuple(
        dataclasses.replace(timed, number=place, samples_ns=(round(1e9 * value * factor),) * 3)
        for place, factor in enumerate(factors)
    )


class Machine:
    """Measures in turn: a head that is so much slower, in these environments."""

    def __init__(self, ratio: float, environments: Sequence[Any] = (ENVIRONMENT, ENVIRONMENT)) -> None:
        self.ratio, self.environments, self.noise = ratio, environments, 0.003
        self.tasks: list[Task] = []

    def __call__(self, _: Path, task: Task, __: Sides, ___: Confirm) -> tuple[Measured, Measured]:
        self.tasks.append(task)
        found = [
            Measured(record=dataclasses.replace(record, environment=where), trials=processes(value, seed, self.noise))
            for record, value, where, seed in zip(
                (task.base, task.head), (1e-3, self.ratio * 1e-3), self.environments, (1, 2), strict=True
            )
        ]
        return found[0], found[1]


def again(root: Path, machine: Machine, sides: Sides | None = None, **more: Any) -> tuple[NightReport, list[str]]:
    said: list[str] = []
    confirm_night(root, judge(root, **more), sides=sides, say=said.append, measure=machine, profile=profile)
    return judge(root, **more).report, said


def profile(_: Path, __: Task) -> tuple[LayerShift, ...]:
    return (LayerShift(name="conv1", base_s=1e-4, head_s=2e-4),)


def latency(report: NightReport, reference: str = "rolling") -> Any:
    (found,) = [
        finding
        for finding in report.findings
        if finding.verdict.metric == "latency_p50" and finding.reference == reference
    ]
    return found


ONE = [*level(20, 1e-3), 1.1e-3]


def test_one_flagged_night_that_is_confirmed_is_red(tmp_path: Path) -> None:
    stored(tmp_path, ONE, changed_at=20)
    assert judge(tmp_path).report.exit == 0
    machine = Machine(1.1)
    report, said = again(tmp_path, machine)
    found = latency(report)
    assert (report.exit, found.verdict.outcome) == (1, Outcome.SLOWER)
    assert (found.verdict.n_base, found.verdict.n_head) == (8, 8)
    assert found.verdict.ratio == pytest.approx(1.1, rel=0.01)
    assert Qualifier.CONFIRMED in found.qualifiers
    assert Qualifier.SUSPICIOUS not in found.qualifiers
    assert report.groups[0].id.endswith("-slower")
    assert (machine.tasks[0].base.onnx_sha256, machine.tasks[0].head.onnx_sha256) == (BASE, HEAD)
    assert said == [f"measuring again, base and head in turn: {NAME}", f"confirmed, taking its layers: {NAME}"]
    for text in (render_night(report), markdown_of(report), junit_of(report)):
        assert re.search(r"conv1(: 100\S* µs → 200\S* µs|` \| 100\S*\sµs \| 200\S*\sµs \| \+100\s%)", text), text
    # It is stored: the next judge, on any machine, says the same, and nothing is measured twice.
    assert again(tmp_path, machine)[0] == report
    assert len(machine.tasks) == 1


@pytest.mark.nightly
@pytest.mark.slow
def test_two_files_are_really_measured_in_turn_and_profiled(tmp_path: Path) -> None:
    """Base and head as chains of convolutions, the head's twice as long."""
    pytest.importorskip("onnxruntime")
    for name, layers in (("base", 6), ("head", 12)):
        chain(tmp_path / f"{name}.onnx", layers)
    stored(tmp_path, ONE, changed_at=20)
    (row,) = [row for row in judge(tmp_path).report.findings if row.verdict.metric == "latency_p50"]
    case = dataclasses.replace(row.verdict.case, backend="onnxruntime", device="cpu")
    row = dataclasses.replace(row, verdict=dataclasses.replace(row.verdict, case=case))
    records = judge(tmp_path).records
    task = Task(
        name=NAME,
        rows=(row,),
        base=records[0],
        head=records[-1],
        base_file=Kept(path=Path("base.onnx")),
        head_file=Kept(path=Path("head.onnx")),
    )
    base, head = measured_in_turn(tmp_path, task, Sides(), Confirm(processes=5, order="random"))
    values = [values_of([side], METRICS.get("latency_p50")) for side in (base, head)]
    assert [len(side) for side in values] == [5, 5]
    assert np.median(values[1]) > np.median(values[0])
    assert not [path for path in record_files(tmp_path) if "onnxruntime" in path.name]
    assert len(record_files(tmp_path)) == len(ONE)
    found = layers_side_by_side(tmp_path, task)
    assert len(found) == 5
    assert abs(found[0].head_s - found[0].base_s) >= abs(found[-1].head_s - found[-1].base_s)


def test_what_is_not_confirmed_is_not_red_however_many_nights_it_lasts(tmp_path: Path) -> None:
    stored(tmp_path, [*level(20, 1e-3), *level(3, 1.2e-3, 1)], changed_at=20)
    assert judge(tmp_path).report.exit == 1
    report, _ = again(tmp_path, Machine(1.0))
    assert (report.exit, latency(report).verdict.outcome) == (0, Outcome.INCONCLUSIVE)
    assert Qualifier.REFUTED in latency(report).qualifiers
    assert "not the network but the machine" in latency(report).verdict.reason


def test_a_confirmed_level_does_not_become_the_reference(tmp_path: Path) -> None:
    stored(tmp_path, ONE, changed_at=20)
    again(tmp_path, Machine(1.1))
    more = [*ONE, *level(30, 1.1e-3, 5)]
    for place, entry in list(enumerate(nights(more, flags=())))[len(ONE) :]:
        append(tmp_path, dataclasses.replace(entry, onnx_sha256=HEAD, id=f"{entry.id}-{place}"), trials())
    assert judge(tmp_path).report.exit == 1


def test_equal_networks_say_nothing_and_the_nights_decide(tmp_path: Path) -> None:
    stored(tmp_path, [*level(20, 1e-3), *level(3, 1.2e-3, 1)])
    machine = Machine(1.0)
    report, said = again(tmp_path, machine)
    assert (report.exit, machine.tasks) == (1, [])
    assert "only the machine can have changed" in said[0]
    assert "not measured again" in latency(report).verdict.reason
    again(tmp_path, machine, Sides(base="old/bin/python"))
    assert len(machine.tasks) == 1


def test_what_cannot_run_is_said(tmp_path: Path) -> None:
    stored(tmp_path, ONE, changed_at=20)
    (tmp_path / "engines" / "kept" / f"{BASE}.onnx").write_bytes(b"damaged")
    report, said = again(tmp_path, Machine(1.1))
    assert report.exit == 0
    assert "the network of the base is no longer kept" in said[0]


def test_another_environment_than_that_of_the_night_measures_nothing(tmp_path: Path) -> None:
    stored(tmp_path, ONE, changed_at=20)
    report, said = again(tmp_path, Machine(1.1, (NEW_DRIVER, NEW_DRIVER)))
    assert (report.exit, "this is not the environment of the night" in said[1]) == (0, True)


def test_a_measurement_that_fails_is_said(tmp_path: Path) -> None:
    stored(tmp_path, ONE, changed_at=20)

    def broken(*_: Any) -> Any:
        raise MeasurementError("the worker crashed", values="signal 11")

    said: list[str] = []
    confirm_night(tmp_path, judge(tmp_path), sides=None, say=said.append, measure=broken)
    assert "the worker crashed; signal 11" in said[1]


def test_alpha_and_further_rounds_are_the_policys(tmp_path: Path) -> None:
    """A small change among noise: the first round speaks for it and is not sure."""
    stored(tmp_path, ONE, changed_at=20)
    policy = tmp_path / "benchbox.toml"

    def rounds_by(text: str) -> tuple[int, int]:
        for file in (tmp_path / "results" / "remeasured").glob("*/*.json"):
            file.unlink()
        policy.write_text(f"[gate]\nconfirm = {{ {text} }}\n")
        machine = Machine(1.1)
        machine.noise = 0.06
        report, _ = again(tmp_path, machine)
        return len(machine.tasks), report.exit

    assert rounds_by("alpha = 0.000001, rerun_on_noise = 2") == (3, 1)
    assert rounds_by("alpha = 0.000001, rerun_on_noise = 0")[1] == 0
    assert rounds_by("alpha = 0.4, rerun_on_noise = 2") == (1, 1)


def test_a_round_too_few_by_a_later_policy_decides_nothing(tmp_path: Path) -> None:
    stored(tmp_path, ONE, changed_at=20)
    machine = Machine(1.1)
    machine.noise = 0.06
    policy = tmp_path / "benchbox.toml"
    policy.write_text("[gate]\nconfirm = { alpha = 0.1, rerun_on_noise = 0 }\n")
    assert again(tmp_path, machine)[0].exit == 1
    policy.write_text("[gate]\nconfirm = { alpha = 0.000001, rerun_on_noise = 2 }\n")
    found = latency(judge(tmp_path).report)
    assert (found.verdict.outcome, found.qualifiers) == (Outcome.INCONCLUSIVE, (Qualifier.SUSPICIOUS,))
    assert "not enough to tell" in found.verdict.reason


def test_too_many_flags_leave_the_smaller_ones(tmp_path: Path) -> None:
    (tmp_path / "benchbox.toml").write_text("[gate]\nconfirm = { most = 1 }\n")
    for place, model in enumerate(("small", "large")):
        for entry in nights([*level(20, 1e-3), 1.1e-3 + place * 1e-3], flags=()):
            key = dataclasses.replace(entry.key, model=model)
            sha = HEAD if entry.started_at.startswith("2026-01-21") else BASE
            append(tmp_path, dataclasses.replace(entry, key=key, id=f"{entry.id}{model}", onnx_sha256=sha), trials())
    stored(tmp_path, [])
    machine = Machine(1.2)
    _, said = again(tmp_path, machine)
    assert [task.name.split("/")[0] for task in machine.tasks] == ["large"]
    assert "2 cases were flagged, more than confirm.most 1" in said[2]


def test_a_bridge_carries_the_level_into_a_new_environment(tmp_path: Path) -> None:
    def environment(night: int) -> Any:
        return NEW_DRIVER if night >= 20 else ENVIRONMENT

    # The driver costs 10 %, which nobody calls slower; five more on top of it are the network's.
    stored(tmp_path, [*level(20, 1e-3), *level(2, 1.1e-3, 1)], environment=environment)
    assert judge(tmp_path, night="2026-01-21").report.exit == 8
    machine = Machine(1.1, (ENVIRONMENT, NEW_DRIVER))
    report, _ = again(tmp_path, machine, Sides(base="old/bin/python", head="new/bin/python"), night="2026-01-21")
    assert (report.exit, latency(report).verdict.outcome) == (8, Outcome.SAME)
    assert latency(report).verdict.ratio == pytest.approx(1.0, rel=0.02)
    assert (judge(tmp_path).report.exit, latency(judge(tmp_path).report).verdict.outcome) == (0, Outcome.SAME)
    worse = [*level(20, 1e-3), *level(2, 1.1e-3, 1), *level(2, 1.3e-3, 2)]
    for entry in nights(worse, flags=(), environment=environment)[22:]:
        append(tmp_path, dataclasses.replace(entry, onnx_sha256=BASE), trials())
    assert (judge(tmp_path).report.exit, latency(judge(tmp_path).report).verdict.outcome) == (1, Outcome.SLOWER)


def test_the_command_runs_both_kept_files_in_turn(tmp_path: Path) -> None:
    stored(tmp_path, ONE, changed_at=20)
    machine = Machine(1.1)
    again(tmp_path, machine)
    words = command_of(tmp_path, machine.tasks[0], Sides(base="old/bin/python"), Confirm(order="random"))
    assert words[:2] == ["run", f"engines/kept/{BASE}.onnx"]
    place = words.index("--ab")
    assert words[place + 1 : place + 3] == [
        f"model=engines/kept/{BASE}.onnx,python=old/bin/python",
        f"model=engines/kept/{HEAD}.onnx",
    ]
    assert words[-8:] == [
        *("--ab-order", "random", "--trials", "10", "--no-memory", "--root", "results/again", "--json")
    ]


def test_processes_take_turns_where_they_can(tmp_path: Path) -> None:
    for backend, mode, asked, order in (
        ("onnxruntime", Mode.ISOLATED, "paired", "paired"),
        ("onnxruntime", Mode.SERVER, "paired", "ABBA"),
        ("tensorrt", Mode.ISOLATED, "paired", "ABBA"),
        ("onnxruntime", Mode.ISOLATED, "ABBA", "ABBA"),
        ("tensorrt", Mode.ISOLATED, "random", "random"),
    ):
        assert order_for(Confirm(order=asked), backend, mode) == order  # type: ignore[arg-type]
    stored(tmp_path, ONE, changed_at=20)
    machine = Machine(1.1)
    again(tmp_path, machine)
    words = command_of(tmp_path, machine.tasks[0], Sides(), Confirm())
    assert words[words.index("--ab-order") + 1] == "paired"


class Turning(Machine):
    """The same of processes that took turns, on a machine whose speed changes by a third from pair to pair."""

    def __call__(self, *given: Any) -> tuple[Measured, Measured]:
        factors = np.exp(np.random.default_rng(9).normal(0, 0.3, 8))
        found = []
        for side in super().__call__(*given):
            record = dataclasses.replace(side.record, plan=dataclasses.replace(side.record.plan, turn_s=0.2))
            times = [
                dataclasses.replace(one, samples_ns=tuple(round(value * factor) for value in one.samples_ns))
                for one, factor in zip(side.trials, factors, strict=True)
            ]
            found.append(Measured(record=record, trials=tuple(times)))
        return found[0], found[1]


def test_pairs_that_took_turns_confirm_and_refute_on_an_unsteady_machine(tmp_path: Path) -> None:
    for name, ratio, expected in (("slower", 1.1, Qualifier.CONFIRMED), ("equal", 1.0, Qualifier.REFUTED)):
        stored(tmp_path / name, ONE, changed_at=20)
        report, _ = again(tmp_path / name, Turning(ratio))
        assert expected in latency(report).qualifiers
        assert again(tmp_path / name, Turning(ratio))[0] == report, "it is stored that they were pairs"


def unsteady(root: Path, tonight: float) -> None:
    """Nights that differ by 8 %, so that they cannot show 5 %."""
    values = [*np.exp(np.random.default_rng(4).normal(math.log(1e-3), 0.08, 20)), tonight]
    stored(root, values, changed_at=20)


BLIND = "[gate.confirm]\nblind = true\n"


@pytest.mark.parametrize(("ratio", "outcome", "status"), [(1.1, Outcome.SLOWER, 1), (1.0, Outcome.SAME, 0)])
def test_what_nights_cannot_judge_is_measured_in_turn_where_asked(
    ratio: float, outcome: Outcome, status: int, tmp_path: Path
) -> None:
    unsteady(tmp_path, 1e-3)
    before = latency(judge(tmp_path).report)
    assert Qualifier.BLIND in before.qualifiers
    machine = Machine(ratio)
    again(tmp_path, machine)
    assert not machine.tasks, "only where the policy asks for it"
    (tmp_path / "benchbox.toml").write_text(BLIND)
    report, said = again(tmp_path, machine)
    assert said[0] == f"measuring again, base and head in turn: {NAME}"
    found = latency(report)
    assert found.verdict.outcome is outcome
    assert Qualifier.BLIND not in found.qualifiers or ratio > 1
    assert (Qualifier.CONFIRMED in found.qualifiers) is (ratio > 1)
    assert Qualifier.REFUTED not in found.qualifiers, "nothing had been suspected"
    assert "measured again in turn, 8 + 8 processes" in found.verdict.reason
    assert (report.exit == 1) is (status == 1)


def test_a_wide_second_measurement_leaves_a_blind_row_blind(tmp_path: Path) -> None:
    unsteady(tmp_path, 1e-3)
    (tmp_path / "benchbox.toml").write_text(BLIND)
    machine = Machine(1.0)
    machine.noise = 0.2
    report, _ = again(tmp_path, machine)
    assert Qualifier.BLIND in latency(report).qualifiers


def test_a_blind_row_of_the_same_network_is_no_news(tmp_path: Path) -> None:
    values = [*np.exp(np.random.default_rng(4).normal(math.log(1e-3), 0.08, 20)), 1e-3]
    stored(tmp_path, values)
    (tmp_path / "benchbox.toml").write_text(BLIND)
    machine = Machine(1.1)
    report, said = again(tmp_path, machine)
    assert (machine.tasks, said) == ([], [])
    assert "not measured again" not in latency(report).verdict.reason


def test_a_bridge_carries_the_pinned_level_over_too(benchbox: Callable[..., Any], tmp_path: Path) -> None:
    def environment(night: int) -> Any:
        return NEW_DRIVER if night >= 20 else ENVIRONMENT

    def store(values: Sequence[float], first: int) -> None:
        made = list(enumerate(nights(values, flags=(), environment=environment)))[first:]
        for place, entry in made:
            append(tmp_path, dataclasses.replace(entry, onnx_sha256=BASE), processes(values[place], place, 0.003))

    stored(tmp_path, [])
    values = [*level(20, 1e-3), *level(2, 1.1e-3, 1)]
    store(values[:20], 0)
    assert benchbox("baseline", "propose").status == benchbox("baseline", "pin", "v1").status == 0
    store(values, 20)
    assert latency(judge(tmp_path).report, "anchor").verdict.outcome is Outcome.INCOMPARABLE
    machine = Machine(1.1, (ENVIRONMENT, NEW_DRIVER))
    again(tmp_path, machine, Sides(base="old/bin/python"), night="2026-01-21")
    found = latency(judge(tmp_path).report, "anchor")
    assert (found.verdict.outcome, Qualifier.BRIDGED in found.qualifiers) == (Outcome.SAME, True)
    assert found.verdict.ratio == pytest.approx(1.0, rel=0.02)
    # What drifts in the new environment is seen, against what the driver made of the old level.
    store([*values, *level(3, 1.3e-3, 3)], 22)
    found = latency(judge(tmp_path, against="anchor").report, "anchor")
    assert (found.verdict.outcome, Qualifier.BRIDGED in found.qualifiers) == (Outcome.SLOWER, True)
    assert found.verdict.ratio == pytest.approx(1.3 / 1.1, rel=0.02)


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"schema": "benchbox.remeasured/9"})])
def test_a_damaged_file_is_named(text: str, tmp_path: Path) -> None:
    stored(tmp_path, ONE, changed_at=20)
    again(tmp_path, Machine(1.1))
    (path,) = (tmp_path / "results" / "remeasured").glob("*/*.json")
    path.write_text(text)
    with pytest.raises(StoreError, match=path.name):
        judge(tmp_path)
