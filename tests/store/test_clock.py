"""A clock that went back is seen by the days that are stored."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from benchbox.store.clock import clock_doubt

NOW = datetime.datetime(2026, 11, 29, 23, 59, tzinfo=datetime.UTC)


def stored(root: Path, *days: str) -> None:
    for day in days:
        (root / "results" / "records" / "env=0123456789ab" / f"date={day}").mkdir(parents=True)


@pytest.mark.parametrize("days", [(), ("2026-11-01", "2026-11-29"), ("2026-11-30",), ("no day",)])
def test_a_clock_that_fits(days: tuple[str, ...], tmp_path: Path) -> None:
    stored(tmp_path, *days)
    assert clock_doubt(tmp_path, NOW) == ""


def test_a_clock_that_went_back(tmp_path: Path) -> None:
    stored(tmp_path, "2026-11-01", "2026-12-02")
    assert clock_doubt(tmp_path, NOW).startswith(
        "the clock of this machine says 2026-11-29, and the newest record here is of 2026-12-02: set it"
    )


def test_a_clock_that_was_never_set(tmp_path: Path) -> None:
    assert "says 1970-01-01: set it" in clock_doubt(tmp_path, datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC))
