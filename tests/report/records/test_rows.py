"""What the cells of the run table say, and with how many digits."""

from __future__ import annotations

import dataclasses

import pytest
from sample_records import record

from benchbox.report.records.base import FORMATS, View
from benchbox.report.records.notes import notes_from_records
from benchbox.report.records.rows import known_factor
from benchbox.report.records.telling import brief_ids, names_of_records
from benchbox.schema.reading import Better, Flag, Reading, Severity


def reading(value: float, half_width: float | None) -> Reading:
    low, high = (None, None) if half_width is None else (value * (1 - half_width), value * (1 + half_width))
    return Reading(metric="throughput", unit="1/s", value=value, low=low, high=high, n=8, better=Better.HIGHER)


@pytest.mark.parametrize(
    ("factor", "widths", "text"),
    [
        (3.1262, (0.01, 0.01), "3.13×"),
        (3.1262, (0.0, 0.0), "3.13×"),
        (3.1262, (0.1, 0.02), "3.1×"),
        (3.1262, (0.88, 0.1), "3×"),
        (1.04, (0.1, 0.1), "~1.0×"),
        (0.0456, (0.02, 0.03), "0.0456×"),
        (12.62, (0.3, 0.1), "13×"),
        (126.2, (0.9, 0.9), "100×"),
        (2.0, (None, 0.1), "2.00×"),
    ],
)
def test_a_speed_up_has_no_more_digits_than_are_known(
    factor: float, widths: tuple[float | None, float | None], text: str
) -> None:
    assert known_factor(reading(100 * factor, widths[0]), reading(100, widths[1])) == text


def test_a_note_is_about_the_worst_case() -> None:
    def flagged(number: int, size: float | None) -> Flag:
        return Flag(code="NOISY", severity=Severity.WARNING, message=f"varies by {size}", size=size)

    rows = [record(place, flags=(flagged(place, size),)) for place, size in enumerate((0.2, 0.9, 0.4))]
    (note,) = [note for note in notes_from_records(rows, View()) if note.startswith("NOISY")]
    assert "varies by 0.9 (and 2 more)" in note
    assert "varies by None" in next(
        note for note in notes_from_records([record(0, flags=(flagged(0, None),))], View()) if note.startswith("NOISY")
    )


@pytest.mark.parametrize(
    ("ids", "shown"),
    [
        (["20260102T030400Z-0a", "20260102T030401Z-0a"], ["20260102T030400Z", "20260102T030401Z"]),
        (["20260102T030400Z-0a", "20260102T030400Z-1b"], ["20260102T030400Z-0", "20260102T030400Z-1"]),
        (["20260102T030400Z-0a", "20260102T030400Z-0b"], ["20260102T030400Z-0a", "20260102T030400Z-0b"]),
        (["other", "otter"], ["other", "otter"]),
        ([], []),
    ],
)
def test_ids_are_as_short_as_they_may_be(ids: list[str], shown: list[str]) -> None:
    assert list(brief_ids(ids).values()) == shown
    assert all(each.startswith(short) for each, short in brief_ids(ids).items())


def test_a_note_names_the_one_of_two_rows_that_it_is_about() -> None:
    name = names_of_records([record(0), record(7)])
    assert name(record(7)) == "lenet5 null fp32 batch 1 20260102T030407Z"
    assert names_of_records([record(7)])(record(7)) == "lenet5 null fp32 batch 1"


@pytest.mark.parametrize("form", ["table", "md"])
@pytest.mark.parametrize("width", [40, 100])
def test_what_alone_tells_rows_apart_is_never_left_out(form: str, width: int) -> None:
    first, again = record(0, flags=()), record(7, flags=())
    text = FORMATS.get(form).render([first, again], width=width)
    assert "20260102T030400Z" in text
    assert "20260102T030407Z" in text
    elsewhere = dataclasses.replace(again, environment=dataclasses.replace(again.environment, hash="ba9876543210"))
    rows = FORMATS.get(form).render([first, elsewhere], width=width).split("\n\n")[0]
    assert "0123456789ab" in rows
    assert "ba9876543210" in rows
