"""Everything under a root is read whole, and what is damaged is named by its file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sample_records import record, trials

from benchbox.store.checking import DAMAGED, check_store, set_aside
from benchbox.store.records import append, record_files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(4):
        append(tmp_path, record(number), trials())
    return tmp_path


def test_a_whole_store_has_no_fault(root: Path) -> None:
    found = check_store(root)
    assert found.counts == {"records": 4, "accuracies": 0, "layers": 0, "artifacts": 0, "engines": 0}
    assert found.faults == ()


def test_an_empty_root_is_whole(tmp_path: Path) -> None:
    assert check_store(tmp_path).faults == ()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(path.read_bytes()[:-9] + b"123456789"),
        lambda path: path.rename(path.with_name("20260101T000000Z-ffffffff.parquet")),
        lambda path: shutil.copy(path, path.with_name("20260101T000000Z-ffffffff.parquet")),
    ],
    ids=["empty", "half", "other end", "renamed", "copied"],
)
def test_damage_is_found_and_can_be_set_aside(root: Path, damage: object) -> None:
    damage(record_files(root)[1])  # type: ignore[operator]
    (fault,) = check_store(root).faults
    assert fault.record
    assert fault.path.exists()
    target = set_aside(root, fault)
    assert target.is_relative_to(root / DAMAGED)
    assert target.exists()
    assert check_store(root).faults == ()


def test_a_record_in_two_places_is_one_too_many(root: Path) -> None:
    path = record_files(root)[0]
    other = path.parents[2] / "env=ffffffffffff" / path.parent.name
    other.mkdir(parents=True)
    shutil.copy(path, other / path.name)
    reasons = [fault.reason for fault in check_store(root).faults]
    assert any("stored twice" in reason or "wrong place" in reason for reason in reasons)


@pytest.mark.usefixtures("lenet_exported")
def test_an_artifact_whose_file_changed_is_named(tmp_path: Path) -> None:
    onnx = next((tmp_path / "engines" / "onnx").glob("*.onnx"))
    assert check_store(tmp_path).faults == ()
    onnx.write_bytes(onnx.read_bytes() + b" ")
    (fault,) = check_store(tmp_path).faults
    assert "sha256 differs" in fault.reason
    assert not fault.record
