"""What the cells of the run table say, and with how many digits."""

from __future__ import annotations

import pytest
from sample_records import record

from benchbox.report.records.base import View
from benchbox.report.records.notes import notes_from_records
from benchbox.report.records.rows import known_factor
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
