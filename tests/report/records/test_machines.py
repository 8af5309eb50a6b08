"""Rows that were not taken on the same machine say so below the table."""

from __future__ import annotations

import dataclasses

import pytest
from sample_records import ENVIRONMENT, record

from benchbox.report.records.base import View
from benchbox.report.records.machines import notes_on_machines
from benchbox.report.records.notes import notes_from_records
from benchbox.schema.reading import Better, Reading
from benchbox.schema.record import Record


def referred(number: int, handover_s: float, arithmetic_s: float = 8e-6, environment: str = "a") -> Record:
    values = {"probe_handover": handover_s, "probe_arithmetic": arithmetic_s}
    readings = tuple(
        Reading(metric=name, unit="s", value=value, low=None, high=None, n=1, better=Better.LOWER)
        for name, value in values.items()
    )
    return record(number, readings=readings, environment=dataclasses.replace(ENVIRONMENT, hash=environment))


@pytest.mark.parametrize(
    ("records", "named"),
    [
        ([], []),
        ([record(1), record(2)], []),
        ([referred(1, 137e-9), referred(2, 150e-9)], []),
        ([referred(1, 137e-9), referred(2, 150e-9), referred(3, 285e-9)], ["probe_handover"]),
        ([referred(1, 137e-9, 8e-6), referred(2, 137e-9, 9e-6)], ["probe_arithmetic"]),
        # Records of different environments are not compared anyway.
        ([referred(1, 137e-9), referred(2, 285e-9, environment="b")], []),
    ],
)
def test_which_references_are_named(records: list[Record], named: list[str]) -> None:
    assert [note.split(": ")[1].split()[0] for note in notes_on_machines(records)] == named


def test_the_note_names_both_ends_and_stands_last() -> None:
    records = [referred(1, 285e-9), referred(2, 137e-9)]
    *_, note = notes_from_records(records, View(notes=True))
    assert "137.0 ns in lenet5 at 2026-01-02T03:04:02" in note
    assert "285.0 ns in lenet5 at 2026-01-02T03:04:01" in note


def test_sides_that_ran_in_turn_are_not_told_to_run_in_turn() -> None:
    (note,) = notes_on_machines([referred(1, 137e-9), referred(2, 285e-9)], paired=True)
    assert "the verdicts compare sides that ran in turn" in note
    assert "--ab" not in note
    (alone,) = notes_on_machines([referred(1, 137e-9), referred(2, 285e-9)])
    assert "do not compare these rows with each other; run --ab" in alone
