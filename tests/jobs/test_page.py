"""Does the page say what the gate says of the newest night, and have what lies beside the records?"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from sample_material import table
from sample_nights import level, nights
from sample_records import trials

from benchbox.jobs.page import material_from_records
from benchbox.report.material import Material
from benchbox.store.layers import append_layers
from benchbox.store.records import append, readable_records, record_files


def material_of(root: Path, values: list[float]) -> Material:
    for number, entry in enumerate(nights(values, flags=())):
        append(root, dataclasses.replace(entry, id=f"{entry.id[:-8]}{number:08d}"), trials())
    stored = table("fp32")
    append_layers(
        root, stored.table, identity=stored.id, environment=stored.environment, device=stored.device,
        at=stored.started_at,
    )  # fmt: skip
    found = readable_records(record_files(root), warn=pytest.fail)
    return material_from_records(root, found, title="x", warn=pytest.fail)


def test_one_night_has_nothing_to_compare_with(tmp_path: Path) -> None:
    found = material_of(tmp_path, level(1, 1e-3, 0))
    assert found.verdict[0] == "Nothing to compare yet"
    assert "none of 1 case was measured in enough nights" in found.verdict[1]
    assert [one.id for one in found.layers] == [table("fp32").id]


def test_a_slower_night_is_the_verdict(tmp_path: Path) -> None:
    found = material_of(tmp_path, [*level(20, 1e-3, 0), *level(3, 1.2e-3, 7)])
    assert found.verdict[0].startswith("Night of ")
    assert "slower" in found.verdict[0]
    assert any(line.startswith("✖") and "%" in line for line in found.verdict[1:])
    assert len(found.series) == 1


def test_its_history_is_a_point_a_night_as_the_gate_counts_them(tmp_path: Path) -> None:
    """Two records of one night are one point, and a policy's nights begin when it says."""
    values = [*level(20, 1e-3, 0), *level(10, 1.2e-3, 7)]
    for number, entry in enumerate(nights(values, flags=())):
        append(tmp_path, dataclasses.replace(entry, id=f"{entry.id[:-8]}{number:08d}"), trials())
        again = entry.started_at.replace("T02:17", "T05:00")
        append(tmp_path, dataclasses.replace(entry, id=f"{entry.id[:-8]}{number:07d}b", started_at=again), trials())
    found = readable_records(record_files(tmp_path), warn=pytest.fail)
    (series,) = material_from_records(tmp_path, found, title="x", warn=pytest.fail).series
    assert [len(point.records) for point in series.points] == [2] * 30
    assert [(change.index, round(change.ratio, 1)) for change in series.changes] == [(20, 1.2)]
    (tmp_path / "benchbox.toml").write_text("[gate]\nnight_starts = 4\n")
    found = readable_records(record_files(tmp_path), warn=pytest.fail)
    (series,) = material_from_records(tmp_path, found, title="x", warn=pytest.fail).series
    assert len(series.points) == 31
