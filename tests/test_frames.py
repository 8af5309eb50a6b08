"""Do people get tidy frames of whatever a root or a file has?"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from sample_material import ceilings as measured_ceilings
from sample_material import table
from sample_records import record, skipped, trials

from benchbox.errors import StoreError, UsageError
from benchbox.frames import CEILING_COLUMNS, LAYER_COLUMNS, VERDICT_COLUMNS, ceilings, layers, records, verdicts
from benchbox.schema.device import BandwidthCeiling, Ceilings, ComputeCeiling, Level, Pace
from benchbox.schema.model import Precision
from benchbox.schema.reading import Better, Reading
from benchbox.store.ceilings import append_ceilings
from benchbox.store.layers import append_layers
from benchbox.store.records import append, record_files

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.md"
BLOCKS = re.findall(r"```python\n(.*?)```", NOTEBOOK.read_text(), flags=re.DOTALL)
ENVIRONMENT = record().environment
CEILINGS = Ceilings(
    id="20261128T120000Z-c0", started_at="2026-11-28T12:00:00Z", device=record().key.device, title="a machine",
    epoch=ENVIRONMENT.hash, environment=ENVIRONMENT, cpus=2,
    compute=(
        ComputeCeiling(precision=Precision.FP32, kind=Pace.SUSTAINED, threads=record().plan.threads, flops_per_s=4e12,
                       low=3e12, high=5e12, library="numpy", shape=(512, 512, 512), n=5),
    ),
    bandwidth=(
        BandwidthCeiling(level=Level.DRAM, threads=2, bytes_per_s=2e10, low=1e10, high=3e10, library="numpy",
                         kernel="copy", bytes=10**9, n=5),
    ),
)  # fmt: skip
LAYER = {
    "name": "conv1", "executed_as": "c", "kind": "Conv", "type": "fp32", "tactic": "", "stream": None, "nodes": ["a"],
    "moves_data": False, "time_s": 0.003, "macs": 10, "flops": 20, "bytes": 5, "flops_per_s": 6666.7,
    "arithmetic_intensity": 4.0, "bound": "compute",
}  # fmt: skip
DOCUMENT = {
    "schema": "benchbox.layers/1", "model": "lenet5", "backend": "onnxruntime", "precision": "fp32", "batch": 1,
    "threads": 2, "latency_s": 0.004, "profiled_s": 0.004, "onnx_sha256": "0" * 64,
    "layers": [LAYER, {**LAYER, "name": "fc", "time_s": 0.001}, {**LAYER, "name": "untimed", "time_s": None}],
}  # fmt: skip


def test_stored_layers_are_rows_with_their_environment(tmp_path: Path) -> None:
    stored = table("fp32")
    append_layers(
        tmp_path, dataclasses.replace(stored.table, ceilings=measured_ceilings()), identity=stored.id,
        environment=stored.environment, device=stored.device, at=stored.started_at,
    )  # fmt: skip
    frame = layers(tmp_path)
    assert list(frame["name"]) == [row.name for row in stored.table.rows]
    assert set(frame["env"]) == {stored.environment.hash}
    assert set(frame["id"]) == {stored.id}
    assert frame["share"].sum() == pytest.approx(1)
    assert list(layers(tmp_path / "results" / "layers" / f"{stored.id}.json")["time_s"]) == list(frame["time_s"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project root with records in two precisions, a skipped one, ceilings, and layers."""
    base = record(0)
    achieved = Reading(
        metric="achieved_flops", unit="FLOP/s", value=1e12, low=9e11, high=1.1e12, n=5, better=Better.HIGHER
    )
    base = dataclasses.replace(base, readings=(*base.readings, achieved))
    append(tmp_path, base, trials())
    other = record(1)
    append(tmp_path, dataclasses.replace(other, key=dataclasses.replace(other.key, precision=Precision.INT8)), trials())
    append(tmp_path, skipped(2), ())
    append_ceilings(tmp_path, CEILINGS)
    (tmp_path / "results" / "layers").mkdir()
    (tmp_path / "results" / "layers" / "lenet5.json").write_text(json.dumps(DOCUMENT))
    return tmp_path


def test_records_of_a_root_and_of_a_file_are_the_same_rows(root: Path) -> None:
    whole = records(root)
    assert whole["id"].nunique() == 3
    assert whole[whole["metric"].isna()]["status"].tolist() == ["skipped"]
    file = record_files(root)[0]
    one = records(file)
    pd.testing.assert_frame_equal(one, whole[whole["id"] == file.stem].reset_index(drop=True))
    pd.testing.assert_frame_equal(records(root / "results" / "records"), whole)


def test_layers_have_their_share_and_their_order(root: Path) -> None:
    frame = layers(root)
    assert frame["name"].tolist() == ["conv1", "fc", "untimed"]
    assert frame["position"].tolist() == [0, 1, 2]
    assert frame["share"][:2].tolist() == [0.75, 0.25]
    assert frame["share"].isna().tolist() == [False, False, True]
    pd.testing.assert_frame_equal(layers(root / "results" / "layers" / "lenet5.json"), frame)


def test_ceilings_say_what_they_are_of(root: Path) -> None:
    frame = ceilings(root)
    assert frame[["of", "unit", "value", "low", "high"]].to_numpy().tolist() == [
        ["compute", "FLOP/s", 4e12, 3e12, 5e12],
        ["bandwidth", "B/s", 2e10, 1e10, 3e10],
    ]
    assert frame["level"].isna().tolist() == [True, False]


def test_verdicts_name_both_sides(root: Path) -> None:
    same = verdicts(root, root)
    assert (same["base_precision"] == same["precision"]).all()
    assert (same["n_head"] > 0).any()
    crossed = verdicts(root, root, match=["model", "backend", "batch", "threads"])
    pairs = set(zip(crossed["base_precision"], crossed["precision"], strict=True))
    assert ("fp32", "int8") in pairs or ("fp16", "int8") in pairs


def test_frames_of_nothing_have_all_columns(tmp_path: Path) -> None:
    for frame, columns in (
        (layers(tmp_path), LAYER_COLUMNS),
        (ceilings(tmp_path), CEILING_COLUMNS),
        (verdicts(tmp_path, tmp_path), VERDICT_COLUMNS),
    ):
        assert len(frame) == 0
        assert {name: str(kind) for name, kind in frame.dtypes.items()} == columns
    assert len(records(tmp_path)) == 0


def test_a_damaged_file_is_named_and_left_out(root: Path) -> None:
    (root / "results" / "layers" / "torn.json").write_text('{"schema": "benchbox.layers/1"')
    with pytest.warns(UserWarning, match=r"torn\.json"):
        assert len(layers(root)) == 3
    record_files(root)[0].write_bytes(b"PAR1")
    with pytest.warns(UserWarning, match="skipped"):
        assert records(root)["id"].nunique() == 2


def test_wrong_places_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file or folder"):
        records(tmp_path / "nowhere")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(StoreError, match="not what 'benchbox layers --json' writes"):
        layers(tmp_path / "other.json")
    assert len(layers(tmp_path)) == 0


def test_the_notebook_has_five_answers_of_ten_lines() -> None:
    assert len(BLOCKS) == 5
    assert all(len(block.splitlines()) <= 10 for block in BLOCKS)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_answer_of_the_notebook_has_rows(
    number: int, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    exec(compile(BLOCKS[number], f"block {number}", "exec"), {"__name__": "notebook"})
    said = capsys.readouterr().out
    assert said
    assert "Empty DataFrame" not in said
