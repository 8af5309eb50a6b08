"""Ceilings are kept, the newest of an environment is found, and a damaged file does not hide the others."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchbox.errors import StoreError
from benchbox.schema.device import BandwidthCeiling, Ceilings, ComputeCeiling, Level, NoCeiling, Pace
from benchbox.schema.environment import Environment
from benchbox.schema.model import Precision
from benchbox.schema.reading import Flag, Severity
from benchbox.store.ceilings import FOLDER, append_ceilings, newest_of, stored_ceilings

WHOLE = Ceilings(
    id="20260101T000000Z-00000000",
    started_at="2026-01-01T00:00:00+00:00",
    device="cpu",
    title="a processor",
    epoch="e",
    environment=Environment(hash="e", hardware={"cpu": "x"}, software={}),
    cpus=2,
    compute=(
        ComputeCeiling(
            precision=Precision.INT8, kind=Pace.BURST, threads=2, flops_per_s=3.0, low=2.0, high=4.0,
            library="openvino", shape=(8, 8, 8), n=5,
        ),
    ),
    bandwidth=(
        BandwidthCeiling(
            level=Level.LLC, threads=2, bytes_per_s=3.0, low=2.0, high=4.0, library="numpy", kernel="add", bytes=9, n=1
        ),
    ),
    none=(NoCeiling(precision=Precision.FP16, library="onnxruntime", reason="casts"),),
    flags=(Flag(code="CEILING_NOT_HELD", severity=Severity.WARNING, message="x", size=0.1),),
)  # fmt: skip


def test_what_is_written_is_read_oldest_first(tmp_path: Path) -> None:
    assert stored_ceilings(tmp_path) == ()
    later = dataclasses.replace(WHOLE, id="20260102T000000Z-00000000", quick=True)
    for each in (later, WHOLE):
        append_ceilings(tmp_path, each)
    assert stored_ceilings(tmp_path) == (WHOLE, later)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": "benchbox.ceilings/99"}'])
def test_a_damaged_file_is_named_and_left_out(tmp_path: Path, text: str) -> None:
    append_ceilings(tmp_path, WHOLE)
    (tmp_path / FOLDER / "b.json").write_text(text)
    lines: list[str] = []
    assert stored_ceilings(tmp_path, warn=lines.append) == (WHOLE,)
    assert len(lines) == 1
    assert "b.json" in lines[0]


def test_the_newest_whole_one_of_the_environment_counts() -> None:
    quick = dataclasses.replace(WHOLE, id="z", quick=True)
    other = dataclasses.replace(WHOLE, id="y", epoch="other")
    stored = (dataclasses.replace(WHOLE, id="a"), WHOLE, other, quick)
    assert newest_of(stored, epoch="e", device="cpu") is WHOLE
    assert newest_of(stored, epoch="e", device="cpu", quick=True) is WHOLE
    assert newest_of((quick,), epoch="e", device="cpu") is None
    assert newest_of((quick,), epoch="e", device="cpu", quick=True) is quick
    assert newest_of(stored, epoch="e", device="cuda") is None


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(StoreError):
        append_ceilings(tmp_path, WHOLE)
