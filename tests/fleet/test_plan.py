"""A plan: every process of every case in some step, units of some minutes, anchors, and the same after reading it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbox.errors import StoreError, UsageError
from benchbox.fleet.plan import arguments_of, newest_plan, path_of_plan, plan_of, read_plan, write_plan
from benchbox.fleet.sweep_file import Sweep

SWEEP = Sweep(models=["lenet5", "vgg16"], backends=["onnxruntime", "openvino"], batches=[1, 8], name="nightly")


@given(
    batches=st.lists(st.integers(1, 64), min_size=1, max_size=6, unique=True),
    passes=st.integers(1, 4),
    share=st.integers(1, 6),
    minutes=st.floats(0.05, 60),
    seconds=st.floats(0.1, 300),
)
def test_every_process_has_its_step(
    batches: list[int], passes: int, share: int, minutes: float, seconds: float
) -> None:
    sweep = SWEEP.model_copy(
        update={"batches": batches, "passes": passes, "processes": passes * share, "unit_minutes": minutes}
    )
    plan = plan_of(sweep, estimate=lambda case, processes: seconds * processes)
    measured = [step for step in plan.steps if not step.anchor]
    counts = Counter(step.case.title for step in measured)
    assert set(counts.values()) == {passes}
    assert len(counts) == len(sweep.cases())
    assert {step.processes for step in measured} == {share}
    assert len({step.name for step in plan.steps}) == len(plan.steps)
    for unit in plan.units:
        own = [step for step in unit.steps if not step.anchor]
        assert len(own) == 1 or sum(seconds * step.processes for step in own) <= 60 * minutes * 1.000001
        assert unit.steps[0].anchor
        assert len({step.name.partition("-")[0] for step in own}) == 1, "passes are apart in time"
    assert plan.steps[-1].anchor


def test_the_order_is_drawn_anew_in_each_pass() -> None:
    plan = plan_of(SWEEP, estimate=lambda case, processes: 1.0)
    turns = [[step.case.title for step in unit.steps if not step.anchor] for unit in plan.units]
    assert sorted(turns[0]) == sorted(turns[1])
    assert turns[0] != turns[1]
    again = plan_of(SWEEP, estimate=lambda case, processes: 1.0)
    assert [step.name for step in again.steps] == [step.name for step in plan.steps], "by the seed"
    assert again.id != plan.id


def test_the_anchor_is_the_shortest_case() -> None:
    plan = plan_of(SWEEP, estimate=lambda case, processes: float(case.batch + len(case.model)) * processes)
    (anchor,) = {step.case.title for step in plan.steps if step.anchor}
    assert anchor == "vgg16 onnxruntime b1"
    fails = plan_of(SWEEP, estimate=lambda case, processes: 1.0, fails=lambda case: case.model == "lenet5")
    assert {step.case.model for step in fails.steps if step.anchor} == {"vgg16"}
    none = plan_of(SWEEP, estimate=lambda case, processes: 1.0, fails=lambda case: True)
    assert not any(step.anchor for step in none.steps)
    alone = SWEEP.model_copy(update={"models": ["lenet5"], "backends": ["openvino"], "batches": [1]})
    assert not any(step.anchor for step in plan_of(alone, estimate=lambda case, processes: 1.0).steps)


def test_the_command_of_a_step() -> None:
    sweep = SWEEP.model_copy(
        update={
            "precisions": ["int8"],
            "calibration": "photos",
            "quick": True,
            "threads": [2],
            "input": ["3x8x8"],
            "device": "GPU-8a0b",
        }
    )
    plan = plan_of(sweep, estimate=lambda case, processes: 1.0)
    step = next(step for step in plan.steps if step.name == "p1-0000")
    assert " ".join(arguments_of(plan, step)) == (
        "run lenet5 --backend onnxruntime --precision int8 --batch 1 --mode isolated --trials 4 --threads 2 "
        "--device GPU-8a0b --calibration photos --input 3x8x8 --quick"
    )
    assert plan.mark(step) == f"{plan.id}/p1-0000"


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = plan_of(SWEEP, estimate=lambda case, processes: 1.5)
    assert read_plan(write_plan(tmp_path, plan)) == plan
    assert newest_plan(tmp_path, SWEEP) == plan


def test_what_cannot_be_resumed_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no sweep 'nightly' to resume"):
        newest_plan(tmp_path, SWEEP)
    plan = plan_of(SWEEP, estimate=lambda case, processes: 1.0)
    write_plan(tmp_path, plan)
    with pytest.raises(UsageError) as raised:
        newest_plan(tmp_path, SWEEP.model_copy(update={"batches": [2], "seed": 3}))
    assert raised.value.values.endswith("since then: batches, seed")
    write_plan(tmp_path, dataclasses.replace(plan, id=f"{plan.id}x", version="0.0.1"))
    with pytest.raises(UsageError, match="another benchbox"):
        newest_plan(tmp_path, SWEEP)
    path_of_plan(tmp_path, plan.id).write_text("{}")
    with pytest.raises(StoreError, match="is not a plan"):
        newest_plan(tmp_path, SWEEP)
