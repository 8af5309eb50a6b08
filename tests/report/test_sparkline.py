"""A line of bars: as many as values, lowest for the least, breaks where levels begin."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchbox.report.sparkline import sparkline


def test_a_step_is_seen() -> None:
    assert sparkline([1.0, 1.0, 1.0, 2.0, 2.0], breaks={3}) == "▁▁▁│██"
    assert sparkline([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]) == "▁▂▃▄▅▆▇█"


def test_noise_is_flat() -> None:
    assert set(sparkline([100.0, 100.1, 99.9, 100.0])) <= {"▄", "▅"}


def test_nothing_and_zeros() -> None:
    assert sparkline([]) == ""
    assert set(sparkline([0.0, 0.0])) == {"▁"}


@given(st.lists(st.floats(min_value=-1e9, max_value=1e9), min_size=1, max_size=200), st.integers(1, 80))
def test_one_bar_a_value(values: list[float], most: int) -> None:
    line = sparkline(values, most=most)
    shown = values[-most:]
    assert len(line) == len(shown)
    assert line[shown.index(max(shown))] == max(line)
    assert line[shown.index(min(shown))] == min(line)
