"""What is done of a sweep, from hand-made records."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from sample_records import ENVIRONMENT, record, trials

from benchbox.fleet.done import Swept, open_units, states_of, surplus_of, swept
from benchbox.fleet.plan import SweepPlan, plan_of
from benchbox.fleet.sweep_file import Sweep
from benchbox.fleet.text import document_from_swept, render_swept
from benchbox.schema.reading import Better, Reading
from benchbox.schema.record import Record, Status
from benchbox.store.records import append

SWEEP = Sweep(models=["lenet5"], backends=["null"], batches=[1, 2], passes=1, processes=4, name="s")
KILLED = "the worker was killed (SIGKILL); the kernel does this when memory runs out"


@pytest.fixture
def plan() -> SweepPlan:
    return dataclasses.replace(plan_of(SWEEP, estimate=lambda case, processes: 1.0), id="20260102T000000Z-s-1")


def marked(plan: SweepPlan, name: str, number: int = 0, **fields: Any) -> Record:
    environment = dataclasses.replace(ENVIRONMENT, observed={"sweep": f"{plan.id}/{name}"})
    return record(number, environment=environment, **fields)


@pytest.mark.parametrize(
    ("ends", "done"),
    [
        ([], False),
        ([(Status.OK, "")], True),
        ([(Status.SKIPPED, "cannot run bf16")], True),
        ([(Status.FAILED, "outputs are wrong")], True),
        ([(Status.FAILED, KILLED)], False),
        ([(Status.FAILED, KILLED), (Status.FAILED, KILLED)], True),
        ([(Status.FAILED, KILLED), (Status.OK, "")], True),
    ],
)
def test_a_step_is_done_or_tried_again(plan: SweepPlan, ends: list[tuple[Status, str]], done: bool) -> None:
    kept = [marked(plan, "p1-0000", place, status=status, reason=why) for place, (status, why) in enumerate(ends)]
    state = states_of(plan, kept)["p1-0000"]
    assert state.is_done is done
    assert len(state.records) == len(ends)


def test_records_of_others_do_not_count(plan: SweepPlan) -> None:
    strange = [
        record(0),
        marked(dataclasses.replace(plan, id="another"), "p1-0000", 1),
        marked(plan, "p9-0000", 2),
    ]
    assert not any(state.records for state in states_of(plan, strange).values())
    assert open_units(plan, states_of(plan, strange)) == [1]


def anchored(plan: SweepPlan, name: str, number: int, value: float) -> Record:
    reading = Reading(metric="latency_p50", unit="s", value=value, low=None, high=None, n=4, better=Better.LOWER)
    return marked(plan, name, number, readings=(reading,))


def test_what_came_out_is_told(plan: SweepPlan) -> None:
    records = [
        anchored(plan, "a-001", 0, 1e-3),
        anchored(plan, "p1-0000", 1, 2e-3),
        marked(plan, "p1-0001", 2, status=Status.FAILED, reason="outputs are wrong", readings=()),
        anchored(plan, "a-end", 3, 1.2e-3),
    ]
    found = Swept(plan=plan, states=states_of(plan, records))
    assert found.drift == pytest.approx(1.2)
    text = render_swept(found)
    assert "3 of 4 steps measured, 1 failed" in text
    assert "lenet5 null b2: failed: outputs are wrong" in text
    assert "the anchor's p50 moved by 20 %" in text
    assert "--resume" not in text
    lacking = Swept(plan=plan, states=states_of(plan, records[:2]))
    assert "--resume  (not done: 2 steps)" in render_swept(lacking)
    document = document_from_swept(found)
    assert [step["done"] for step in document["steps"]] == [True] * 4


def test_what_another_node_has_delivered_since_is_not_delivered_again(plan: SweepPlan, tmp_path: Path) -> None:
    ours, theirs = marked(plan, "p1-0000", 0), marked(plan, "p1-0000", 1)
    alone, failed = marked(plan, "p1-0001", 2), marked(plan, "a-001", 3, status=Status.FAILED, reason=KILLED)
    again = marked(plan, "a-001", 4)
    for each in (ours, theirs, alone, failed, again):
        append(tmp_path, each, trials())
    assert surplus_of(tmp_path, plan, stored={theirs.id, failed.id}) == {ours.id}


def test_a_damaged_record_does_not_stop_the_others(plan: SweepPlan, tmp_path: Path) -> None:
    append(tmp_path, marked(plan, "p1-0000", 0), trials())
    broken = append(tmp_path, marked(plan, "p1-0001", 1), trials())
    broken.write_bytes(b"PAR1")
    told: list[str] = []
    states = swept(tmp_path, plan, warn=told.append).states
    assert states["p1-0000"].is_done
    assert not states["p1-0001"].is_done
    assert broken.name in told[0]
