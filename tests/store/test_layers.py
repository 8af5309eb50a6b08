"""Tables of layers are kept whole, and a damaged file does not hide the others."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from sample_material import ceilings, table

from benchbox.errors import StoreError
from benchbox.schema.layers import StoredLayers
from benchbox.store.ceilings import append_ceilings
from benchbox.store.layers import FOLDER, append_layers, stored_layers
from benchbox.store.records import SIMULATION_MARK


def put(root: Path, stored: StoredLayers, *, simulated: bool = False) -> Path | None:
    whole = dataclasses.replace(stored.table, ceilings=ceilings())
    return append_layers(
        root, whole, identity=stored.id, environment=stored.environment, device=stored.device, at=stored.started_at,
        simulated=simulated,
    )  # fmt: skip


def test_what_is_written_is_read_oldest_first_with_its_ceilings(tmp_path: Path) -> None:
    assert stored_layers(tmp_path) == ()
    older, newer = table("int8"), table("fp32")
    for each in (newer, older):
        put(tmp_path, each)
    assert stored_layers(tmp_path, warn=pytest.fail) == (older, newer)
    append_ceilings(tmp_path, ceilings())
    assert stored_layers(tmp_path)[0].table.ceilings == ceilings()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": "benchbox.layers-record/99"}'])
def test_a_damaged_file_is_named_and_left_out(tmp_path: Path, text: str) -> None:
    put(tmp_path, table("fp32"))
    (tmp_path / FOLDER / "20260102T000000Z-00000000.json").write_text(text)
    (tmp_path / FOLDER / "mine.json").write_text(text)  # nobody's
    lines: list[str] = []
    assert [one.id for one in stored_layers(tmp_path, warn=lines.append)] == [table("fp32").id]
    assert len(lines) == 1
    assert "20260102T000000Z" in lines[0]


def test_the_simulated_gpu_is_stored_only_where_that_is_meant(tmp_path: Path) -> None:
    assert put(tmp_path, table("fp32"), simulated=True) is None
    assert stored_layers(tmp_path) == ()
    (tmp_path / SIMULATION_MARK).parent.mkdir(parents=True)
    (tmp_path / SIMULATION_MARK).touch()
    assert put(tmp_path, table("fp32"), simulated=True) is not None


def test_an_unwritable_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StoreError, match="cannot be stored"):
        put(tmp_path, table("fp32"))
